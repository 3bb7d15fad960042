"""What loading refuses, and what it says.

Forged members get a fitting manifest, so that the checks behind it are reached.
"""

import json
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from tests.golden.tiny import tiny_program
from tests.runtime.ckks import programs as full_mode

from enclair.compiler.artifact import (
    ArtifactError,
    DamagedArtifact,
    Limits,
    MalformedArtifact,
    UnknownFormat,
    WrongKind,
    load,
    load_client,
    save,
    save_client,
)
from enclair.compiler.artifact.container import CLIENT, PROGRAM, write_members
from enclair.compiler.program import ClientProgram, Program

Members = dict[str, bytes]
Change = Callable[[Members], None]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("original") / "p.enclair"
    save(replace(tiny_program(), source=b"source"), path)
    return path.read_bytes()


@pytest.fixture
def path(original: bytes, tmp_path: Path) -> Path:
    (tmp_path / "p.enclair").write_bytes(original)
    return tmp_path / "p.enclair"


@pytest.fixture
def client_path(tmp_path: Path) -> Path:
    save_client(tiny_program().for_client(), tmp_path / "p.client.enclair")
    return tmp_path / "p.client.enclair"


def members_of(path: Path) -> Members:
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forge(path: Path, change: Change, kind: str = PROGRAM) -> None:
    """Change members and write a manifest that fits."""
    members = members_of(path)
    del members["manifest.json"]
    change(members)
    write_members(path, kind, members)


def rezip(path: Path, change: Change) -> None:
    """Change members under the old manifest."""
    members = members_of(path)
    change(members)
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def refused(path: Path, kind: type[ArtifactError], message: str, limits: Limits | None = None) -> None:
    with pytest.raises(ArtifactError, match=re.escape(f"{path}: ") + ".*" + re.escape(message)) as caught:
        load(path, *([limits] if limits else []))
    assert type(caught.value) is kind


def replaced(name: str, old: str, new: str) -> Change:
    def change(members: Members) -> None:
        assert old.encode() in members[name]
        members[name] = members[name].replace(old.encode(), new.encode())

    return change


def edited(edit: Callable[[dict[str, Any]], None], name: str = "program.json") -> Change:
    def change(members: Members) -> None:
        edit(data := json.loads(members[name]))
        members[name] = json.dumps(data).encode()

    return change


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.enclair", ArtifactError, "No such file or directory")


def test_folder(tmp_path: Path) -> None:
    refused(tmp_path, ArtifactError, "Is a directory")


