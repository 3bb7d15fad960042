"""What happens when something is wrong: one clear message, exit code 2, no traceback, no output.

The cases are grouped by command. Each is what a user would do, and the words that must be in the message: what is
needed, what came, what to do.
"""

from __future__ import annotations

import re
import shutil
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import enclair
from enclair.compiler.ir.errors import InputError
from enclair.frontends.errors import MissingDependencyError, ModelShapeError
from enclair.samples import Declared, by_name, cut
from tests.command_line import Workshop, call, exchange, open_workshop
from tests.small_models import cnn, images, model, two_in_two_out


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return open_workshop(tmp_path_factory.mktemp("workshop"))


def refused(kind: str, *arguments: object) -> str:
    """The message of a command that must be refused; the same as text and as JSON."""
    done = call(*arguments)
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    as_json = call(*arguments, "--json")
    assert as_json.code == 2
    assert as_json.json == {"error": {"kind": kind, "message": as_json.err.removeprefix("error: ").removesuffix("\n")}}
    return done.err


def check(words: str, message: str) -> None:
    """The message must match."""
    assert re.search(words, message), message


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def flipped(path: Path, position: int) -> None:
    """Alter one byte; a negative position counts from the end."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def cut_short(path: Path, by: int = 100) -> Path:
    path.write_bytes(path.read_bytes()[:-by])
    return path


# --- compile: the model ---


def node(op_type: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return onnx.helper.make_node(op_type, inputs, outputs, **attributes)


def unsupported() -> onnx.ModelProto:
    nodes = [node("Det", ["x"], ["d"], name="determinant"), node("LpNormalization", ["x"], ["n"], name="norm")]
    return model(nodes, {"x": [1, 1, 8, 8]}, {"d": [1, 1], "n": [1, 1, 8, 8]})


def without_shape() -> onnx.ModelProto:
    """The shape of the result is an input's value."""
    made = model([node("Reshape", ["x", "s"], ["y"])], {"x": [1, 1, 8, 8], "s": [2]}, {"y": ["a", "b"]})
    made.graph.input[1].type.tensor_type.elem_type = onnx.TensorProto.INT64
    return made


def save_model(path: Path, made: onnx.ModelProto) -> Path:
    onnx.save(made, path)
    return path


