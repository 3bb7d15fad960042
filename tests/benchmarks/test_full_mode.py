import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from measures.full_mode import openfhe_ckks, orion
from measures.full_mode.cases import Steps
from measures.full_mode.counts import KINDS, Terms, count_node, count_transform, total
from measures.full_mode.files import INPUTS, WEIGHTS
from measures.full_mode.precision import EXACT_BITS, bits, precision
from measures.full_mode.sessions import inputs_on, on_cores
from measures.full_mode.tables import fullest, show, summary
from tests.benchmarks.orion_script import load_script

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Builder
from enclair.compiler.ir.ops.ckks import LinearTransform, MultiplyCiphers, MultiplyPlain, RotateSlots
from enclair.compiler.ir.types import CkksType
from enclair.compiler.parameters import INSECURE


def test_bits_are_of_the_largest_and_of_the_mean_error():
    expected = np.array([[0.0, 1.0], [2.0, 3.0]])
    found = precision(expected + np.array([[0.25, 0.0], [0.0, 2.0**-5]]), expected)
    assert (found.inputs, found.largest_error, found.worst_bits) == (2, 0.25, 2)
    assert found.median_bits == (2 + 5) / 2
    assert found.mean_bits == (3 + 6) / 2
    assert found.output_range == 3


def test_no_error_is_float64s():
    assert bits(0.0) == EXACT_BITS
    assert bits(2.0**-60) == EXACT_BITS


TERMS = Terms(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 0, 1]), np.array([0, 5, 5, 6, 3]))


def test_without_giant_steps_all_rotations_are_hoisted():
    assert dict(count_transform(TERMS, 0)) == {"hoisted": 4, "decomposed": 2, "full": 0, "plain_products": 5}


def test_baby_steps_are_of_inputs_and_giant_steps_of_results():
    """By 4: ciphertext 0 is rotated by 1 and 2, ciphertext 1 by 1 and 3; results 0 and 1 get a sum rotated by 4."""
    assert dict(count_transform(TERMS, 4)) == {"hoisted": 4, "decomposed": 2, "full": 2, "plain_products": 5}


def test_nodes_are_counted_for_each_ciphertext():
    builder = Builder("counted")
    x = builder.input("x", CkksType(3, 8))
    tables = [builder.constant("t", np.array(table), 0) for table in ([0, 1], [0, 2], [1, 2], [0, 0])]
    ones = builder.constant("ones", np.ones((1, 1)))
    y = builder.add(LinearTransform(2), x, *tables, builder.constant("w", np.ones(2)), ones)
    y = builder.add(MultiplyPlain(), builder.add(RotateSlots(1), y), ones)
    graph = builder.build([builder.add(MultiplyCiphers(), y, y)])
    found = [dict(count_node(graph, node, node.args[0].type)) for node in graph.nodes]
    assert found[0] == {"hoisted": 2, "decomposed": 2, "full": 0, "plain_products": 2}
    assert found[1:] == [{"full": 2}, {"plain_products": 2}, {"cipher_products": 2}]


def test_counts_add_up_over_levels():
    level = dict.fromkeys(KINDS, 1)
    assert total({1: level, 4: {**level, "full": 5}}) == {**dict.fromkeys(KINDS, 2), "full": 6}


@pytest.fixture(scope="module")
def costs():
    return openfhe_ckks.measure(CkksParameters(1024, 3, 40, 50, 2, INSECURE), (0, 3))


def test_openfhe_is_timed_at_every_level(costs):
    assert list(costs) == [0, 3]
    assert all(costs[3][kind] > 0 for kind in KINDS)
    assert costs[0]["rescaled"] == 0
    assert costs[3]["full"] > costs[3]["plain_products"]


def test_openfhes_seconds_are_costs_times_counts():
    counts = {0: {"full": 2, "rescaled": 0}, 3: {"full": 10, "rescaled": 4}}
    costs = {0: {"full": 1.0, "rescaled": 0.0}, 3: {"full": 5.0, "rescaled": 2.5}}
    assert openfhe_ckks.seconds(counts, costs) == {"full": 0.052, "rescaled": 0.01}