@pytest.mark.parametrize("data", [b"", b"PK", b"\x08\x07ONNX", b"\x7fELF" * 100])
def test_no_zip(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    refused(path, ArtifactError, "not an enclair artifact: it is no zip file")


def test_another_zip(path: Path) -> None:
    with ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    refused(path, ArtifactError, "not an enclair artifact: the zip file has no manifest.json")


@pytest.mark.parametrize("kept", [10, 1000, -1])
def test_truncated(kept: int, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    refused(path, DamagedArtifact, "truncated or altered (File is not a zip file): get the file again")


def test_altered_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    refused(path, DamagedArtifact, "truncated or altered")


def test_altered_member(path: Path) -> None:
    rezip(path, replaced("graphs/fixed.txt", "shift=9", "shift=8"))
    message = "member graphs/fixed.txt was altered: its sha256 is not the one in manifest.json"
    refused(path, DamagedArtifact, message)


def test_missing_member(path: Path) -> None:
    rezip(path, lambda members: members.pop("graphs/fixed.txt") and None)
    refused(path, DamagedArtifact, "member graphs/fixed.txt is missing: get the file again")


def test_unlisted_member(path: Path) -> None:
    rezip(path, lambda members: members.update({"more.txt": b""}))
    refused(path, DamagedArtifact, "member 'more.txt' is not listed in manifest.json")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicated_member(path: Path) -> None:
    with ZipFile(path, "a") as archive:
        archive.writestr("program.json", "{}")
    refused(path, DamagedArtifact, "member 'program.json' is there twice")


@pytest.mark.parametrize("name", ["../up.txt", "/etc/passwd", "graphs/../../x", "a\\b", "C:x"])
def test_names_that_lead_out(name: str, path: Path) -> None:
    with ZipFile(path, "a") as archive:
        archive.writestr(name, "")
    refused(path, DamagedArtifact, f"member name {name!r} leads out of the artifact")


def test_other_compression(path: Path) -> None:
    with ZipFile(path, "a", ZIP_LZMA) as archive:
        archive.writestr("more.txt", "more")
    refused(path, DamagedArtifact, "member 'more.txt' is encrypted, or compressed otherwise than by deflate")


def test_zip_bomb_is_not_inflated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ZipFile(path, "a", ZIP_DEFLATED) as archive:
        archive.writestr("constants/bomb.safetensors", bytes(5 << 20))
    monkeypatch.setattr(ZipFile, "read", lambda *_: pytest.fail("was inflated"))
    message = (
        "member 'constants/bomb.safetensors' would inflate to 5242880 bytes, at most 1048576 are read: load it with"
        " larger Limits if you trust it"
    )
    refused(path, ArtifactError, message, Limits(data_bytes=1 << 20))


def test_declared_size_is_what_is_read(path: Path) -> None:
    with ZipFile(path, "a", ZIP_DEFLATED) as archive:
        archive.writestr("constants/bomb.safetensors", bytes(5 << 20))
    lie = path.read_bytes().replace(struct.pack("<I", 5 << 20), struct.pack("<I", 5))
    path.write_bytes(lie)
    with ZipFile(path) as archive:
        assert archive.getinfo("constants/bomb.safetensors").file_size == 5
    refused(path, DamagedArtifact, "member 'constants/bomb.safetensors' is not listed in manifest.json")


def test_all_members_together_are_limited(path: Path) -> None:
    refused(path, ArtifactError, "the members would inflate to", Limits(total_bytes=1000))


def test_text_members_are_limited(path: Path) -> None:
    refused(path, ArtifactError, "would inflate to", Limits(text_bytes=100))


def manifest(**changes: object) -> Change:
    return edited(lambda data: data.update(changes), "manifest.json")


def test_newer_format(path: Path) -> None:
    rezip(path, manifest(format=4, enclair="7.0"))
    message = "format 4, written by enclair 7.0: this is a newer format than 3, which enclair"
    refused(path, UnknownFormat, message)
    refused(path, UnknownFormat, "use that release, or compile the model again")


@pytest.mark.parametrize("format_", [0, -1, "1", 1.0, True, None])
def test_format_that_is_none(format_: object, path: Path) -> None:
    rezip(path, manifest(format=format_))
    refused(path, MalformedArtifact, f"manifest.json: 'format' must be a positive integer, got {format_!r}")


def test_unknown_kind(path: Path) -> None:
    rezip(path, manifest(kind="server"))
    refused(path, MalformedArtifact, "manifest.json: 'kind' must be one of program, client, got 'server'")


def test_listless_manifest(path: Path) -> None:
    rezip(path, manifest(members=["program.json"]))
    refused(path, MalformedArtifact, "manifest.json: 'members' must give the sha256 of every member")


def test_manifest_that_is_no_json(path: Path) -> None:
    rezip(path, lambda members: members.update({"manifest.json": b"{"}))
    refused(path, MalformedArtifact, "manifest.json is not JSON")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff", "program.json is not JSON"),
        (b"[" * 100_000, "program.json is not JSON: maximum recursion depth exceeded"),
        (b"[1]", "program.json must hold a JSON object, got list"),
    ],
)
def test_record_that_is_no_object(data: bytes, message: str, path: Path) -> None:
    forge(path, lambda members: members.update({"program.json": data}))
    refused(path, MalformedArtifact, message)


def test_client_artifact_for_the_whole(client_path: Path) -> None:
    message = (
        "this is a client's program (P.client.enclair, made by `enclair export-client`); needed is a whole program"
    )
    refused(client_path, WrongKind, message)


def test_whole_artifact_for_the_client(path: Path) -> None:
    message = "this is a whole program (P.enclair, with the server's weights); needed is a client's program"
    with pytest.raises(WrongKind, match=re.escape(message)):
        load_client(path)