MODELS: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "missing": (lambda folder: folder / "m.onnx", "ModelFileError", r"there is no file .*m\.onnx: give the path"),
    "pickled": (
        lambda folder: Path(shutil.copy(folder / "samples.npz", folder / "m.pt")),
        "ModelFileError",
        r"may hold pickled code, which is never loaded: export it to ONNX",
    ),
    "of another kind": (lambda folder: folder / "one.npz", "ModelFileError", r"a model file ends in \.onnx, got"),
    "cut": (
        lambda folder: cut_short(save_model(folder / "m.onnx", cnn())),
        "ModelFileError",
        r"(?s)m\.onnx.*(cannot be parsed|not valid|copy or export it again)",
    ),
    "with unsupported ops": (
        lambda folder: save_model(folder / "m.onnx", unsupported()),
        "UnsupportedModel",
        r"(?s)2 nodes that enclair cannot convert.*determinant: Det.*instead:.*norm: LpNormalization.*instead:",
    ),
    "with a dynamic shape": (
        lambda folder: save_model(folder / "m.onnx", without_shape()),
        "ModelShapeError",
        r"input 's' has type int64, encrypted inputs are real numbers: feed floats",
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_model_is_refused(case: str, workshop: Workshop, tmp_path: Path) -> None:
    make, kind, words = MODELS[case]
    for name in ("samples.npz", "one.npz"):
        shutil.copy(workshop / name, tmp_path / name)
    inputs = npz(tmp_path / "s.npz", x=images(4), s=np.ones(8)) if "dynamic" in case else tmp_path / "samples.npz"
    message = refused(kind, "compile", make(tmp_path), "--inputs", inputs, "-o", tmp_path / "P.enclair")
    check(words, message)
    assert not (tmp_path / "P.enclair").exists()


# --- compile: samples and options ---

SAMPLES: dict[str, tuple[dict[str, Any], str]] = {
    "NaN": ({"x": np.full((4, 1, 8, 8), np.nan)}, r"input 'x' has nan at \(0, 0, 0, 0\): replace NaN and infinity"),
    "infinity": ({"x": np.full((4, 1, 8, 8), -np.inf)}, r"input 'x' has -inf at \(0, 0, 0, 0\): replace NaN"),
    "another shape": (
        {"x": np.ones((4, 1, 8, 9))},
        r"input 'x' needs samples of shape \(1, 1, 8, 8\), one or several along the first axis, got \(4, 1, 8, 9\)",
    ),
    "another rank": ({"x": np.ones((8, 8))}, r"needs samples of shape \(1, 1, 8, 8\).*got \(8, 8\): reshape them"),
    "none": ({"x": np.ones((0, 1, 8, 8))}, r"needs samples of shape \(1, 1, 8, 8\).*got \(0, 1, 8, 8\)"),
    "texts": ({"x": np.full((4, 1, 8, 8), "7")}, r"input 'x' must hold real numbers, got dtype <U1: convert it"),
    "complex numbers": ({"x": np.ones((4, 1, 8, 8), complex)}, r"must hold real numbers, got dtype complex128"),
    "another name": (
        {"image": images(4)},
        r"the model's inputs are x; missing: x; unknown: image: name the arrays as the model does",
    ),
    "a name too many": ({"x": images(4), "mask": images(4)}, r"the model's inputs are x; unknown: mask"),
}


@pytest.mark.parametrize("case", SAMPLES)
def test_samples_are_refused(case: str, workshop: Workshop, tmp_path: Path) -> None:
    arrays, words = SAMPLES[case]
    inputs = npz(tmp_path / "s.npz", **arrays)
    arguments = ["compile", workshop / "cnn.onnx", "--inputs", inputs, "-o", tmp_path / "P.enclair"]
    check(words, refused("InputError", *arguments))


def test_samples_without_names_or_of_different_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="inputs are a, b, got 1 arrays without names: give one"):
        enclair.compile(two_in_two_out(), np.ones((1, 1, 4, 4)))
    declared = [Declared("a", (1, 2)), Declared("b", (1, 2))]
    with pytest.raises(InputError, match="same number of samples, or one that is shared; got a 4, b 3"):
        cut(by_name({"a": np.ones((4, 2)), "b": np.ones((3, 2))}, ["a", "b"]), declared, batch=1)


