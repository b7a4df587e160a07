"""States: from C, C++ and Python, and what the manifest says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kept_models
import numpy as np
import pytest
from kept_models import COLUMNS, ROWS
from sanitized import HERE, SANITIZERS, Sanitized
from test_c_api import run

from luthier.deploy import Artifact, Manifest, load
from luthier.schedules import ArtifactError, InputError, UsageError

PROMISES = re.findall(r"PROMISE\((\w+)\),", (HERE / "c_states.c").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("states") / "artifact"
    kept_models.make(out)
    return out


@pytest.fixture
def artifact(folder: Path) -> Iterator[Artifact]:
    with load(folder) as loaded:
        yield loaded


def append(artifact: Artifact, count: int, value: float) -> dict[str, Any]:
    new = np.full((ROWS, count, COLUMNS), value, np.float32)
    return artifact.run({"new": new, "x": np.ones(5, np.float32)})


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_promises_in_c(
    sanitized: Sanitized, tmp_path: Path, c_compiler: str, sanitizer: str
) -> None:
    objects = kept_models.write_sources(tmp_path)
    run(sanitized.program(c_compiler, sanitizer, "c_states.c", tmp_path, *objects), *PROMISES)


def test_cpp(folder: Path, tmp_path: Path, cxx_compiler: str) -> None:
    command = [cxx_compiler, "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    command += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{folder}"]
    command += [str(HERE / "cpp_states.cpp"), f"-L{folder}", "-lkept", f"-Wl,-rpath,{folder}"]
    subprocess.run([*command, "-o", tmp_path / "program"], check=True)
    run(tmp_path / "program")


class TestPython:
    def test_what_is_kept(self, artifact: Artifact) -> None:
        assert [note.name for note in artifact.state.notes] == ["past", "h_in"]
        assert list(map(str, artifact.sizes)) == ["new=1..4"]
        assert artifact.state.lengths == {"past": 0}
        assert np.array_equal(append(artifact, 3, 1)["sum"], np.full((ROWS, COLUMNS), 3))
        assert np.array_equal(append(artifact, 2, 5)["was"], np.ones(5))
        held = artifact.state.read()
        assert held["past"].shape == (ROWS, 5, COLUMNS)
        assert np.array_equal(held["past"][0, :, 0], [1, 1, 1, 5, 5])
        assert np.array_equal(held["h_in"], np.full(5, 3))
        artifact.state.reset()
        held = artifact.state.read()
        assert held["past"].shape == (ROWS, 0, COLUMNS)
        assert not held["h_in"].any()

    def test_entry_points_share_and_loads_do_not(self, folder: Path, artifact: Artifact) -> None:
        with artifact.entry("one") as one, load(folder) as other:
            append(artifact, 4, 1)
            assert append(one, 1, 2)["sum"][0, 0] == 6
            assert other.state.lengths == {"past": 0}
            other.state.copy_from(one)
            append(one, 1, 2)
            assert (other.state.lengths, one.state.lengths) == ({"past": 5}, {"past": 6})
            assert other.state.read()["past"][1, 4, 2] == 2

    def test_states_are_written(self, artifact: Artifact) -> None:
        past = np.arange(ROWS * 2 * COLUMNS, dtype=np.float32).reshape(ROWS, 2, COLUMNS)
        artifact.state.write({"past": past, "h_in": np.full(5, 9, np.float32)})
        found = append(artifact, 1, 0)
        assert np.array_equal(found["sum"], past.sum(1))
        assert np.array_equal(found["was"], np.full(5, 9))

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("past", np.zeros((ROWS, 11, COLUMNS), np.float32), "or less along axis 1"),
            ("past", np.zeros((ROWS, COLUMNS), np.float32), "not \\(2, 10, 3\\)"),
            ("past", np.zeros((ROWS, 1, COLUMNS)), "is float64, not float32"),
            ("h_in", [1.0] * 5, "is a list, not a NumPy array"),
        ],
    )
    def test_other_arrays_are_refused(
        self, artifact: Artifact, name: str, value: Any, message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            artifact.state.write({name: value})

    def test_names_that_are_not_there(self, artifact: Artifact) -> None:
        with pytest.raises(UsageError, match="no state is called 'h'"):
            artifact.state.write({"h": np.zeros(5, np.float32)})
        with pytest.raises(InputError, match="no input is called 'past'"):
            artifact.run({"past": np.zeros((ROWS, 1, COLUMNS), np.float32)})

    def test_a_full_state(self, artifact: Artifact) -> None:
        one = artifact.entry("one")
        for _ in range(7):
            append(one, 1, 1)
        with pytest.raises(InputError, match="'past', which is how much states hold, is 7, not in"):
            append(one, 1, 1)
        assert one.state.lengths == {"past": 7}

    def test_closed(self, folder: Path) -> None:
        artifact = load(folder)
        state = artifact.state
        artifact.close()
        for use in (state.reset, state.read, lambda: state.lengths):
            with pytest.raises(UsageError, match="was closed"):
                use()


class TestManifest:
    def data(self, folder: Path) -> Any:
        return json.loads((folder / "manifest.json").read_text())

    def test_it_tells_states(self, folder: Path) -> None:
        entry = self.data(folder)["entries"][0]
        assert entry["lengths"] == ["past=0..6"]
        assert entry["states"][0] == {
            "name": "past",
            "becomes": "present",
            "dtype": "float32",
            "shape": [2, 10, 3],
            "axis": 1,
            "length": "past",
        }
        assert "axis" not in entry["states"][1]
        header = (folder / "model.h").read_text()
        assert "'past' becomes 'present', float32[2,10,3] at most, as long as 'past'" in header

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"axis": 3}, "grows along no axis"),
            ({"length": "new"}, "grows along no axis, or by no size"),
            ({"axis": -1}, "malformed"),
            ({"name": "h_in"}, "two states have one name"),
            ({"shape": [2, 10, "3"]}, "malformed"),
            ({"dtype": "text"}, "malformed"),
        ],
    )
    def test_strangers(self, folder: Path, change: dict[str, Any], message: str) -> None:
        data = self.data(folder)
        data["entries"][0]["states"][0] |= change
        with pytest.raises(ArtifactError, match=message):
            Manifest.from_json(data)

    def test_a_length_that_is_no_states(self, folder: Path) -> None:
        data = self.data(folder)
        del data["entries"][0]["states"][0]
        with pytest.raises(ArtifactError, match="a length is not a state's"):
            Manifest.from_json(data)

    def test_states_that_are_not_the_librarys(self, folder: Path, tmp_path: Path) -> None:
        data = self.data(folder)
        data["entries"][1]["states"][0]["shape"] = [2, 11, 3]
        for path in folder.rglob("*"):
            target = tmp_path / path.relative_to(folder)
            if path.is_dir():
                target.mkdir()
            elif path.name != "manifest.json":
                target.write_bytes(path.read_bytes())
        (tmp_path / "manifest.json").write_text(json.dumps(data))
        with pytest.raises(ArtifactError, match="describe different models"):
            load(tmp_path)