RECORDS = [
    (lambda d: d.pop("facts"), "program.json must have the fields name, inputs, outputs, exchanges, facts"),
    (lambda d: d.update(more=1), "program.json must have the fields"),
    (lambda d: d.update(name=3), "'name' must be of type str, got '3'"),
    (lambda d: d.update(inputs={}), "'inputs' must be of type list"),
    (lambda d: d.update(inputs=[[]]), "'inputs' must be of type dict"),
    (lambda d: d["inputs"][0].pop("low"), "entries of 'inputs' must have name, shape, low, high"),
    (lambda d: d["inputs"][0].update(low="a"), "'low' must be of type float, got 'a'"),
    (lambda d: d["inputs"][0].update(low=2.0), "an input needs finite low <= high, got 2.0 and 1.0"),
    (lambda d: d["inputs"][0].update(high=float("nan")), "an input needs finite low <= high, got -1.0 and nan"),
    (lambda d: d["inputs"][0].update(shape=[1, True]), "'shape' must be of type int, got 'True'"),
    (lambda d: d.update(outputs=[None]), "'outputs' must be of type str"),
    (lambda d: d["exchanges"][0].update(uploads=[["x"]]), "'uploads' must hold pairs of a name and a type"),
    (lambda d: d["exchanges"][0].update(uploads=[["x", "tape<3>"]]), "a type looks like real<1x3x8x8>"),
    (lambda d: d["exchanges"][0].update(answers=[["x", "real<3>"]]), "ciphertexts cross the wire, got real<3>"),
]


@pytest.mark.parametrize(("edit", "message"), RECORDS, ids=[message for _, message in RECORDS])
def test_malformed_records(edit: Callable[[dict[str, Any]], None], message: str, path: Path) -> None:
    forge(path, edited(edit))
    refused(path, MalformedArtifact, message)


FORGERIES: list[tuple[Change, str]] = [
    (lambda m: m.pop("program.json") and None, "member program.json is missing"),
    (lambda m: m.pop("graphs/round2.server.txt") and None, "member graphs/round2.server.txt is missing"),
    (lambda m: m.pop("constants/fixed.safetensors") and None, "member constants/fixed.safetensors is missing"),
    (lambda m: m.update({"graphs/round9.server.txt": b""}), "member 'graphs/round9.server.txt' is unknown"),
    (lambda m: m.update({"notes.txt": b""}), "member 'notes.txt' is unknown: this file was not written by enclair"),
    (lambda m: m.update({"parameters.json": b"{}"}), "parameters.json: parameters must be an object with ring_dim"),
    (lambda m: m.update({"parameters.json": b"\xff"}), "parameters.json: 'utf-8' codec can't decode"),
    (
        replaced("parameters.json", '"limbs":2', '"limbs":3'),
        "parameters.json: 3 primes of 54 bits make a modulus of 162",
    ),
    (replaced("graphs/fixed.txt", "= Relu()", "= Relu("), "graphs/fixed.txt does not parse: line 16: not a line"),
    (replaced("graphs/fixed.txt", "= Relu()", "= Evil()"), "unknown op or field 'Evil()'"),
    (
        replaced("graphs/fixed.txt", "graph tiny", "\xff"),
        "graphs/fixed.txt does not parse: line 1: not a line of a graph",
    ),
    (lambda m: m.update({"graphs/fixed.txt": b"\xff"}), "graphs/fixed.txt does not parse: 'utf-8' codec can't decode"),
    (replaced("graphs/fixed.txt", "shift=9", "shift=" + "-" * 5000 + "9"), "graphs/fixed.txt does not parse"),
    (
        replaced("graphs/fixed.txt", "%a2: fixed<1x2x6x6", "%a2: fixed<1x2x6x7"),
        "graphs/fixed.txt is not a graph of fixed",
    ),
    (replaced("graphs/fixed.txt", " @server:2", ""), "%c2 has no place: run PlaceOps first"),
    (replaced("graphs/fixed.txt", "strides=(1, 1)", "strides=5"), "graphs/fixed.txt is not a graph of fixed-point"),
    (replaced("graphs/fixed.txt", "output %y", "output %z"), "value %z is not defined before"),
    (replaced("graphs/round1.client.txt", "Quantise(scale_bits=5", "Quantise(scale_bits=6"), "2^-6>\n  in  %a1.q"),
    (
        lambda m: m.update({f"{a}/round1.server.{b}": m[f"{a}/round1.client.{b}"] for a, b in BOTH}),
        "Unpack does not work on ciphertexts",
    ),
    (
        lambda m: m.update({f"{a}/round1.client.{b}": m[f"{a}/round1.server.{b}"] for a, b in BOTH}),
        "PolynomialConvolution may not occur in a graph of what the client does in one round",
    ),
]
BOTH = (("graphs", "txt"), ("constants", "safetensors"))