OPTIONS: dict[str, tuple[list[str], str, str]] = {
    "tolerance that cannot be met": (
        ["--tolerance", "1e-30"],
        "CompileError",
        r"a tolerance of 1e-30 cannot be met: .* off by .*; ask for a larger tolerance",
    ),
    "negative tolerance": (["--tolerance", "-1"], "CompileError", r"tolerance must be positive, got -1\.0"),
    "tolerance that is no number": (["--tolerance", "nan"], "CompileError", r"tolerance must be positive, got nan"),
    "unknown mode": (["--mode", "half"], "CompileError", r"mode 'half' is not known: use one of split, full"),
    "one kind of bits": (
        ["--weight-bits", "8"],
        "CompileError",
        r"give activation_bits and weight_bits together, or neither",
    ),
    "too many bits": (
        ["--weight-bits", "8", "--activation-bits", "64"],
        "CompileError",
        r"activation_bits must be 2 to 30, got 64",
    ),
    "margin": (["--margin", "-0.5"], "CompileError", r"margin must be 0 to 10, got -0\.5"),
    "batch": (["--batch", "0"], "CompileError", r"batch must be at least 1, got 0"),
    "range that is no range": (
        ["--input-range", "x=0-1"],
        "InputError",
        r"--input-range is NAME=LOW:HIGH, for instance x=0:1, got 'x=0-1'",
    ),
    "range of an unknown input": (
        ["--input-range", "z=0:1"],
        "CompileError",
        r"input_ranges names z; the model's inputs are x",
    ),
    "empty range": (
        ["--input-range", "x=1:0"],
        "CompileError",
        r"must be \(low, high\) with low < high, got \(1\.0, 0\.0\)",
    ),
    "range that the samples leave": (
        ["--input-range", "x=0:0.5"],
        "CompileError",
        r"input_ranges\['x'\] is \(0\.0, 0\.5\), but the calibration data reach from .* to 0\.9",
    ),
    "name of two lines": (["--name", "a\nb"], "CompileError", r"one line of printable characters, got 'a\\nb'"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_is_refused(case: str, workshop: Workshop, tmp_path: Path) -> None:
    options, kind, words = OPTIONS[case]
    arguments = ["compile", workshop / "cnn.onnx", "--inputs", workshop / "samples.npz", "-o", tmp_path / "P.enclair"]
    check(words, refused(kind, *arguments, *options))


def test_a_torch_module_without_torchs_exporter_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        def forward(self, x: Any) -> Any:
            return x

    torch = types.ModuleType("torch")
    torch.nn = types.SimpleNamespace(Module=Module)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(
        MissingDependencyError, match=r"needs onnxscript, which is not installed: pip install enclair\[torch\]"
    ):
        enclair.compile(Module(), images(4))
    with pytest.raises(ModelShapeError, match=r"a model is a torch.nn.Module, .*, got dict: export it to ONNX"):
        enclair.compile({}, images(4))  # type: ignore[arg-type]


# --- files in and out ---


def pickled(path: Path) -> Path:
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    return path


def not_arrays(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "hello")
    return path


def plain_array(path: Path) -> Path:
    with path.open("wb") as file:
        np.save(file, images(1))
    return path


def broken_inside(path: Path) -> Path:
    np.savez_compressed(path, x=images(100))
    flipped(path, 3000)
    return path


INPUT_FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda path: path, r"there is no file .*x\.npz: give an \.npz file"),
    "a folder": (lambda path: path.parent, r"there is no file .*: give an \.npz file"),
    "stdin": (lambda path: Path("-"), r"'-' is not a file here: give the name of a file"),
    "a single array": (plain_array, r"x\.npz is not an \.npz file, or it is cut: write it with numpy\.savez"),
    "cut": (lambda path: cut_short(npz(path, x=images(1))), r"is not an \.npz file, or it is cut"),
    "altered": (broken_inside, r"x\.npz cannot be read \(.*\): write it again with numpy\.savez"),
    "pickled": (pickled, r"x\.npz holds pickled objects, which are never loaded: save arrays of numbers"),
    "no arrays": (not_arrays, r"x\.npz holds 'x', which is not an array: write it with numpy\.savez"),
}


@pytest.mark.parametrize("case", INPUT_FILES)
def test_a_file_of_inputs_is_refused(case: str, workshop: Workshop, tmp_path: Path) -> None:
    make, words = INPUT_FILES[case]
    arguments = ["--inputs", make(tmp_path / "x.npz"), "-o", tmp_path / "y.npz"]
    check(words, refused("FileError", "run", workshop / "P.enclair", *arguments))


def test_an_output_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    arguments = ["run", workshop / "P.enclair", "--inputs", workshop / "one.npz", "-o"]
    existing = npz(tmp_path / "y.npz", y=0)
    assert "y.npz exists: choose another name, or overwrite it with --force" in refused(
        "FileError", *arguments, existing
    )
    assert f"{tmp_path} is a folder: give the name of a file" in refused("FileError", *arguments, tmp_path)
    assert "there is no folder" in refused("FileError", *arguments, tmp_path / "nowhere" / "y.npz")
    assert "'-' is not a file here" in refused("FileError", *arguments, "-")
    assert np.load(existing)["y"] == 0


# --- inputs of a program ---

