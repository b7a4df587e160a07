"""Loading an artifact in Python and running it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import COLUMNS, ROWS, SmallModel, expected, two_inputs

from luthier.deploy import Artifact, load
from luthier.schedules import ArtifactError, InputError, Target, TargetError, UsageError

rng = np.random.default_rng(0)
X = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
Y = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
INPUTS = {"x": X, "y": Y}


@pytest.fixture
def artifact(artifact_folder: Path) -> Iterator[Artifact]:
    with load(artifact_folder) as loaded:
        yield loaded


def check(outputs: dict[str, np.ndarray], x: np.ndarray = X, weight: float = 2.0) -> None:
    wanted = expected(x, Y, weight)
    assert list(outputs) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(outputs[name], array)
        assert outputs[name].dtype == array.dtype


def test_runs_by_name_and_by_position(artifact: Artifact) -> None:
    check(artifact.run(INPUTS))
    check(artifact.run({"y": Y, "x": X}))
    scaled, *_, weights = artifact(X, Y)
    np.testing.assert_array_equal(scaled, X * weights)


def test_describes_itself(artifact: Artifact) -> None:
    assert [(p.name, str(p.tensor)) for p in artifact.inputs] == [
        ("x", "float32[37,11]"),
        ("y", "float32[37,11]"),
    ]
    assert "small(x: float32[37,11]" in repr(artifact)
    assert [s.source for s in artifact.manifest.steps] == ["first", "second", "third", "fourth"]


def test_outputs_belong_to_the_caller(artifact: Artifact) -> None:
    first = artifact.run(INPUTS)
    artifact.run({"x": X + 1, "y": Y})
    check(first)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads(artifact_folder: Path, threads: int) -> None:
    with load(artifact_folder, threads=threads) as artifact:
        check(artifact.run(INPUTS))
        assert artifact.threads == threads


def test_by_default_as_many_threads_as_built_for_and_as_cores(
    artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cores, threads in ((1, 1), (64, 2)):
        monkeypatch.setattr("luthier.deploy.artifact.available_cores", lambda n=cores: n)
        with load(artifact_folder) as artifact:
            assert artifact.threads == threads


@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_impossible_threads(artifact_folder: Path, threads: int) -> None:
    with pytest.raises(UsageError, match="between 1 and 1024"):
        load(artifact_folder, threads=threads)


def test_takes_any_memory_order(artifact: Artifact) -> None:
    wide = np.zeros((ROWS, 2 * COLUMNS), np.float32)
    wide[:, ::2] = X
    check(artifact.run({"x": wide[:, ::2], "y": np.asfortranarray(Y)}))
    raw = np.zeros(X.nbytes + 1, np.uint8)
    raw[1:] = X.reshape(-1).view(np.uint8)
    unaligned = raw[1:].view(np.float32).reshape(X.shape)
    check(artifact.run({"x": unaligned, "y": Y}))
    frozen = X.copy()
    frozen.flags.writeable = False
    check(artifact.run({"x": frozen, "y": Y}))


class Foreign:
    """An array of another library: DLPack and nothing else."""

    def __init__(self, array: np.ndarray, broken: bool = False) -> None:
        self.array, self.broken = array, broken

    def __dlpack__(self, **options: Any) -> Any:
        if self.broken:
            raise BufferError("it lies on another device")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def test_takes_dlpack(artifact: Artifact) -> None:
    check(artifact.run({"x": Foreign(X), "y": Foreign(Y)}))
    with pytest.raises(InputError, match=r"'x' is not an array on the CPU.*another device"):
        artifact.run({"x": Foreign(X, broken=True), "y": Y})


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"x": X}, "input 'y' is missing"),
        ({**INPUTS, "z": X}, r"no input is called 'z'; there are \['x', 'y'\]"),
        ({**INPUTS, "x": X[1:]}, r"'x' has the shape \(36, 11\), not \(37, 11\)"),
        ({**INPUTS, "x": X.reshape(-1)}, r"'x' has the shape \(407,\)"),
        ({**INPUTS, "x": X.astype(np.float64)}, "'x' is float64, not float32"),
        ({**INPUTS, "x": X.astype(">f4")}, "'x' is >f4, not float32"),
        ({**INPUTS, "x": X.tolist()}, "'x' is a list, not a NumPy or DLPack array"),
        ({**INPUTS, "x": None}, "'x' is a NoneType"),
        ([X, Y], "mapping"),
    ],
)
def test_wrong_inputs(artifact: Artifact, inputs: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as failure:
        artifact.run(inputs)
    assert "\n" not in str(failure.value)
    check(artifact.run(INPUTS))


def test_wrong_number_of_positional_inputs(artifact: Artifact) -> None:
    with pytest.raises(InputError, match="1 inputs given, 'small' has 2"):
        artifact(X)


def test_profile_times_every_step(artifact: Artifact) -> None:
    seconds = artifact.profile(INPUTS)
    assert len(seconds) == 4
    assert all(0 <= s < 10 for s in seconds)


def test_one_artifact_from_many_threads(artifact: Artifact) -> None:
    def often(seed: int) -> None:
        x = X + np.float32(seed)
        for _ in range(50):
            check(artifact.run({"x": x, "y": Y}), x)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(often, range(4)))


def test_closed(artifact_folder: Path) -> None:
    artifact, other = load(artifact_folder), load(artifact_folder)
    artifact.close()
    artifact.close()
    with pytest.raises(UsageError, match="closed"):
        artifact.run(INPUTS)
    check(other.run(INPUTS))
    other.close()


def test_rebuilt_artifact_is_seen_while_the_old_one_runs_on(tmp_path: Path) -> None:
    two_inputs(weight=2.0).build(tmp_path / "out")
    with load(tmp_path / "out") as old:
        two_inputs(weight=5.0).build(tmp_path / "out")
        with load(tmp_path / "out") as new:
            check(new.run(INPUTS), weight=5.0)
            check(old.run(INPUTS), weight=2.0)


def test_a_rebuilt_artifact_is_seen_whatever_the_process_has_open(tmp_path: Path) -> None:
    """Descriptors come again, and the loader knows a library by all of its paths."""
    kept = []
    for weight in (2.0, 3.0, 5.0, 7.0):
        two_inputs(weight=weight).build(tmp_path / "out")
        again = [load(tmp_path / "out") for _ in range(3)]
        for artifact in again:
            check(artifact.run(INPUTS), weight=weight)
        again[0].close()
        again[2].close()
        kept.append((again[1], weight))
    for artifact, weight in kept:
        check(artifact.run(INPUTS), weight=weight)
        artifact.close()


def test_cpu_without_the_features(
    small: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Target, "features", property(lambda self: ("sse3", "antigravity")))
    small.build(tmp_path / "out")
    with pytest.raises(TargetError, match="antigravity"):
        load(tmp_path / "out")


# ---- artifacts that were damaged ----


@pytest.fixture
def copy(artifact_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(artifact_folder, tmp_path / "copy", symlinks=True))


FILES = (
    "libsmall.so",
    "model.h",
    "luthier.hpp",
    "sample.npz",
    "cmake/smallConfig.cmake",
    "cmake/smallConfigVersion.cmake",
    "pkgconfig/small.pc",
)


def refused(folder: Path, words: str) -> None:
    with pytest.raises(ArtifactError, match=words) as failure:
        load(folder)
    assert "\n" not in str(failure.value)


def test_a_copy_is_as_good(copy: Path) -> None:
    with load(copy) as artifact:
        check(artifact.run(INPUTS))
        assert set(artifact.manifest.files) == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_missing_file(copy: Path, name: str) -> None:
    (copy / name).unlink()
    refused(copy, f"{name}: No such file")


@pytest.mark.parametrize("name", FILES)
def test_changed_file(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    refused(copy, f"{name} was changed after the build")


def test_truncated_library(copy: Path) -> None:
    (copy / "libsmall.so").write_bytes((copy / "libsmall.so").read_bytes()[:1000])
    refused(copy, "libsmall.so was changed")


def test_link_in_place_of_a_file(copy: Path, artifact_folder: Path) -> None:
    (copy / "libsmall.so").unlink()
    (copy / "libsmall.so").symlink_to(artifact_folder / "libsmall.so")
    refused(copy, "libsmall.so: Too many levels of symbolic links")


def test_folder_in_place_of_a_file(copy: Path) -> None:
    (copy / "model.h").unlink()
    (copy / "model.h").mkdir()
    refused(copy, "model.h: Is a directory")


def test_a_folder_that_is_not_an_artifact(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "manifest.json: No such file")
    refused(tmp_path, "manifest.json: No such file")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[" * 100000, "no JSON"),
        ("[]", "schema is not"),
        ('{"schema": "another"}', "schema is not"),
        ('{"schema": "luthier-artifact", "schema_version": 99}', "version is 99"),
        ('{"schema": "luthier-artifact", "schema_version": 1}', "malformed"),
    ],
)
def test_bad_manifest(copy: Path, text: str, words: str) -> None:
    (copy / "manifest.json").write_text(text)
    refused(copy, words)


Edit = Callable[[dict[str, Any]], object]


def first(manifest: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = manifest["entries"][0]
    return entry


def steps(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the one variant of the one entry point."""
    found: list[dict[str, Any]] = first(manifest)["variants"][0]["steps"]
    return found