@pytest.mark.parametrize(("change", "message"), FORGERIES, ids=[message for _, message in FORGERIES])
def test_malformed_members(change: Change, message: str, path: Path) -> None:
    forge(path, change)
    refused_anywhere(path, message)


def refused_anywhere(path: Path, message: str) -> None:
    """The message may go on over several lines: a graph is shown with its fault."""
    with pytest.raises(MalformedArtifact) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def constants(edit: Callable[[dict[str, Any]], object], label: str = "fixed") -> Change:
    name = f"constants/{label}.safetensors"

    def change(members: Members) -> None:
        edit(tensors := load_tensors(members[name]))
        members[name] = save_tensors(tensors)

    return change


CONSTANTS = [
    (lambda t: t.pop("w1"), "graphs/fixed.txt does not parse: no arrays given for the constants w1"),
    (lambda t: t.update(w9=np.zeros(3)), "constants/fixed.safetensors: constant 'w9' is not in the graph"),
    (
        lambda t: t.update(w1=t["w1"].astype(np.float64)),
        "constant 'w1' of type fixed<2x1x3x3, 2^-9> must be int64 of shape (2, 1, 3, 3), got float64",
    ),
    (lambda t: t.update(w1=t["w1"][:1]), "must be int64 of shape (2, 1, 3, 3), got int64 of shape (1, 1, 3, 3)"),
    (lambda t: t.update(slope=np.ones((2, 1, 1), dtype=int)), "must be float64 of shape (2, 1, 1), got int64"),
    (lambda t: t.update(w1=t["w1"] > 0), "constant 'w1' must be of integers or float64, got bool"),
]


@pytest.mark.parametrize(("edit", "message"), CONSTANTS, ids=[message for _, message in CONSTANTS])
def test_malformed_constants(edit: Callable[[dict[str, Any]], object], message: str, path: Path) -> None:
    forge(path, constants(edit))
    refused_anywhere(path, message)


@pytest.mark.parametrize("data", [b"", b"\x00" * 8, b"\xff" * 64], ids=["empty", "zeros", "ones"])
def test_constants_that_are_no_safetensors(data: bytes, path: Path) -> None:
    forge(path, lambda members: members.update({"constants/fixed.safetensors": data}))
    refused_anywhere(path, "constants/fixed.safetensors is not a file of safetensors")


def swap_answers(data: dict[str, Any]) -> None:
    first, second = data["exchanges"][0], data["exchanges"][1]
    first["answers"], second["answers"] = second["answers"], first["answers"]


EXCHANGES: list[tuple[Change, str]] = [
    (edited(swap_answers), "the answers of round 1 do not match the client's graphs"),
    (edited(lambda d: d["exchanges"][0].update(uploads=[])), "the uploads of round 1 do not match the client's graphs"),
    (
        edited(lambda d: d["exchanges"][0].update(answers=[["s1.ct", "cipher<2x8192, 2^-16>"]])),
        "round 1 exchanges %s1.ct of type cipher<2x8192, 2^-16>; the parameters have 4096 slots",
    ),
    (
        edited(lambda d: d["exchanges"][0].update(answers=[["s1.ct", "cipher<2x4096, 2^-15>"]])),
        "%s1.ct: slots<2x4096, 2^-15> are exchanged, %s1.ct: slots<2x4096, 2^-16, coefficients> are packed or unpacked",
    ),
    (
        edited(lambda d: d["inputs"][0].update(name="z")),
        "the client's prologue takes %x of type real<1x1x6x6>, got nothing",
    ),
    (edited(lambda d: d["inputs"][0].update(shape=[6, 6])), "takes %x of type real<1x1x6x6>, got real<6x6>"),
    (
        edited(lambda d: d.update(outputs=["z"])),
        "output %z must be a tensor of reals that the client computes, got None",
    ),
    (
        replaced("graphs/fixed.txt", "output %y", "output %y\noutput %y"),
        "the reference graph must take %x: real<1x1x6x6>",
    ),
]


@pytest.mark.parametrize(("change", "message"), EXCHANGES, ids=[message for _, message in EXCHANGES])
def test_parts_that_do_not_fit_together(change: Change, message: str, path: Path) -> None:
    forge(path, change)
    refused_anywhere(path, message)