INPUTS: dict[str, tuple[dict[str, Any], str]] = {
    "pixels out of range": (
        {"x": images(1) + 0.5},
        r"input 'x' has .* elements in all, outside of \[0, .*\], the range compiled for: scale them .* or compile",
    ),
    "NaN": ({"x": np.full((1, 1, 8, 8), np.nan)}, r"input 'x' has nan at \(0, 0, 0, 0\): replace NaN and infinity"),
    "infinity": (
        {"x": np.full((1, 1, 8, 8), np.inf)},
        r"input 'x' has inf at \(0, 0, 0, 0\): replace NaN and infinity",
    ),
    "another shape": (
        {"x": np.ones((1, 1, 8, 7))},
        r"input 'x' needs shape \(1, 1, 8, 8\), got \(1, 1, 8, 7\): reshape",
    ),
    "texts": ({"x": np.full((1, 1, 8, 8), "a")}, r"input 'x' must hold real numbers, got dtype <U1"),
    "booleans": ({"x": np.ones((1, 1, 8, 8), bool)}, r"must hold real numbers, got dtype bool: convert it to float32"),
    "another name": ({"image": images(1)}, r"the model's inputs are x; missing: x; unknown: image"),
    "an empty batch": ({"x": np.ones((0, 1, 8, 8))}, r"input 'x' has a batch of 0; the program takes multiples of 1"),
}


@pytest.mark.parametrize("case", INPUTS)
@pytest.mark.parametrize("command", ["run", "verify"])
def test_inputs_are_refused(command: str, case: str, workshop: Workshop, tmp_path: Path) -> None:
    arrays, words = INPUTS[case]
    output = ["-o", tmp_path / "y.npz"] if command == "run" else []
    inputs = npz(tmp_path / "x.npz", **arrays)
    program = workshop / "P.enclair"
    check(words, refused("InputError", command, program, "--inputs", inputs, "--backend", "clear", *output))


def test_an_unknown_backend_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    arguments = ["--inputs", workshop / "one.npz", "--backend", "tfhe"]
    words = "the backends are clear, simulated, bfv, got 'tfhe'"
    assert words in refused("RuntimeFailure", "verify", workshop / "P.enclair", *arguments)
    assert words in refused("RuntimeFailure", "run", workshop / "P.enclair", *arguments, "-o", tmp_path / "y.npz")


# --- artifacts ---

ARTIFACTS: dict[str, tuple[Callable[[Workshop, Path], Any], str]] = {
    "missing": (lambda workshop, path: None, r"P\.enclair: No such file or directory"),
    "no artifact": (lambda workshop, path: path.write_bytes(b"hello"), r"P\.enclair: not an enclair artifact"),
    "truncated": (
        lambda workshop, path: cut_short(Path(shutil.copy(workshop / "P.enclair", path))),
        r"P\.enclair: truncated or altered .*: get the file again",
    ),
    "altered": (
        lambda workshop, path: flipped(Path(shutil.copy(workshop / "P.enclair", path)), 2000),
        r"P\.enclair: .*altered.*: get the file again",
    ),
    "the client's": (
        lambda workshop, path: shutil.copy(workshop / "P.client.enclair", path),
        r"P\.enclair: this is a client's program .*; needed is a whole program",
    ),
}


@pytest.mark.parametrize("case", ARTIFACTS)
@pytest.mark.parametrize("command", ["inspect", "verify", "export-client"])
def test_an_artifact_is_refused(command: str, case: str, workshop: Workshop, tmp_path: Path) -> None:
    make, words = ARTIFACTS[case]
    make(workshop, tmp_path / "P.enclair")
    more = {"verify": ["--inputs", workshop / "one.npz"], "export-client": ["-o", tmp_path / "c"], "inspect": []}
    done = call(command, tmp_path / "P.enclair", *more[command])
    assert (done.code, done.out) == (2, "")
    check(words, done.err)
    assert "Traceback" not in done.err


