import numpy as np
import pytest
from measures import kernel, paillier, tables, timing
from measures.processes import ProcessFailed, apart
from measures.works import WORKS, convolution
from tests.benchmarks import works_apart

import enclair


def test_work_apart_gives_its_result():
    assert apart(works_apart.double, 21) == 42


def test_work_that_fails_is_told():
    with pytest.raises(ProcessFailed, match=r"a process of the benchmark ended with code 3: its error is above"):
        apart(works_apart.fail)


def test_memory_is_that_of_the_process_alone():
    ballast = np.ones(50_000_000)
    small, large = (apart(works_apart.memory_of, megabytes) for megabytes in (1, 201))
    assert small < 200e6 < ballast.nbytes
    assert 190e6 < large - small < 210e6


def test_a_peak_is_forgotten():
    before, after = apart(works_apart.memory_forgotten, 201)
    assert before - after > 190e6


def test_a_process_is_held_to_one_core():
    assert apart(works_apart.cores_when_held_to, 1) == (1, (1, "1"))


def test_medians_are_by_part():
    rows = [{"a": 1.0, "b": 5.0}, {"a": 3.0, "b": 1.0}, {"a": 2.0, "b": 9.0}]
    assert timing.median_of(rows) == {"a": 2.0, "b": 5.0}


def test_seconds_on_the_wire():
    assert timing.wire_seconds(250_000_000) == {"1 Gbit/s": 2.0, "100 Mbit/s": 20.0}


@pytest.fixture(scope="module")
def program():
    job = convolution(6, 2)
    return enclair.compile(job.model, job.samples, **job.options)


def test_paillier_counts_what_layers_take_make_and_multiply(program):
    assert paillier.count(program.fixed) == paillier.Layers(2 * 8 * 8, 2 * 6 * 6, 2 * 6 * 6 * 2 * 9)


def test_paillier_is_extrapolated_by_these_numbers():
    costs = paillier.Costs(encrypt=0.5, multiply_add=0.25, decrypt=2.0)
    assert costs.seconds(paillier.Layers(10, 3, 40), threads=2) == (5 + 10 + 6) / 2


def test_products_on_coefficients_are_of_pairs_of_channels(program):
    from measures.compiled import products_of

    assert products_of(program) == 2 * 2 * len(program.parameters.plaintext_moduli)


def test_products_on_tiles_are_the_terms_of_the_sums(monkeypatch):
    from measures.compiled import products_of

    monkeypatch.setattr("enclair.compiler.packing.candidates.raster_blockings", lambda *_: [])
    job = convolution(6, 2)
    program = enclair.compile(job.model, job.samples, **job.options)
    fixed = program.fixed
    weights = next(array for array in fixed.arrays.values() if array.ndim == 4)
    assert products_of(program) == np.count_nonzero(weights) * len(program.parameters.plaintext_moduli)


def test_the_kernel_is_the_convolution():
    draw = np.random.default_rng(0)
    ciphertexts, gather, weights, scatter = kernel.convolution(draw, 2)
    edge = kernel.TILE + 2
    x = draw.integers(-9, 10, (2, edge, edge))
    found = np.zeros(scatter.size, dtype=np.int64)
    found[scatter[0]] = weights[0] @ x.ravel()[gather[0]].T
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    expected = np.einsum("crsij,ocij->ors", windows, weights.reshape(2, 2, 3, 3))
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)
    assert len(ciphertexts) == x.size


def test_the_kernels_weights_have_twelve_bits_and_are_within_the_modulus():
    _, _, weights, _ = kernel.convolution(np.random.default_rng(0), 8)
    assert int(np.abs(weights).max()).bit_length() == kernel.WEIGHT_BITS - 1
    assert kernel.row_sum(weights) < kernel.PARAMETERS.largest_value


def test_every_work_has_a_name_of_its_own():
    names = [work.name for work in WORKS]
    assert names == ["denoiser", "dncnn6", "dncnn17", "red_cnn", "deit1", "deit32"]
    assert [work.count(quick=False) for work in WORKS] == [1, 1, 1, 1, 1, 32]


WORK = {
    "name": "tiny",
    "images": 2,
    "program": {
        "rounds": 2, "ring_dim": 4096, "log2_q": 108, "log2_t": [20, 21], "activation_bits": 9, "weight_bits": 8,
        "ciphertexts_up": [1000, 1], "ciphertexts_down": [4, 1], "openfhe_products": 12345,
        "compile_peak_memory": 2_500_000_000,
    },
    "seconds": {"total": 3.0, "parts": {"client.encrypt": 1.0, "server.sums": 2.0}, "keys": 0.25, "compile": 5.0},
    "bytes": {"up": 2_000_000, "down": 1_000_000},
    "wire_seconds": {"1 Gbit/s": 0.02, "100 Mbit/s": 0.24},
    "peak_memory": {"client": 250_000_000, "server": 1_500_000_000},
    "answer": {"differences": 0, "gap_to_float": 0.001, "gap_bound": 0.002},
    "baselines": {
        "onnxruntime": {"seconds": 0.01}, "openfhe_operations": {"seconds": 60.0}, "paillier": {"seconds": 123456.0},
    },
}  # fmt: skip


def test_tables_print_every_figure(capsys):
    figures = {"threads": 2, "runs": 3, "works": [WORK], "kernel": None, "growth": []}
    tables.show({**figures, "left_out": {"deit1": "needs timm"}})
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 cores, medians of 3 runs" in printed
    assert "tiny │ 1.50 │ 3.00 │ 0.00 │ 1.00 │ 0.00 │ 0.00 │ 2.00 │ 0.00 │ 0.25 │ 5.0" in printed
    assert "tiny │ 2 │ 2.0 │ 1.0 │ 0.02 │ 0.24 │ 0.25 │ 1.50" in printed
    assert "tiny │ 3 │ 2 │ 0.01 │ 60 │ 123,456" in printed
    assert "tiny │ 4096 │ 108 │ 20+21 │ 9 │ 8 │ 1,001 │ 5 │ 12,345 │ 2.50" in printed
    assert "tiny: 0 differences from the fixed-point reference; 0.001 from float, bound 0.002" in printed
    assert "left out: deit1: needs timm" in printed