def test_work_is_held_to_cores_and_let_go():
    before = os.sched_getaffinity(0), dict(os.environ)
    with on_cores(1):
        assert len(os.sched_getaffinity(0)) == 1
        assert os.environ["NUMBA_NUM_THREADS"] == "1"
    assert (os.sched_getaffinity(0), dict(os.environ)) == before


def test_all_inputs_run_on_the_most_cores_and_enough_for_a_median_on_fewer():
    assert inputs_on([1, 2, 4], 24) == {1: 7, 2: 7, 4: 24}
    assert inputs_on([1], 24) == {1: 24}
    assert inputs_on([1, 2], 3) == {1: 3, 2: 3}


PEER = """#!{python}
import json, sys
import numpy as np
case = np.load(sys.argv[4])
print(json.dumps({{"arguments": sys.argv[2:3] + sys.argv[5:], "inputs": case["inputs"].tolist(), "names": case.files}}))
"""


@pytest.fixture
def folder(tmp_path):
    np.savez(tmp_path / WEIGHTS, weight=np.ones(2))
    np.savez(tmp_path / INPUTS, inputs=np.arange(3), expected=np.zeros(3), labels=np.zeros(3))
    return tmp_path


def python_that(folder: Path, script: str) -> Path:
    path = folder / "python"
    path.write_text(script.format(python=sys.executable))
    path.chmod(0o755)
    return path


def test_orion_gets_the_same_weights_and_inputs(folder):
    found = orion.measure(python_that(folder, PEER), "conv16", folder, 2, 5)
    assert found["arguments"] == ["conv16-2^14", "--threads", "2", "--runs", "5"]
    assert found["inputs"] == [0, 1, 2]
    assert sorted(found["names"]) == ["inputs", "weight"]


def test_a_python_without_orion(folder):
    python = python_that(folder, "#!{python}\nraise SystemExit(3)\n")
    with pytest.raises(orion.PeerFailed, match=r"orion_bench.py mlp ended with code 3: it needs CPython 3.10 with"):
        orion.measure(python, "mlp", folder, 1, 1)


def test_models_that_orion_is_not_measured_on(folder):
    assert orion.measure(folder / "nothing", "head", folder, 1, 1) is None


def test_orions_rotations_are_told_apart():
    script = load_script()
    diagonals = set(range(0, 24, 2))
    eight = {2, 4, 6, 8, 16}
    assert script.baby_steps(diagonals, eight, 64) == 3
    assert script.baby_steps({0, 1, 2}, {1, 2}, 64) == 2
    with pytest.raises(ValueError, match=r"no split of 12 diagonals gives the 1 rotations that Orion names"):
        script.baby_steps(diagonals, {5}, 64)


def test_orions_keys_are_rotations():
    script = load_script()
    assert script.rotation_steps(4, 8)[pow(5, 3, 16)] == 3
    assert script.rotation_steps(8, 8)[pow(5, 7, 32)] == 7


def test_orions_works_are_known_to_its_script():
    assert set(orion.WORKS.values()) <= set(load_script().WORKS)