def test_the_whole_program_is_refused_where_the_clients_is_needed(workshop: Workshop, tmp_path: Path) -> None:
    message = refused("WrongKind", "keygen", workshop / "P.enclair", "--keys", tmp_path / "keys")
    assert "P.enclair: this is a whole program" in message
    assert "needed is a client's program" in message
    assert not (tmp_path / "keys").exists()


def test_verify_needs_the_original_model(workshop: Workshop, tmp_path: Path) -> None:
    enclair.save(enclair.load(workshop / "P.enclair"), tmp_path / "P.enclair", source=False)
    message = refused("VerificationError", "verify", tmp_path / "P.enclair", "--inputs", workshop / "one.npz")
    assert (
        "program 'cnn' was saved without the original model, which the float execution runs: compile it again"
        in message
    )


# --- client and server ---


@dataclass(frozen=True)
class Served:
    """A folder with all messages of one session, a second one under way, and a program of another model."""

    workshop: Workshop
    folder: Path

    def serve(self, message: object, **options: object) -> list[object]:
        given = {"public-key": self.folder / "keys" / "public.key", "state": self.folder / "server", **options}
        flags = [part for name, value in given.items() for part in (f"--{name}", value)]
        return ["serve-stage", self.workshop / "P.enclair", *flags, "-i", message, "-o", self.folder / "new.msg"]

    def client(self, command: str, *more: object, keys: Path | None = None) -> list[object]:
        part = self.workshop / "P.client.enclair"
        return [command, part, "--keys", keys or self.folder / "keys", *more, "-o", self.folder / "new.msg"]


