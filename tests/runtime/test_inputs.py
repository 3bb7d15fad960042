from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from enclair.compiler.ir.errors import InputError
from enclair.compiler.program import InputSpec
from enclair.runtime.inputs import check_inputs, one_after_another, split_batch

SPECS = (InputSpec("image", (2, 3), -1.0, 1.0), InputSpec("age", (2, 1), 0.0, 120.0))
GOOD = {"image": np.zeros((2, 3), dtype=np.float32), "age": np.full((2, 1), 40)}


@given(arrays(np.float32, (2, 3), elements=st.floats(-1, 1, width=32)))
def test_good_inputs_come_through(image: np.ndarray) -> None:
    checked, outside = check_inputs(SPECS, GOOD | {"image": image})
    np.testing.assert_array_equal(checked["image"], image)
    assert checked["age"].dtype == np.float64
    assert outside == {"image": 0, "age": 0}


@given(arrays(np.float64, (2, 3), elements=st.floats(-5, 5)))
def test_clipping_counts(image: np.ndarray) -> None:
    checked, outside = check_inputs(SPECS, GOOD | {"image": image}, clip=True)
    np.testing.assert_array_equal(checked["image"], np.clip(image, -1, 1))
    assert outside["image"] == np.count_nonzero(np.abs(image) > 1)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 2)), r"input 'image' needs shape \(2, 3\), got \(3, 2\): reshape it, or compile for that shape"),
        (np.zeros((2, 3), dtype=complex), "input 'image' must hold real numbers, got dtype complex128: convert it"),
        (np.zeros((2, 3), dtype=bool), "must hold real numbers, got dtype bool"),
        (np.full((2, 3), "1"), "must hold real numbers, got dtype <U1"),
        (np.array([[0, 0, 0], [0, np.nan, 0]]), r"input 'image' has nan at \(1, 1\): replace NaN and infinity before"),
        (np.array([[0, 0, -np.inf], [0, 0, 0]]), r"input 'image' has -inf at \(0, 2\)"),
        (
            np.array([[0, 2, 0], [0, 0, -3]]),
            r"input 'image' has 2 at \(0, 1\), and 2 elements .* \[-1, 1\], .*: scale them .*, run with clip=True",
        ),
    ],
)
def test_bad_arrays(image: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_inputs(SPECS, GOOD | {"image": image})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"image": GOOD["image"]},
            "the model's inputs are image, age; missing: age: name the arrays as the model does",
        ),
        (GOOD | {"sex": GOOD["age"]}, "the model's inputs are image, age; unknown: sex"),
        ({"Image": GOOD["image"], "age": GOOD["age"]}, "missing: image; unknown: Image"),
    ],
)
def test_wrong_names(inputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_inputs(SPECS, inputs)
    with pytest.raises(InputError, match=message):
        split_batch(SPECS, inputs)


def test_batches_in_turn() -> None:
    image, age = np.arange(18).reshape(6, 3), np.arange(6).reshape(6, 1)
    pieces = split_batch(SPECS, {"image": image, "age": age})
    assert len(pieces) == 3
    np.testing.assert_array_equal(pieces[2]["image"], image[4:])
    np.testing.assert_array_equal(pieces[1]["age"], age[2:4])
    assert len(split_batch(SPECS, GOOD)) == 1


def test_batches_that_do_not_fit() -> None:
    with pytest.raises(
        InputError, match="input 'image' has a batch of 3; the program takes multiples of 2: pad the batch"
    ):
        split_batch(SPECS, GOOD | {"image": np.zeros((3, 3))})
    with pytest.raises(InputError, match="input 'image' has a batch of 0"):
        split_batch(SPECS, GOOD | {"image": np.zeros((0, 3))})
    with pytest.raises(InputError, match=r"same number of batches, got .*: image 4/2, age 2/2"):
        split_batch(SPECS, GOOD | {"image": np.zeros((4, 3))})


def test_a_number_is_one_batch() -> None:
    specs = (InputSpec("dose", (), 0.0, 1.0), *SPECS)
    (piece,) = split_batch(specs, GOOD | {"dose": np.array(0.5)})
    assert check_inputs(specs, piece)[0]["dose"] == 0.5
    with pytest.raises(InputError, match=r"got .*: dose has none, image 4/2, age 4/2"):
        split_batch(specs, {"dose": np.array(0.5), "image": np.zeros((4, 3)), "age": np.ones((4, 1))})
    with pytest.raises(InputError, match=r"got .*: image has none, age 4/2"):
        split_batch(SPECS, {"image": np.array(0.5), "age": np.ones((4, 1))})


def test_outputs_one_after_another() -> None:
    results = [{"y": np.full((1, 2), k), "mean": np.array(float(k))} for k in range(3)]
    assert {name: array.tolist() for name, array in one_after_another(results).items()} == {
        "y": [[0, 0], [1, 1], [2, 2]],
        "mean": [0.0, 1.0, 2.0],
    }
    assert one_after_another(results[:1])["mean"] is results[0]["mean"]


def test_other_shapes_are_left_to_the_check() -> None:
    for shape in ((4, 5), (2,), (2, 3, 1)):
        (piece,) = split_batch(SPECS, GOOD | {"image": np.zeros(shape)})
        with pytest.raises(InputError, match=r"needs shape \(2, 3\)"):
            check_inputs(SPECS, piece)


def test_an_array_without_a_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"inputs are arrays by name, got ndarray: give \{'x': array\}"):
        check_inputs((InputSpec("x", (1,), 0.0, 1.0),), np.zeros(1))  # type: ignore[arg-type]