def test_server_that_answers_something_else(path: Path) -> None:
    def rename(members: Members) -> None:
        replaced("graphs/round1.server.txt", "%s1.ct", "%other.ct")(members)

    forge(path, rename)
    refused_anywhere(path, "the exchange of round 1 does not match its graphs")


def test_server_that_takes_what_it_never_got(path: Path) -> None:
    forge(
        path, replaced("graphs/round2.server.txt", "graph round2", "graph round2\ninput %ghost: cipher<1x4096, 2^-5>")
    )
    message = "the server's graph of round 2 takes %ghost of type cipher<1x4096, 2^-5>, got nothing"
    refused_anywhere(path, message)


def test_client_artifact_is_checked_too(client_path: Path) -> None:
    forge(client_path, edited(lambda d: d.update(server_digests=["0"])), CLIENT)
    message = "a client's program of 3 rounds needs as many server digests, got 1"
    with pytest.raises(MalformedArtifact, match=re.escape(message)):
        load_client(client_path)
    forge(client_path, edited(lambda d: d.update(server_digests=["0"] * 3, exchanges=d["exchanges"][:1] * 3)), CLIENT)
    with pytest.raises(MalformedArtifact, match="the uploads of round 2 do not match the client's graphs"):
        load_client(client_path)


def test_client_artifact_takes_no_server_graph(client_path: Path) -> None:
    forge(client_path, lambda members: members.update({"graphs/fixed.txt": b""}), CLIENT)
    with pytest.raises(MalformedArtifact, match=re.escape("member 'graphs/fixed.txt' is unknown")):
        load_client(client_path)


FUZZ = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(data=st.data())
def test_altered_files_are_refused_with_a_message(data: st.DataObject, original: bytes, path: Path) -> None:
    altered = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        altered[data.draw(st.integers(4, len(altered) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(altered)
    outcome = loaded(path)
    assert isinstance(outcome, ArtifactError) or outcome == replace(tiny_program(), source=b"source")


@FUZZ
@given(data=st.data())
def test_forged_members_are_refused_or_make_a_program(data: st.DataObject, original: bytes, path: Path) -> None:
    path.write_bytes(original)
    name = data.draw(st.sampled_from(sorted(members_of(path))))

    def change(members: Members) -> None:
        if name in members:
            altered = bytearray(members[name])
            start = data.draw(st.integers(0, max(0, len(altered) - 1)))
            altered[start : start + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
            members[name] = bytes(altered)

    forge(path, change)
    assert isinstance(loaded(path), ArtifactError | Program)


@FUZZ
@given(lines=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=3))
def test_shuffled_graph_texts_are_refused_or_make_a_program(
    lines: list[tuple[int, int]], original: bytes, path: Path
) -> None:
    path.write_bytes(original)

    def shuffle(members: Members) -> None:
        text = members["graphs/fixed.txt"].decode().splitlines()
        for i, j in lines:
            text[i % len(text)], text[j % len(text)] = text[j % len(text)], text[i % len(text)]
        members["graphs/fixed.txt"] = "\n".join(text).encode()

    forge(path, shuffle)
    assert isinstance(loaded(path), ArtifactError | Program)


def loaded(path: Path) -> Program | ClientProgram | ArtifactError:
    try:
        return load(path)
    except ArtifactError as error:
        return error


def of_full_mode(tmp_path: Path) -> Path:
    path = tmp_path / "full.client.enclair"
    save_client(full_mode.tiny_program().for_client(), path)
    return path


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"levels": [1, 2]}, "program.json: 5 keys need as many levels, or none, got (1, 2)"),
        ({"levels": [1, 2, 2, 2, -1]}, "program.json: 5 keys need as many levels, or none, got (1, 2, 2, 2, -1)"),
        ({"levels": [1, 2, 2, 2, 3]}, "keys serve levels up to 2, that of the parameters, got one of 3"),
        ({"levels": "2"}, "levels"),
    ],
)
def test_levels_of_keys(keys: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = of_full_mode(tmp_path)
    forge(path, edited(lambda d: d["keys"].update(keys)), CLIENT)
    with pytest.raises(MalformedArtifact, match=re.escape(message)):
        load_client(path)
