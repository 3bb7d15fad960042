"""A small model's graphs after every pass, and its report, as they are to stay until somebody means to change them.

    ENCLAIR_UPDATE_GOLDEN=1 python -m pytest tests/golden

writes them anew; look at the difference before it is committed.
"""

import os
import re
from pathlib import Path

import pytest
from tests.golden.tiny import numbers

import enclair.compiler
from enclair.compiler import SplitOptions
from enclair.compiler.ir.graph import Builder, Graph, Value
from enclair.compiler.ir.ops.activations import Clip
from enclair.compiler.ir.ops.elementwise import Add, Sub
from enclair.compiler.ir.ops.linear import Conv, MatMul
from enclair.compiler.ir.ops.normalisation import BatchNorm
from enclair.compiler.ir.ops.pooling import AveragePool
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.ir.types import TensorType
from enclair.compiler.report import inspect

FOLDER = Path(__file__).parent / "graphs"
UPDATE = "ENCLAIR_UPDATE_GOLDEN"
DIGEST = re.compile(r"^  program [0-9a-f]+$", re.MULTILINE)
"""The digest says no more than the graphs do, and depends on the last bit of every range."""


def golden_graph() -> Graph:
    """Every pass has something to do: a constant subtracted, a normalisation, an average, two layers in one stage."""
    builder = Builder("golden")

    def weights(name: str, *shape: int, seed: int) -> Value:
        return builder.constant(name, numbers(*shape, seed=seed))

    x = builder.input("x", TensorType((1, 2, 6, 6)))
    centred = builder.add(Sub(), x, weights("mean", 2, 1, 1, seed=2), name="centred", origin="net.centre")
    conv = Conv((1, 1), (1, 1, 1, 1), (1, 1), 1)
    first = builder.add(conv, centred, weights("w1", 3, 2, 3, 3, seed=3), name="c1", origin="net.first")
    statistics = [weights(name, 3, seed=seed) for name, seed in (("gamma", 5), ("beta", 7), ("mu", 11))]
    variance = builder.constant("var", numbers(3, seed=13) ** 2 + 0.5)
    normal = builder.add(BatchNorm(1e-5), first, *statistics, variance, name="n1", origin="net.norm")
    bent = builder.add(Clip(0.0, 6.0), normal, name="a1", origin="net.relu6")
    pooled = builder.add(AveragePool((2, 2), (2, 2), (0, 0, 0, 0), True), bent, name="p1", origin="net.pool")
    second = builder.add(conv, pooled, weights("w2", 2, 3, 3, 3, seed=17), name="c2", origin="net.second")
    flat = builder.add(Reshape((1, 18)), second, name="flat")
    product = builder.add(MatMul(), flat, weights("w3", 18, 2, seed=19), name="m", origin="net.head")
    return builder.build([builder.add(Add(), product, weights("b3", 2, seed=23), name="y", origin="net.head")])


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """File name -> what it is to hold now."""
    folder = tmp_path_factory.mktemp("passes")
    samples = [{"x": numbers(1, 2, 6, 6, seed=seed)} for seed in (29, 31, 37, 41)]
    options = SplitOptions(activation_bits=9, weight_bits=10, input_ranges={"x": (-1.0, 1.0)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCLAIR_DUMP", str(folder))
        program = enclair.compiler.compile(golden_graph(), samples, options=options)
    found = {path.name: path.read_text() for path in sorted(folder.iterdir())}
    report = DIGEST.sub("  program ...", inspect(program).to_text())
    return found | {"prologue.txt": str(program.prologue), "inspect.txt": report}


def names() -> list[str]:
    return sorted(path.name for path in FOLDER.glob("*.txt"))


def test_there_is_a_text_for_every_pass(texts: dict[str, str]) -> None:
    if os.environ.get(UPDATE):
        FOLDER.mkdir(exist_ok=True)
        for name in names():
            (FOLDER / name).unlink()
        for name, text in texts.items():
            (FOLDER / name).write_text(text)
    assert names() == sorted(texts), f"set {UPDATE}=1 to write them anew"


@pytest.mark.parametrize("name", names())
def test_text_is_golden(name: str, texts: dict[str, str]) -> None:
    assert texts.get(name) == (FOLDER / name).read_text(), f"set {UPDATE}=1 to write it anew"