RUN = {
    "keys": 1.25, "parts": {"client.encrypt": 0.5, "server.evaluate": 2.0}, "core_seconds": 2.75,
    "seconds": {"client": 0.5, "server": 2.0}, "bytes": {"up": 1, "down": 1, "keys": 5_500_000}, "peak_memory": 3e9,
    "accuracy": 0.5, "float_accuracy": 0.75,
    "precision": {
        "inputs": 20, "largest_error": 2e-4, "worst_bits": 12.3, "median_bits": 13.1, "mean_bits": 14.9,
        "output_range": 7.5,
    },
}  # fmt: skip
MODEL = {
    "name": "tiny", "title": "tiny", "met": True, "runs": {"1": RUN},
    "gaps": [{"name": "poly_vs_float", "max_abs": 1e-4, "bound": {"value": 5e-4, "kind": "calibrated"}}],
    "program": {
        "compile_seconds": 4.5, "compile_core_seconds": 3.5,
        "compile_steps": {"reading the model": 2.5, "packing": 1.9}, "save_seconds": 0.75,
        "compile_peak_memory": 1e9, "log2_q": 300, "tolerance": 1e-3, "ciphertexts_up": 1,
        "ciphertexts_down": 2, "total": dict.fromkeys(KINDS, 1234),
        "parameters": {"ring_dim": 16384, "levels": 7, "scale_bits": 35, "digits": 3},
    },
    "openfhe": {"seconds": dict.fromkeys(KINDS, 0.5)},
    "orion": {"1": {
        "seconds": {"forward": {"wall": 6.5}}, "precision": {"bits_of_mean_error": 8.6},
        "rotations": {"hoisted": 21, "full": 59}, "compile": {"wall": 93.1, "peak_memory": 11e9},
    }},
}  # fmt: skip


def test_tables_print_every_figure(capsys):
    show({"mode": "full", "quick": False, "threads": [1], "models": [MODEL]})
    printed = " ".join(capsys.readouterr().out.split())
    assert "tiny │ 4.5 │ 3.5 │ 2.5 │ 0.8 │ 1.00 │ 16384 │ 300 │ 7 │ 35 │ 3 │ 1 │ 2 │ 1.25 │ 5.5 │" in printed
    assert "tiny │ 1 │ 0.5 │ 2 │ client.encrypt 0.5, server.evaluate 2 │ 2.75 │ 3.00 │" in printed
    assert "tiny │ 20 │ 7.5 │ 0.0002 │ 0.001 │ yes │ 12.3 │ 13.1 │ 14.9 │ 50.0%, float 75.0% │" in printed
    assert "poly ┃" in printed
    assert "beside float ┃" in printed
    assert "tiny │ 0.0001, 0.0005 (calibrated) │" in printed
    assert "1,234" in printed
    assert "│ 3.5 │" in printed
    assert "tiny │ 1 │ 2 │ 6.5 │ 14.9 │ 8.6 │ 1234, 1234 │ 21, 59 │ 93.1 │ 11.0 │" in printed


def test_what_was_left_out_has_no_rows(capsys):
    without = {**MODEL, "title": "other", "gaps": [], "openfhe": None}
    show({"mode": "full", "quick": False, "threads": [1], "models": [without]})
    alone = capsys.readouterr().out
    assert "Gaps between executions" not in alone
    assert "Operations:" not in alone
    show({"mode": "full", "quick": False, "threads": [1], "models": [without, MODEL]})
    _, both = capsys.readouterr().out.split("Gaps between executions")
    assert "other" not in both.split("Beside Orion")[0]
    assert "tiny" in both


def test_precision_is_of_the_run_with_the_most_inputs():
    few = {**RUN, "precision": {**RUN["precision"], "inputs": 7}}
    assert fullest({"runs": {"1": few, "2": RUN}}) is RUN


def test_a_model_in_a_line():
    line = "tiny: compiled in 4.5 s; server 2 s on 1; largest error of 20 inputs 0.0002, tolerance 0.001 met"
    assert summary(MODEL) == line
    assert summary({**MODEL, "met": False}) == line.replace(" met", " NOT met")


def test_steps_end_when_the_next_begins():
    steps = Steps()
    steps.begin("one")
    time.sleep(0.02)
    steps.begin("two")
    found = steps.seconds()
    assert list(found) == ["one", "two"]
    assert found["one"] >= 0.02 > found["two"] >= 0


def test_a_tolerance_that_is_not_met_is_told(capsys):
    show({"mode": "full", "quick": False, "threads": [1], "models": [{**MODEL, "met": False, "openfhe": None}]})
    assert "│ 0.001 │ NO │" in " ".join(capsys.readouterr().out.split())