WIDE = {"shape": [1000, 1000], "bytes": 4_000_000}
DOUBLE = {"dtype": "float64", "bytes": 8 * ROWS * COLUMNS}
EDITS: dict[str, tuple[Edit, str]] = {
    "file outside": (lambda m: m["files"].update({"../x": "0" * 64}), "malformed"),
    "absolute file": (lambda m: m["files"].update({"/etc/passwd": "0" * 64}), "malformed"),
    "hash": (lambda m: m["files"].update({"model.h": "abc"}), "malformed"),
    "other hash": (lambda m: m["files"].update({"model.h": "0" * 64}), "model.h was changed"),
    "no library": (lambda m: m["files"].pop("libsmall.so"), "does not name libsmall.so"),
    "files as list": (lambda m: m.update(files=[]), "malformed"),
    "shape": (lambda m: first(m)["inputs"][0].update(WIDE), "different models"),
    "its shape alone": (lambda m: m["inputs"].__setitem__(0, {}), "inputs are not those of its fi"),
    "negative shape": (lambda m: m["inputs"][0].update(shape=[-1]), "malformed"),
    "shape of text": (lambda m: m["inputs"][0].update(shape="ab"), "malformed"),
    "dtype": (lambda m: first(m)["outputs"][0].update(DOUBLE), "different models"),
    "unknown dtype": (lambda m: m["outputs"][0].update(dtype="object"), "malformed"),
    "fewer inputs": (lambda m: first(m)["inputs"].pop(), "different models"),
    "inputs as text": (lambda m: m.update(inputs="x"), "malformed"),
    "more steps": (lambda m: steps(m).append(steps(m)[0]), "different models"),
    "other steps": (lambda m: m["steps"].pop(), "steps are not those of its first entry point"),
    "step of no kernel": (lambda m: steps(m)[0].update(kernel=7), "names a kernel that is not th"),
    "target": (lambda m: m["target"].update(level="z80"), "malformed"),
    "name": (lambda m: m.update(name="../../x"), "malformed"),
    "workload": (lambda m: m["kernels"][0].update(workload=3), "malformed"),
    "source": (lambda m: m["kernels"][0].update(source="guess"), "malformed"),
    "record": (lambda m: m["kernels"][0].update(record="latest"), "malformed"),
    "count": (lambda m: m["kernels"][0].update(count=None), "malformed"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_edited_manifest(copy: Path, edit: str) -> None:
    change, words = EDITS[edit]
    text = (copy / "manifest.json").read_text()
    before, manifest = json.loads(text), json.loads(text)
    change(manifest)
    if manifest["entries"] != before["entries"]:
        manifest |= {kind: first(manifest)[kind] for kind in ("inputs", "outputs")}
        manifest["steps"] = steps(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    refused(copy, words)
