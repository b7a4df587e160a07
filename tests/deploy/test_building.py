"""Writing artifact folders."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_models import CODE, TARGET, SmallModel, compile_c, two_inputs

from luthier.deploy import Manifest, Selection, assemble, build, check_output, load, read_manifest
from luthier.frontend.program import Call, Library, Program
from luthier.schedules import (
    ArtifactError,
    Schedule,
    Tensor,
    ToolchainError,
    Workload,
    node,
)
from luthier.schedules.target import host


def output_of(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_library_exports_its_api_and_needs_the_system_alone(artifact_folder: Path) -> None:
    library = artifact_folder / "libsmall.so"
    dynamic = output_of("readelf", "-dW", library)
    assert set(re.findall(r"\(NEEDED\).*\[(\w+)", dynamic)) <= {"libc", "libm", "libpthread"}
    assert "Library soname: [libsmall.so]" in dynamic
    assert "TEXTREL" not in dynamic
    symbols = output_of("nm", "-D", "--defined-only", library)
    assert {line.split()[-1] for line in symbols.splitlines()} == {
        "luthier_model",
        "luthier_small",
    }
    assert re.search(r"GNU_STACK.* RW +", output_of("readelf", "-lW", library))


def test_folder_has_all_parts(artifact_folder: Path) -> None:
    files = {p.relative_to(artifact_folder).as_posix() for p in artifact_folder.rglob("*")}
    build = f"libsmall-{read_manifest(artifact_folder).files['libsmall.so'][:16]}.so"
    assert files == {
        "model.so", "libsmall.so", "model.h", "small.h", "luthier.hpp", "manifest.json",
        "sample.npz", "cmake", "cmake/smallConfig.cmake", "cmake/smallConfigVersion.cmake",
        "pkgconfig", "pkgconfig/small.pc", build,
    }  # fmt: skip
    assert not (artifact_folder / "libsmall.so").is_symlink()
    assert os.readlink(artifact_folder / "model.so") == build
    assert os.readlink(artifact_folder / build) == "libsmall.so"
    with np.load(artifact_folder / "sample.npz") as sample:
        assert sample.files == ["in:x"]
    assert stat.S_IMODE(artifact_folder.stat().st_mode) & 0o500 == 0o500


def test_nothing_of_the_build_machine_is_kept(artifact_folder: Path) -> None:
    for path in artifact_folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert str(Path.home()).encode() + b"/" not in data, path
            assert str(artifact_folder.parent).encode() not in data, path
            assert str(Path(__file__).parents[2]).encode() not in data, path


def test_the_manifest_has_every_field(artifact_folder: Path) -> None:
    data = json.loads((artifact_folder / "manifest.json").read_text())
    assert (data["schema"], data["schema_version"]) == ("luthier-artifact", 2)
    assert data["name"] == "small"
    assert data["inputs"][0] == {
        "name": "x", "dtype": "float32", "shape": [37, 11], "bytes": 1628
    }  # fmt: skip
    (entry,) = data["entries"]
    assert (entry["name"], entry["sizes"], entry["inputs"]) == ("run", [], data["inputs"])
    assert entry["variants"] == [{"sizes": [], "steps": data["steps"]}]
    assert data["features"] == ["sse3", "ssse3", "sse4_1", "sse4_2", "popcnt"]
    assert data["threads"] == 2
    assert set(data["versions"]) == {"luthier", "tvm", "onnx", "compiler"}
    assert [(k["source"], k["count"]) for k in data["kernels"]] == [("default", 2), ("default", 2)]
    assert data["weight_bytes"] == 64 + 44  # w reversed for the kernel, and as it is for an output
    assert data["arena_bytes"] >= 2 * 1628
    assert data["scratch_bytes"] == 44
    manifest = read_manifest(artifact_folder)
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_equal_builds_are_equal(small: SmallModel, tmp_path: Path) -> None:
    assert small.build(tmp_path / "a").files == small.build(tmp_path / "b").files


# ---- where it may be written ----


def nothing_left(folder: Path, *names: str) -> None:
    assert sorted(p.name for p in folder.iterdir()) == sorted(names)


def test_an_artifact_is_replaced(small: SmallModel, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    small.build(out)
    two_inputs("other").build(out)
    assert read_manifest(out).name == "other"
    assert not (out / "libsmall.so").exists()
    nothing_left(out.parent, "out")


def test_fills_an_empty_folder_and_follows_a_link(small: SmallModel, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    small.build(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    load(tmp_path / "real").close()


@pytest.mark.parametrize("what", ["file", "folder", "stranger", "broken"])
def test_nothing_else_is_replaced(small: SmallModel, tmp_path: Path, what: str) -> None:
    out = tmp_path / "out"
    if what == "file":
        out.write_text("mine")
    elif what == "folder":
        out.mkdir()
        (out / "thesis.txt").write_text("mine")
    else:
        small.build(out)
        (out / ("manifest.json" if what == "broken" else "cmake/mine.txt")).write_text("mine")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ArtifactError, match=r"choose another|move it away|remove it first"):
        small.build(out)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_unwritable(small: SmallModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write"):
        small.build(tmp_path / "file" / "out")
    with pytest.raises(ArtifactError, match="cannot write"):
        small.build(Path("/proc/luthier/out"))


def test_a_link_to_itself(small: SmallModel, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ArtifactError, match="not a folder"):
        small.build(tmp_path / "loop")
    with pytest.raises(ArtifactError, match="cannot write"):
        small.build(tmp_path / "loop" / "out")
    with pytest.raises(ArtifactError, match="null byte"):
        small.build(tmp_path / "a\0b")


def test_a_failed_build_leaves_no_folders(small: SmallModel, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    broken = SmallModel(small.program, small.kernels, b"no object")
    with pytest.raises(ToolchainError):
        broken.build(tmp_path / "mine" / "deep" / "er" / "out")
    nothing_left(tmp_path, "mine")
    nothing_left(tmp_path / "mine")


def test_an_output_folder_is_checked_without_touching_it(small: SmallModel, tmp_path: Path) -> None:
    assert check_output(tmp_path / "new" / "out") == tmp_path / "new" / "out"
    nothing_left(tmp_path)
    (tmp_path / "file").write_text("")
    for taken in (tmp_path / "file", tmp_path / "file" / "out", tmp_path):
        with pytest.raises(ArtifactError, match=r"choose another"):
            check_output(taken)


def test_a_failed_build_leaves_the_old_artifact(
    small: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.build(tmp_path / "out")
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    broken = SmallModel(small.program, small.kernels, b"no object")
    with pytest.raises(ToolchainError):
        broken.build(tmp_path / "out")

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("luthier.deploy.building.write_interface", interrupt)
    with pytest.raises(KeyboardInterrupt):
        small.build(tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before
    nothing_left(tmp_path, "out")


# ---- the compiler ----


@pytest.mark.parametrize("flags", ["", " -m64"])
def test_compilers(
    small: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, c_compiler: str, flags: str
) -> None:
    monkeypatch.setenv("CC", c_compiler + flags)
    manifest = small.build(tmp_path / "out")
    assert c_compiler in manifest.versions["compiler"]
    with load(tmp_path / "out") as artifact:
        x = np.ones((37, 11), np.float32)
        np.testing.assert_array_equal(artifact(x, x)[4], x)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-compiler", "no C compiler works"),
        ("false", "no C compiler works"),
        ("'", "is not a command"),
    ],
)
def test_bad_compiler(
    small: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: str
) -> None:
    monkeypatch.setenv("CC", command)
    with pytest.raises(ToolchainError, match=words):
        small.build(tmp_path / "out")
    nothing_left(tmp_path)


def test_no_compiler(small: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError, match="install gcc or clang, or set CC"):
        small.build(tmp_path / "out")


def test_missing_kernel_is_named(small: SmallModel, tmp_path: Path) -> None:
    code = compile_c(CODE, "-Dluthier_kernel_1_0=another")
    with pytest.raises(ToolchainError, match="luthier_kernel_1_0"):
        SmallModel(small.program, small.kernels, code).build(tmp_path / "out")


# ---- programs at the edge ----


def test_program_without_calls_and_tensors_without_elements(tmp_path: Path) -> None:
    scalar, empty, flags = Tensor((), "int64"), Tensor((0, 3)), Tensor((2,), "bool")
    program = Program(
        name="copies",
        values=(scalar, empty, flags, Tensor((1,), "int64")),
        inputs=(("scalar", 0), ("empty", 1)),
        outputs=(("scalar", 0), ("empty", 1), ("flags", 2), ("reshaped", 3)),
        constants={2: np.array([True, False])},
        views={3: 0},
        steps=(),
    )
    assemble(Library.of(program), tmp_path / "out", TARGET, [], [])
    with load(tmp_path / "out") as artifact:
        outputs = artifact(np.array(-7), np.zeros((0, 3), np.float32))
    assert [o.tolist() for o in outputs] == [-7, [], [True, False], [-7]]
    assert [o.shape for o in outputs] == [(), (0, 3), (2,), (1,)]


def test_program_without_inputs(tmp_path: Path) -> None:
    program = Program(
        "constant", (Tensor((2,)),), (), (("c", 0),), {0: np.array([1, 2], np.float32)}, {}, ()
    )
    assemble(Library.of(program), tmp_path / "out", TARGET, [], [])
    with load(tmp_path / "out") as artifact:
        assert artifact.run({})["c"].tolist() == [1, 2]


# ---- with real schedules ----


def test_build_uses_records_and_defaults(tmp_path: Path) -> None:
    from luthier.schedules.templates import registry

    matrix, row = Tensor((64, 50)), Tensor((50,))
    add = Workload(
        (matrix, row), (False, True), (node("add", (0, 1), matrix), node("relu", (2,), matrix))
    )
    tanh = Workload((matrix,), (False,), (node("tanh", (0,), matrix),))
    bias = np.linspace(-1, 1, 50, dtype=np.float32)
    program = Program(
        "real",
        (matrix, row, matrix, matrix, matrix),
        (("x", 0),),
        (("y", 4),),
        {1: bias},
        {},
        (Call(add, (0, 1), 2), Call(tanh, (2,), 3), Call(add, (3, 1), 4)),
    )
    target = host(2)
    space = registry.spaces(add, target)[0]
    record: Schedule = next(s for s in space if s != space.default_schedule())
    manifest = build(
        Library.of(program),
        tmp_path / "out",
        target,
        {add: Selection(record, "a0054fb9ff4c47b1")},
        model_sha256="0" * 64,
    )
    kernels = [
        (k.workload, k.schedule == record, k.source, k.record, k.count) for k in manifest.kernels
    ]
    assert kernels == [
        (add, True, "record", "a0054fb9ff4c47b1", 2),
        (tanh, False, "default", None, 1),
    ]
    assert read_manifest(tmp_path / "out") == manifest
    assert {"luthier", "tvm", "llvm", "onnx", "compiler"} == set(manifest.versions)
    x = np.random.default_rng(0).standard_normal((64, 50)).astype(np.float32)
    wanted = np.maximum(np.tanh(np.maximum(x + bias, 0)) + bias, 0)
    with load(tmp_path / "out") as artifact:
        np.testing.assert_allclose(artifact.run({"x": x})["y"], wanted, rtol=1e-5, atol=1e-6)