@pytest.fixture(scope="module")
def finished(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """A session that went through, one of two batches whose first answer came, keys of another program."""
    folder = tmp_path_factory.mktemp("served")
    exchange(workshop, folder, "one.npz")
    served = Served(workshop, folder)
    other = enclair.compile(cnn(seed=1), images(8))
    enclair.save_client(other.for_client(), folder / "other.client.enclair")
    for name in ("other", "again"):
        part = folder / "other.client.enclair" if name == "other" else workshop / "P.client.enclair"
        assert call("keygen", part, "--keys", folder / name).code == 0
    for name, inputs in (("two-up.msg", "two.npz"), ("fresh-up.msg", "one.npz")):
        done = call(*served.client("encrypt", "--inputs", workshop / inputs))
        assert done.code == 0, done.err
        (folder / "new.msg").rename(folder / name)
    assert call(*served.serve(folder / "two-up.msg")).code == 0
    (folder / "new.msg").rename(folder / "two-down.msg")
    return served


@pytest.fixture
def served(finished: Served) -> Iterator[Served]:
    yield finished
    assert not (finished.folder / "new.msg").exists()


def altered(served: Served, name: str, position: int) -> Path:
    copy = served.folder / "altered.msg"
    shutil.copy(served.folder / name, copy)
    flipped(copy, position)
    return copy


def test_a_replayed_round_is_refused(served: Served) -> None:
    message = refused("RepeatedRound", *served.serve(served.folder / "up1.msg"))
    assert "round 1 of session" in message
    assert "was served already: start a new session" in message


def test_an_altered_ciphertext_is_refused(served: Served) -> None:
    for position in (5000, -5000, -1):
        message = refused("Altered", *served.serve(altered(served, "fresh-up.msg", position)))
        assert "checksum does not fit, so it was altered on the way: send it again" in message
    message = refused("Altered", *served.client("client-stage", "-i", altered(served, "two-down.msg", 5000)))
    assert "checksum does not fit" in message


def test_a_truncated_message_is_refused(served: Served) -> None:
    copy = Path(shutil.copy(served.folder / "fresh-up.msg", served.folder / "short.msg"))
    message = refused("Truncated", *served.serve(cut_short(copy)))
    assert "the message says it has" in message
    copy.write_bytes(copy.read_bytes()[:50])
    assert "a message has at least 156 bytes, got 50: send it again" in refused("Truncated", *served.serve(copy))


def test_a_file_that_is_no_message_is_refused(served: Served) -> None:
    message = refused("NotAMessage", *served.serve(served.workshop / "one.npz"))
    assert "a message begins with" in message
    assert "this is not a message of enclair" in message
    assert "there is no file" in refused("FileError", *served.serve(served.folder / "nothing.msg"))


def test_another_public_key_is_refused(served: Served) -> None:
    again = served.folder / "again" / "public.key"
    message = refused("WrongKey", *served.serve(served.folder / "fresh-up.msg", **{"public-key": again}))
    assert "a message under key" in message
    assert "register the public key that belongs to the secret key in use" in message


def test_the_public_key_of_another_program_is_refused(served: Served) -> None:
    other = served.folder / "other" / "public.key"
    message = refused("WrongProgram", *served.serve(served.folder / "fresh-up.msg", **{"public-key": other}))
    assert "a message for program" in message


def test_keys_of_another_program_are_refused_by_the_client(served: Served) -> None:
    arguments = served.client("encrypt", "--inputs", served.workshop / "one.npz", keys=served.folder / "other")
    message = refused("KeyFileError", *arguments)
    assert "are not for" in message
    assert "make keys for this program with enclair keygen" in message


def test_a_secret_key_is_refused_by_the_server(served: Served, tmp_path: Path) -> None:
    secret = served.folder / "keys" / "secret.key"
    words = "this is a secret key: it must never leave the client"
    fresh = served.folder / "fresh-up.msg"
    assert words in refused("SecretKeyOffered", *served.serve(fresh, **{"public-key": secret}))
    assert words in refused("SecretKeyOffered", *served.serve(secret))
    shutil.copy(secret, tmp_path / "some.file")
    message = refused("SecretKeyOffered", *served.serve(fresh, state=tmp_path))
    assert "some.file is a secret key: it must never be on the server; remove it and make new keys" in message


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (
            lambda path: path.chmod(0o644),
            r"secret\.key has mode 0644, others may use it: chmod 600 .*, or make new keys",
        ),
        (lambda path: flipped(path, 5000), r"key file .* was altered or cut: restore it from a copy, or make new keys"),
        (cut_short, r"key file .* was altered or cut: restore it from a copy, or make new keys"),
        (lambda path: path.write_bytes(b"key"), r"secret\.key is not a key file of enclair"),
        (lambda path: path.unlink(), r"key file .*secret\.key cannot be opened: No such file"),
    ],
    ids=["mode", "altered", "cut", "no key", "missing"],
)
def test_a_key_file_is_refused(harm: Callable[[Path], Any], words: str, served: Served, tmp_path: Path) -> None:
    keys = Path(shutil.copytree(served.folder / "keys", tmp_path / "keys"))
    harm(keys / "secret.key")
    message = refused("KeyFileError", *served.client("encrypt", "--inputs", served.workshop / "one.npz", keys=keys))
    check(words, message)


def test_keys_are_never_overwritten(served: Served) -> None:
    part = served.workshop / "P.client.enclair"
    message = refused("KeyFileError", "keygen", part, "--keys", served.folder / "keys")
    assert "secret.key exists: keys are never overwritten; choose another folder" in message


def test_an_answer_of_a_session_that_is_over_is_refused(served: Served) -> None:
    message = refused("StateError", *served.client("decrypt", "-i", served.folder / "down3.msg"))
    assert "there is no session" in message
    assert "begun elsewhere (say where with --state), it is over" in message


def test_decrypting_too_early_is_refused(served: Served) -> None:
    message = refused("WrongRound", *served.client("decrypt", "-i", served.folder / "two-down.msg"))
    assert "the answer of round 1 of 3 is due, which is not the last: use enclair client-stage" in message


def test_an_upload_is_no_answer(served: Served) -> None:
    message = refused("WrongType", *served.client("client-stage", "-i", served.folder / "fresh-up.msg"))
    assert "a message of type ANSWER is due, got UPLOAD: send the messages in the order of the protocol" in message


