"""Bad input: one clear line, its exit code, and nothing half-written.

Every case makes files in an empty folder, runs a command there, and the folder is as before.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from scale_model import scale_model

import luthier

Snapshot = dict[str, bytes | None]


def snapshot(folder: Path) -> Snapshot:
    """Everything in a folder: contents of files, targets of links, None for folders."""
    found: Snapshot = {}
    for path in folder.rglob("*"):
        name = os.fsdecode(os.fsencode(path.relative_to(folder)))
        if path.is_symlink():
            found[name] = os.fsencode(os.readlink(path))
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


@pytest.fixture
def refused(cli, elsewhere):
    """Runs a command that must fail with a code and words, and must change nothing."""

    def run(code: int, words: str, *arguments: object) -> str:
        before = snapshot(elsewhere)
        done = cli(*arguments)
        assert done.code == code, done.err
        assert done.out == ""
        assert done.err.startswith("luthier: error: ")
        assert done.err.count("\n") == 1
        assert "Traceback" not in done.err
        assert words in done.err
        assert snapshot(elsewhere) == before
        return done.err

    return run


BUILD = ("build", "model.onnx", "-o", "new/out")

# ---- models ----


def save(model: onnx.ModelProto) -> None:
    onnx.save(model, "model.onnx")


def with_node(op: str, domain: str = "", **attributes: object) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node(op, ["x"], ["y"], "the culprit", domain=domain, **attributes)
    opsets = [helper.make_opsetid("", 17)]
    opsets += [helper.make_opsetid(domain, 1)] if domain else []
    return helper.make_model(
        helper.make_graph([node], "bad", [x], [y]), opset_imports=opsets, ir_version=8
    )


def external(location: str, size: int = 160) -> onnx.ModelProto:
    """The small model, whose weights are ``size`` bytes in another file."""
    model = scale_model()
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(size)}.items():
        weights.external_data.add(key=key, value=value)
    return model


def truncated() -> None:
    data = scale_model().SerializeToString()
    Path("model.onnx").write_bytes(data[: len(data) // 2])


MODELS: dict[str, tuple[Callable[[], object], str]] = {
    "missing": (lambda: None, "model.onnx: cannot be read (No such file or directory)"),
    "a folder": (lambda: Path("model.onnx").mkdir(), "model.onnx: cannot be read (Is a directory)"),
    "a pipe": (lambda: os.mkfifo("model.onnx"), "model.onnx: cannot be read (not a regular file)"),
    "a device": (lambda: Path("model.onnx").symlink_to("/dev/zero"), "not a regular file"),
    "empty": (lambda: Path("model.onnx").write_bytes(b""), "this is not an ONNX model"),
    "no ONNX": (lambda: Path("model.onnx").write_text("hello"), "this is not an ONNX file"),
    "truncated": (truncated, "this is not an ONNX file, or it is cut short"),
    "unsupported operator": (
        lambda: save(with_node("TfIdf")),
        "1 operator is not supported: TfIdf (1 node, 'the culprit')",
    ),
    "operator of another domain": (
        lambda: save(with_node("FancyNorm", "com.example")),
        "1 operator is not supported: com.example.FancyNorm (1 node, 'the culprit')",
    ),
    "open sizes": (
        lambda: save(scale_model("batch")),
        "input 'x' has no size in dimension 0 ('batch'): give sizes, such as --shape x=1,8",
    ),
    "external data missing": (
        lambda: save(external("weights.bin")),
        "tensor 'w' has its data in 'weights.bin', which is missing",
    ),
    "external data in a pipe": (
        lambda: (save(external("weights.bin")), os.mkfifo("weights.bin")),
        "tensor 'w' has its data in 'weights.bin', which cannot be read (not a regular file)",
    ),
    "external data in a folder": (
        lambda: (save(external("weights.bin")), Path("weights.bin").mkdir()),
        "tensor 'w' has its data in 'weights.bin', which cannot be read (Is a directory)",
    ),
    "external data outside": (
        lambda: save(external("../weights.bin")),
        "tensor 'w' has its data outside the model's folder",
    ),
    "external data at an absolute path": (
        lambda: save(external("/etc/passwd")),
        "tensor 'w' has its data outside the model's folder",
    ),
    "external data too short": (
        lambda: (save(external("weights.bin")), Path("weights.bin").write_bytes(b"x" * 100)),
        "needs 160 bytes at 0 of 'weights.bin', which has 100 bytes",
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_model(refused, kind):
    make, words = MODELS[kind]
    make()
    line = refused(3, words, *BUILD)
    assert refused(3, words, "tune", "model.onnx", "--trials", "1", "--log", "log") == line
    if kind != "a folder":  # which would be an artifact
        assert refused(3, words, "check", "model.onnx") == line


def test_unsupported_operators_as_json(cli, elsewhere):
    save(with_node("TfIdf"))
    done = cli(*BUILD, "--json")
    assert done.code == 3
    shown = json.loads(done.out)
    assert shown["operators"] == {"TfIdf": ["the culprit"]}
    assert done.err == f"luthier: error: {shown['error']}\n"
    assert "express them by other operators" in shown["error"]


def test_an_output_that_is_declared_otherwise_is_a_warning(cli):
    proto = scale_model()
    declared = proto.graph.output[0].type.tensor_type.shape
    shape = [d.dim_value for d in declared.dim]
    declared.dim.add().dim_value = 7
    save(proto)
    done = cli("build", "model.onnx", "-o", "out")
    assert done.code == 0
    name = proto.graph.output[0].name
    assert done.err == (
        f"luthier: warning: output '{name}' has the shape {shape}, but the model declares "
        f"{[*shape, 7]}, which is ignored\n"
    )
    assert cli("check", "out").code == 0


def test_external_data_through_a_link(refused, tmp_path_factory):
    secret = tmp_path_factory.mktemp("secret") / "weights.bin"
    secret.write_bytes(b"x" * 160)
    Path("weights.bin").symlink_to(secret)
    save(external("weights.bin"))
    refused(3, "outside the model's folder", *BUILD)


def test_external_data_beside_the_model_is_fine(cli):
    weights = np.linspace(-1, 1, 40, dtype=np.float32)
    save(external("weights.bin"))
    weights.tofile("weights.bin")
    assert cli("build", "model.onnx", "-o", "out").code == 0


def test_a_model_too_large_for_memory(refused, monkeypatch):
    save(scale_model())
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=400))
    refused(3, "of memory, but 0.0 GB are free", *BUILD)


def test_memory_that_ends_on_the_way(refused, monkeypatch):
    def full(*_):
        raise MemoryError

    save(scale_model())
    monkeypatch.setattr("luthier.building.build.import_entries", full)
    refused(3, "the model needs more memory than is free", *BUILD)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("z=2,8", "a shape is given for 'z', but the model's inputs are: 'x', 'shift'"),
        ("x=2", "input 'x' has 2 dimensions in the model, but the shape [2]"),
        ("x=2,9", "input 'x' has size 8 in dimension 1, not 9"),
    ],
)
def test_a_shape(refused, shape, words):
    save(scale_model("batch"))
    refused(3, words, *BUILD, "--shape", shape)


def test_an_artifact_has_its_shapes_already(refused, artifact_folder):
    refused(2, "is built already", "check", artifact_folder, "--shape", "x=2,8")
    refused(2, "is built already", "check", artifact_folder, "--target", "x86-64-v2")
    refused(2, "is built already", "check", artifact_folder, "--accuracy", "strict")


def test_a_target(refused):
    save(scale_model())
    for command in (BUILD, ("tune", "model.onnx"), ("target",)):
        refused(7, "choose one of host, native, x86-64-v2", *command, "--target", "z80")


def test_no_compiler(refused, monkeypatch):
    save(scale_model())
    monkeypatch.setenv("CC", "/nonexistent/cc")
    for command in (BUILD, ("tune", "model.onnx"), ("check", "model.onnx")):
        refused(8, "no C compiler works (/nonexistent/cc); install gcc or clang", *command)


# ---- logs ----

LOGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda log: None, "cannot open the log 'log': No such file"),
    "a folder": (lambda log: log.mkdir(), "the log 'log'"),
    "no log": (lambda log: log.write_text("Dear diary,\n"), "'log' is not a tuning log"),
    "a model": (lambda log: log.write_bytes(b"\x08\x08\x12\x00"), "'log' is not a tuning log"),
    "a pipe": (os.mkfifo, "the log 'log' is not a regular file"),
}


@pytest.mark.parametrize("kind", LOGS)
def test_a_log(refused, kind):
    make, words = LOGS[kind]
    save(scale_model())
    make(Path("log"))
    refused(4, words, *BUILD, "--log", "log")
    if kind != "missing":  # tuning begins a log
        refused(4, words, "tune", "model.onnx", "--trials", "1", "--log", "log")


def test_a_log_where_none_can_be(refused):
    save(scale_model())
    refused(4, "cannot open the log", "tune", "model.onnx", "--log", "none/log", "--trials", "1")
    refused(4, "log '/proc/log'", "tune", "model.onnx", "--log", "/proc/log", "--trials", "1")


# ---- output folders ----


def test_an_unwritable_folder(refused):
    save(scale_model())
    refused(5, "cannot write", "build", "model.onnx", "-o", "/proc/luthier/out")
    refused(5, "cannot write", "build", "model.onnx", "-o", "model.onnx/out")


def test_anything_but_an_artifact_is_not_replaced(refused):
    save(scale_model())
    refused(5, "exists and is not a folder", "build", "model.onnx", "-o", "model.onnx")
    refused(5, "is not empty and not an artifact", "build", "model.onnx", "-o", ".")
    Path("thesis").mkdir()
    Path("thesis/manifest.json").write_text("{}")
    refused(5, "cannot be replaced, remove it first", "build", "model.onnx", "-o", "thesis")


def test_a_bad_folder_is_reported_before_any_work(refused, monkeypatch):
    save(scale_model())
    monkeypatch.setattr("luthier.building.build.import_entries", None)
    monkeypatch.setattr("luthier.tuning.tune.tune_workloads", None)
    for trials in ((), ("--trials", "5")):
        refused(5, "choose another", "build", "model.onnx", "-o", "model.onnx", *trials)


def test_a_failing_build_leaves_the_old_artifact_whole(refused, cli, monkeypatch):
    save(scale_model())
    assert cli("build", "model.onnx", "-o", "out").code == 0

    def broken(*_):
        raise luthier.ToolchainError("the linker failed")

    monkeypatch.setattr("luthier.deploy.building.link_library", broken)
    refused(8, "the linker failed", "build", "model.onnx", "-o", "out")
    assert cli("check", "out").code == 0


# ---- artifacts ----


@pytest.fixture
def copy(artifact_folder: Path) -> Path:
    return Path(shutil.copytree(artifact_folder, "copy", symlinks=True))


FILES = ("libscale.so", "model.h", "luthier.hpp", "sample.npz", "cmake/scaleConfig.cmake")


@pytest.fixture
def all_refuse(refused, arrays):
    """Every command that takes an artifact."""

    def run(code: int, words: str, folder: Path) -> None:
        np.savez("in.npz", **arrays)
        refused(code, words, "check", folder)
        refused(code, words, "bench", folder)
        refused(code, words, "run", folder, "--inputs", "in.npz", "--outputs", "new.npz")

    return run


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(all_refuse, copy, name):
    (copy / name).unlink()
    all_refuse(5, f"copy/{name}: No such file or directory; build the artifact again", copy)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_tampered_with(all_refuse, copy, name):
    with (copy / name).open("ab") as file:
        file.write(b"\n")
    all_refuse(5, f"copy/{name} was changed after the build; build it again", copy)


def change_input(manifest: dict, **changed: object) -> None:
    """Wherever it is told."""
    for inputs in (manifest["inputs"], manifest["entries"][0]["inputs"]):
        inputs[0].update(changed)


MANIFESTS: dict[str, tuple[Callable[[dict], object], str]] = {
    "other format": (lambda m: m.update(schema="zip"), "its schema is not 'luthier-artifact'"),
    "later version": (lambda m: m.update(schema_version=9), "its schema version is 9"),
    "lacks a field": (lambda m: m.pop("kernels"), "malformed: it has no 'kernels'"),
    "other shapes": (lambda m: change_input(m, shape=[4, 8], bytes=128), "different models"),
    "other types": (lambda m: change_input(m, dtype="int8", bytes=16), "different models"),
    "two minds": (lambda m: m["inputs"][0].update(shape=[4, 8]), "not those of its first entry"),
    "no library": (lambda m: m["files"].pop("libscale.so"), "does not name libscale.so"),
    "a way out": (lambda m: m["files"].update({"../../etc/passwd": "0" * 64}), "malformed"),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_manifest_that_was_tampered_with(all_refuse, copy, kind):
    change, words = MANIFESTS[kind]
    manifest = json.loads((copy / "manifest.json").read_text())
    change(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    all_refuse(5, words, copy)


def test_a_manifest_that_is_cut_short(all_refuse, copy):
    text = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(text[: len(text) // 2])
    all_refuse(5, "copy/manifest.json is no JSON; build the artifact again", copy)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_a_manifest_that_is_not_a_file(all_refuse, copy, kind):
    manifest = copy / "manifest.json"
    manifest.unlink()
    {
        "pipe": lambda: os.mkfifo(manifest),
        "folder": manifest.mkdir,
        "device": lambda: manifest.symlink_to("/dev/zero"),
    }[kind]()
    words = "Is a directory" if kind == "folder" else "not a regular file"
    all_refuse(5, f"copy/manifest.json: {words}; is this an artifact?", copy)


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_place_of_a_file(all_refuse, copy, name):
    (copy / name).unlink()
    os.mkfifo(copy / name)
    all_refuse(5, f"copy/{name}: not a regular file; build the artifact again", copy)


def test_a_folder_that_is_not_an_artifact(refused):
    Path("empty").mkdir()
    for folder in ("empty", "nothing"):
        refused(5, f"{folder}/manifest.json: No such file or directory; is this", "bench", folder)
    refused(5, "empty/manifest.json: No such file or directory; is this", "check", "empty")


def test_an_artifact_without_a_sample(refused, copy):
    (copy / "sample.npz").unlink()
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["sample.npz"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    for command in ("check", "bench"):
        refused(5, "copy/sample.npz: No such file or directory; build", command, copy)


def test_a_sample_of_another_model(refused, copy):
    np.savez(copy / "sample.npz", **{"in:x": np.zeros((2, 8), np.float32)})
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["sample.npz"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    refused(5, "sample.npz lacks an array for 'shift'; build the artifact again", "check", copy)


def test_an_artifact_for_a_better_cpu(refused, copy):
    from luthier.schedules import Target

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Target, "features", property(lambda self: ("antigravity",)))
        luthier.build(scale_model(), "future")
    refused(7, "antigravity; build the model for an older level", "check", "future")


# ---- arrays ----

X, SHIFT = np.zeros((2, 8), np.float32), np.zeros(5, np.float32)

INPUTS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "missing": ({"x": X}, "input 'shift' is missing"),
    "unknown": (
        {"x": X, "shift": SHIFT, "bias": SHIFT},
        "no input is called 'bias'; there are ['x', 'shift']",
    ),
    "shape": ({"x": X[:1], "shift": SHIFT}, "input 'x' has the shape (1, 8), not (2, 8)"),
    "dtype": ({"x": X.astype(float), "shift": SHIFT}, "input 'x' is float64, not float32"),
    "byte order": ({"x": X.astype(">f4"), "shift": SHIFT}, "input 'x' is >f4, not float32"),
    "text": ({"x": np.array(["a"]), "shift": SHIFT}, "input 'x' is <U1, not float32"),
    "nothing": ({}, "input 'x' is missing"),
}


def run_on(folder: Path, inputs: str = "in.npz") -> tuple[object, ...]:
    return "run", folder, "--inputs", inputs, "--outputs", "new.npz"


@pytest.mark.parametrize("kind", INPUTS)
def test_arrays_that_do_not_fit(refused, artifact_folder, kind):
    arrays, words = INPUTS[kind]
    np.savez("in.npz", **arrays)
    refused(6, words, *run_on(artifact_folder))


def objects() -> None:
    np.savez("in.npz", x=np.array([{"a": 1}], dtype=object))


def header(text: bytes) -> None:
    """An array that claims whatever ``text`` says, and has no data."""
    with zipfile.ZipFile("in.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)


def huge(shape: str) -> Callable[[], None]:
    return lambda: header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode())


def flipped() -> None:
    stream = io.BytesIO()
    np.savez(stream, x=X, shift=SHIFT)
    data = bytearray(stream.getvalue())
    data[160] ^= 1
    Path("in.npz").write_bytes(data)


ARCHIVES: dict[str, tuple[Callable[[], object], str]] = {
    "missing": (lambda: None, "in.npz: No such file or directory"),
    "a folder": (lambda: Path("in.npz").mkdir(), "in.npz: Is a directory"),
    "a pipe": (lambda: os.mkfifo("in.npz"), "in.npz: not a regular file"),
    "a device": (lambda: Path("in.npz").symlink_to("/dev/zero"), "not a regular file"),
    "empty": (lambda: Path("in.npz").write_bytes(b""), "this is not an .npz file"),
    "text": (lambda: Path("in.npz").write_text("x=1"), "this is not an .npz file"),
    "one array": (lambda: Path("in.npz").write_bytes(one_array()), "this is not an .npz file"),
    "damaged": (flipped, "this is not an .npz file as numpy.savez writes them, or it is damaged"),
    "pickled objects": (objects, "in.npz: it holds Python objects, which are not read"),
    "malformed header": (lambda: header(b"{'descr': __import__('os')}"), "not an .npz file"),
    "unending header": (lambda: header(b"{((((((((" * 900), "not an .npz file"),
    "terabytes": (huge(f"({1 << 44},)"), "do not fit into memory"),
    "beyond numbers": (huge(f"({1 << 80},)"), "not an .npz file"),
}


def one_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, X)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_file_of_arrays(refused, artifact_folder, kind):
    make, words = ARCHIVES[kind]
    make()
    refused(6, words, *run_on(artifact_folder))


def test_arrays_larger_than_memory(refused, artifact_folder, arrays, monkeypatch):
    np.savez_compressed("in.npz", **arrays)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=100))
    refused(6, "in.npz: its arrays do not fit into memory", *run_on(artifact_folder))


@pytest.mark.parametrize("target", ["none/out.npz", "folder", "in.npz/out.npz", "/proc/out.npz"])
def test_outputs_that_cannot_be_written(refused, artifact_folder, arrays, target):
    Path("folder").mkdir()
    np.savez("in.npz", **arrays)
    refused(6, "cannot write", "run", artifact_folder, "--inputs", "in.npz", "--outputs", target)


def test_a_device_is_not_replaced_by_a_file(refused, artifact_folder, arrays):
    np.savez("in.npz", **arrays)
    command = ("run", artifact_folder, "--inputs", "in.npz", "--outputs", "/dev/null")
    refused(6, "cannot write /dev/null: it is not a regular file", *command)
    assert not Path("/dev/null").is_file()
