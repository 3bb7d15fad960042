"""What reports say of a program, against what the program does."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.golden.tiny import numbers, tiny_program
from tests.rounds import run_rounds
from tests.strategies import graphs, samples_of

import enclair.compiler
from enclair.compiler import CompileError, SplitOptions
from enclair.compiler.approx.intervals import intervals
from enclair.compiler.artifact import load, save
from enclair.compiler.ir.graph import Builder, Graph
from enclair.compiler.ir.layouts import (
    Axes,
    BlockSums,
    Layout,
    MaskedCopies,
    Raster,
    Replicated,
    SlotSums,
    Tiles,
    Viewed,
)
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.ir.ops.linear import MatMul
from enclair.compiler.ir.types import TensorType
from enclair.compiler.parameters import INSECURE, flood_noise_bits, fresh_noise_bits
from enclair.compiler.program import Program
from enclair.compiler.report import Report, inspect
from enclair.compiler.report.layout_text import describe
from enclair.compiler.report.model import ClientParameter, Step


@pytest.fixture(scope="module")
def report() -> Report:
    return inspect(tiny_program())


def test_rounds_say_what_each_side_computes(report: Report) -> None:
    conv = "Conv(strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), groups=1)"
    assert report.rounds[0].server == (Step(conv, "c1", "net.first"), Step("Add()", "s1", "net.first"))
    assert [step.value for round_ in report.rounds for step in round_.client] == ["a1", "a2", "flat"]
    assert report.rounds[1].client == (Step("Relu()", "a2", ""), Step("Reshape(shape=(1, 72))", "flat", ""))


def test_bytes_are_those_of_the_ciphertexts_that_cross(report: Report) -> None:
    program = tiny_program()
    for round_, done in zip(report.rounds, program.rounds, strict=True):
        assert round_.up_bytes == done.exchange.upload_count * 2 * 2 * 4096 * 54 // 8
        assert round_.down_bytes == done.exchange.answer_count * 2 * 4096 * 54 // 8
        assert [t.value for t in round_.uploads] == [name for name, _ in done.exchange.uploads]
    assert report.to_json()["bytes"] == {
        "up": sum(r.up_bytes for r in report.rounds),
        "down": sum(r.down_bytes for r in report.rounds),
        "keys": 2 * 2 * 4096 * 54 // 8,
    }


def test_sums_reach_the_stated_bits_and_no_further(report: Report) -> None:
    """The worst input for one output makes a sum of as many bits."""
    program = tiny_program()
    low = np.where(program.fixed.arrays["w1"][1, 0, ::-1, ::-1] > 0, 1.0, -1.0)
    picture = np.zeros((1, 1, 6, 6))
    picture[0, 0, 1:4, 1:4] = low[::-1, ::-1]
    worst = max(np.abs(run_rounds(program, {"x": sign * picture})["s1.ct"]).max() for sign in (1, -1))
    known = intervals(program.fixed)["s1"].magnitude
    assert known / 2 < worst <= known
    assert report.rounds[0].sum_bits == (2 * known).bit_length()


def test_what_a_program_needs_is_what_it_has(report: Report) -> None:
    for round_ in report.rounds:
        assert round_.sum_bits <= round_.modulus_bits == 22
        assert 0 < round_.noise_growth_bits <= round_.noise_room_bits
        assert round_.estimated_ms > 0
    assert [r.noise_growth_bits for r in report.rounds] == tiny_program().facts["noise_growth_bits"]


def test_flooding_hides_the_noise_of_sums_but_for_the_stated_distance(report: Report) -> None:
    """The noise of a sum over the width of the noise that hides it, for each coefficient of the answers."""
    parameters = tiny_program().parameters
    for round_, done in zip(report.rounds, tiny_program().rounds, strict=True):
        noise = 2 ** (round_.noise_growth_bits + fresh_noise_bits())
        distance = 4096 * done.exchange.answer_count * noise / 2 ** flood_noise_bits(parameters)
        assert distance < 2**-round_.flood_distance_bits < 1.01 * distance
        assert distance <= 4096 * done.exchange.answer_count / 2**parameters.flood_bits
        stated = f"hides it but for a statistical distance of 2^-{int(round_.flood_distance_bits)} a query"
        assert stated in report.to_text()


def test_parameters_name_the_table_that_vouches_for_them(report: Report) -> None:
    assert report.parameters.secure
    assert report.parameters.statement == (
        "128 bits against classical attacks by HEStd_128_classic (Homomorphic Encryption Standard 2018, table 1,"
        " ternary secret): log2 Q is 108.0, at ring dimension 4096 at most 109"
    )
    assert len(report.parameters.primes) == 2
    assert report.parameters.public_key_bytes == 110592


def test_insecure_parameters_are_called_that() -> None:
    program = tiny_program()
    insecure = inspect(replace(program, parameters=replace(program.parameters, security=INSECURE)))
    assert not insecure.parameters.secure
    assert insecure.parameters.statement == f"{INSECURE}: these parameters protect nothing"
    assert "these parameters protect nothing" in insecure.to_text()


def test_precision_comes_from_the_facts(report: Report) -> None:
    facts = tiny_program().facts
    assert (report.precision.activation_bits, report.precision.weight_bits) == (9, 10)
    assert report.precision.gap_bound == facts["gap_bound"]["value"]
    assert report.precision.gap_bound_kind == "calibrated"
    assert "(calibrated), tolerance" in report.to_text()


def test_cuts_are_told() -> None:
    program = tiny_program()
    facts = program.facts | {"moved_to_client": ["flat"], "refreshed": ["c2"], "samples": {"given": 1, "derived": 3}}
    text = inspect(replace(program, facts=facts)).to_text()
    assert "moved to the client to make stages fit: flat" in text
    assert "refreshed by the client, at a round each, to make stages fit: c2" in text
    assert "1 given, 3 derived" in text


def test_a_program_without_facts_can_be_inspected() -> None:
    bare = inspect(replace(tiny_program(), facts={}))
    assert bare.precision.gap_bound is None
    assert bare.rounds == tuple(replace(round_, layout="") for round_ in inspect(tiny_program()).rounds)
    assert "gap to float" not in bare.to_text()


def test_constants_of_the_client_are_listed(report: Report) -> None:
    assert report.client_parameters == (ClientParameter("slope", (2, 1, 1), 1, ("PRelu",)),)


def test_a_program_that_gives_the_client_no_constants_says_so() -> None:
    assert "Constants that the client is given: none" in inspect(two_products()).to_text()


def two_products() -> Program:
    builder = Builder("mlp")
    x = builder.input("x", TensorType((1, 8)))
    hidden = builder.add(Relu(), builder.add(MatMul(), x, builder.constant("w", numbers(8, 5))))
    graph = builder.build([builder.add(MatMul(), hidden, builder.constant("v", numbers(5, 2, seed=3)))])
    samples = [{"x": numbers(1, 8, seed=seed)} for seed in (2, 3)]
    return enclair.compiler.compile(graph, samples, options=SplitOptions(activation_bits=8, weight_bits=8))


def test_exposures_say_what_is_seen_and_what_for(report: Report) -> None:
    seen = [(e.round, e.value, e.shape, e.read_by) for e in report.exposures]
    assert seen == [
        (1, "s1", (1, 2, 6, 6), ("PRelu",)),
        (2, "c2", (1, 2, 6, 6), ("Relu",)),
        (3, "y.fixed", (1, 3), ("output",)),
    ]
    assert [[(layer.weights, layer.count) for layer in e.layers] for e in report.exposures] == [
        [("w1", 18), ("b1", 2)],
        [("w2", 36)],
        [("w3", 216), ("b3", 3)],
    ]


def test_text_says_that_the_model_is_not_protected(report: Report) -> None:
    text = " ".join(report.to_text().split())
    assert "split protects the data from the server, not the model from the client" in text
    assert "s1: 1 query to solve for the weights: 2 systems of 10 unknowns, 36 equations a query." in text


def test_text_says_that_summands_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enclair.compiler.packing.candidates.polynomial_blockings", lambda *_: [])
    text = " ".join(inspect(tiny_program.__wrapped__()).to_text().split())
    assert "y.fixed: each element comes in up to 128 summands, which the client adds: it sees each of them" in text


@pytest.mark.parametrize("width", [60, 100, 200])
def test_text_keeps_to_its_width_and_has_no_colours(width: int, report: Report) -> None:
    text = report.to_text(width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text


def test_markup_in_names_is_text() -> None:
    program = replace(tiny_program(), name="[bold]net[/bold] :smile:")
    assert "[bold]net[/bold] :smile:" in inspect(program).to_text()


def test_json_is_plain_and_complete(report: Report) -> None:
    plain = report.to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["rounds"][0]["bytes"] == {"up": report.rounds[0].up_bytes, "down": report.rounds[0].down_bytes}
    assert plain["rounds"][0]["ciphertexts"] == {"up": 1, "down": 2}
    assert plain["inputs"] == [{"name": "x", "shape": [1, 1, 6, 6], "low": -1.0, "high": 1.0}]
    assert plain["exposures"][0]["systems"] == [{"unknowns": 10, "equations": 36, "queries": 1, "copies": 2}]
    assert plain["digest"] == tiny_program().digest()


def test_a_loaded_program_has_the_same_report(report: Report, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("report") / "p.enclair"
    save(tiny_program(), path)
    assert inspect(load(path)) == report


TILES = Tiles((1, 2, 6, 6), Axes(0, 1, 2, 3), (3, 3), (2, 2), (0, 0), (2, 2), 16)
LAYOUTS: list[tuple[Layout, str]] = [
    (TILES, "tiles 2x2, grid 3x3"),
    (replace(TILES, low=(-1, 0), high=(3, 2)), "tiles 2x2 + halo 1,0,1,0, grid 3x3"),
    (MaskedCopies(TILES, ((0, 0, 3, 0, 3),)), "masked copies of tiles 2x2, grid 3x3"),
    (Replicated((1, 8), 4, 2, 16), "features 4 a ciphertext, 2 copies each"),
    (BlockSums((1, 8), 4, 2, 16), "outputs 2 a ciphertext, 4 summands each"),
    (Raster((1, 8, 4, 4), 4, (1, 1), 16), "a channel a ciphertext, rows of 4 coefficients"),
    (Raster((1, 8, 2, 2), 4, (2, 2), 16), "a channel a ciphertext, rows of 4 coefficients, pixels 2x2 apart"),
    (SlotSums((1, 8), 1, 9, 16), "an output a ciphertext, 9 summands each"),
    (Viewed(TILES, (1, 72)), "tiles 2x2, grid 3x3"),
]


@pytest.mark.parametrize(("layout", "words"), LAYOUTS, ids=[words for _, words in LAYOUTS])
def test_layouts_in_words(layout: Layout, words: str) -> None:
    assert describe(layout) == words


@settings(max_examples=30)
@given(graph=graphs(), bits=st.integers(6, 10))
def test_any_program_can_be_inspected(graph: Graph, bits: int) -> None:
    try:
        options = SplitOptions(activation_bits=bits, weight_bits=bits)
        program = enclair.compiler.compile(graph, samples_of(graph), options=options)
    except CompileError:
        return  # some random graphs have nothing for a server to do
    found = inspect(program)
    assert json.loads(json.dumps(found.to_json())) == found.to_json()
    assert all(round_.sum_bits <= round_.modulus_bits for round_ in found.rounds)
    assert all(round_.noise_growth_bits <= round_.noise_room_bits for round_ in found.rounds)
    assert len(found.exposures) == sum(len(round_.exchange.answers) for round_ in program.rounds)
    for exposure in found.exposures:
        assert exposure.read_by
        assert exposure.layers or exposure.queries is None
        assert exposure.unreached >= 0
        assert exposure.value in found.to_text()