def test_answers_that_lack_a_batch_are_refused(served: Served, tmp_path: Path) -> None:
    data = (served.folder / "two-down.msg").read_bytes()
    (tmp_path / "half.msg").write_bytes(data[: len(data) // 2])
    message = refused("StateError", *served.client("client-stage", "-i", tmp_path / "half.msg"))
    assert "the session has 2 batches" in message
    assert "holds 1 answers: give the whole file" in message


def test_answers_in_another_order_are_refused(served: Served, tmp_path: Path) -> None:
    data = (served.folder / "two-down.msg").read_bytes()
    half = len(data) // 2
    (tmp_path / "swapped.msg").write_bytes(data[half:] + data[:half])
    message = refused("StateError", *served.client("client-stage", "-i", tmp_path / "swapped.msg"))
    assert "the answers came in another order than the uploads" in message


def test_an_altered_client_state_is_refused(served: Served, tmp_path: Path) -> None:
    sessions = Path(shutil.copytree(served.folder / "keys" / "sessions", tmp_path / "sessions"))
    for path in sessions.rglob("*.state"):
        flipped(path, -1)
    more = ["--state", sessions, "-i", served.folder / "two-down.msg"]
    assert "was altered or cut: start a new session" in refused("StateError", *served.client("client-stage", *more))


def test_the_last_answer_is_for_decrypt(workshop: Workshop, tmp_path: Path) -> None:
    """A program of one round: its first answer is its last."""
    linear = model(
        [node("Conv", ["x", "w"], ["y"])], {"x": [1, 1, 8, 8]}, ["y"], {"w": np.ones((1, 1, 3, 3), np.float32)}
    )
    program = enclair.compile(linear, images(4))
    enclair.save(program, tmp_path / "P.enclair")
    enclair.save_client(program.for_client(), tmp_path / "P.client.enclair")
    shutil.copy(workshop / "one.npz", tmp_path / "one.npz")
    exchange(Workshop(tmp_path), tmp_path, "one.npz")
    part = [tmp_path / "P.client.enclair", "--keys", tmp_path / "keys"]
    assert call("encrypt", *part, "--inputs", tmp_path / "one.npz", "-o", tmp_path / "up.msg").code == 0
    server = [
        "--public-key",
        tmp_path / "keys" / "public.key",
        "--state",
        tmp_path / "server",
        "-i",
        tmp_path / "up.msg",
    ]
    assert call("serve-stage", tmp_path / "P.enclair", *server, "-o", tmp_path / "down.msg").code == 0
    message = refused("WrongRound", "client-stage", *part, "-i", tmp_path / "down.msg", "-o", tmp_path / "next.msg")
    assert "the answer of round 1 is the last: enclair decrypt makes the outputs of it" in message


# --- usage, and faults of our own ---


def test_wrong_usage_is_one_message_and_exit_code_2() -> None:
    assert "--inputs" in refused("UsageError", "compile", "m.onnx", "-o", "P.enclair")
    assert "No such command 'complie'" in refused("UsageError", "complie")
    assert "No such option: --bits" in refused("UsageError", "inspect", "P.enclair", "--bits")
    message = refused("UsageError", "compile", "m.onnx", "--inputs", "x", "-o", "y", "--tolerance", "low")
    assert "Invalid value for '--tolerance'" in message
    assert "enclair COMMAND --help says how it is used" in message


def test_a_file_without_permission_is_an_input_error(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    arguments = ["run", workshop / "P.enclair", "--inputs", workshop / "one.npz", "-o", tmp_path / "y.npz"]
    assert "one.npz: Permission denied" in refused("PermissionError", *arguments)


def test_a_fault_of_our_own_is_told_apart_and_shown_with_debug(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(enclair, "load", broken)
    done = call("inspect", workshop / "P.enclair", "--json")
    assert done.code == 70
    assert done.json["error"]["kind"] == "KeyError"
    assert "this is a fault of enclair: run it again with --debug" in done.err
    with pytest.raises(KeyError, match="lost"):
        call("inspect", workshop / "P.enclair", "--debug")
