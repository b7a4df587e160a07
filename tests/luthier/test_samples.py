"""An artifact keeps a sample of each entry point, which ``check`` replays and ``bench`` times."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest

import luthier
from luthier import EntryPoint

TEXT = """
<ir_version: 8, opset_import: ["": 18]>
%s (float[rows,3] x) => (float[rows,3] %s) { %s = Neg (x) }
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two entry points with an input of one name, whose outputs have others."""
    names = {"first": "y", "second": "z"}
    models = {n: onnx.parser.parse_model(TEXT % (n, out, out)) for n, out in names.items()}
    shapes = {"first": {"rows": 2}, "second": {"rows": range(1, 5)}}
    points = {name: EntryPoint(model, shapes=shapes[name]) for name, model in models.items()}
    folder = tmp_path_factory.mktemp("built") / "both"
    report = luthier.build(points, folder, log=None, threads=1)
    assert report.problems == ()
    return folder


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A copy, which a test may change."""
    return Path(shutil.copytree(built, tmp_path / "copy", symlinks=True))


def change(folder: Path, how: Callable[[dict[str, Any]], None]) -> None:
    """The manifest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    how(manifest)
    path.write_text(json.dumps(manifest))


def write_sample(folder: Path, name: str, **arrays: np.ndarray) -> None:
    np.savez(folder / name, **arrays)
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    change(folder, lambda manifest: manifest["files"].update({name: digest}))


def test_each_is_replayed(built: Path, cli: Any) -> None:
    report = luthier.check(built)
    assert (report.ok, report.runs, report.problems) == (True, 2, ())
    assert [each.title for each in report.outputs] == ["first:y", "second:z"]
    assert report.reference.startswith("the saved samples of onnxruntime ")
    done = cli("check", built)
    assert (done.code, done.err) == (0, "")
    assert "\nsecond:z " in done.out
    for name, output in (("sample.npz", "out:y"), ("sample-second.npz", "out:z")):
        with np.load(built / name) as arrays:
            assert arrays.files == ["in:x", output]


@pytest.mark.parametrize(
    ("name", "output", "rows", "said"),
    [("sample.npz", "y", 2, "first:y"), ("sample-second.npz", "z", 3, "second:z")],
)
def test_what_any_of_them_gets_wrong_is_found(
    folder: Path, cli: Any, name: str, output: str, rows: int, said: str
) -> None:
    x = np.ones((rows, 3), np.float32)
    write_sample(folder, name, **{"in:x": x, f"out:{output}": -2 * x})
    done = cli("check", folder)
    assert done.code == 9
    assert f"'{said}' by 1 (" in done.err


def test_what_an_older_luthier_built_has_the_first_ones_alone(folder: Path, cli: Any) -> None:
    (folder / "sample-second.npz").unlink()

    def older(manifest: dict[str, Any]) -> None:
        del manifest["samples"], manifest["files"]["sample-second.npz"]

    change(folder, older)
    done = cli("check", folder, "--json")
    report = json.loads(done.out)
    assert (report["ok"], report["runs"]) == (True, 1)
    assert [each["name"] for each in report["outputs"]] == ["y"]
    (problem,) = report["problems"]
    assert problem.startswith("the entry point 'second' was not checked: an older Luthier")
    done = cli("bench", folder, "--entry", "second", "--seconds", 0.01)
    assert done.out.startswith("rows=4: median ")


def test_one_that_nobody_could_compute_is_told(folder: Path) -> None:
    change(folder, lambda manifest: manifest["samples"]["second"].update(source=""))
    report = luthier.check(folder)
    assert [each.title for each in report.outputs] == ["first:y"]
    (problem,) = report.problems
    assert problem.startswith("the entry point 'second' was not checked: nobody could compute its")


def test_a_sample_that_is_missing_or_of_another_is_an_error(folder: Path, cli: Any) -> None:
    (folder / "sample-second.npz").unlink()
    change(folder, lambda manifest: manifest["files"].pop("sample-second.npz"))
    done = cli("check", folder)
    assert (done.code, done.err.count("\n")) == (5, 1)
    assert "copy/sample-second.npz: No such file or directory; build" in done.err
    for names in (["third"], ["first"], ["second", "third"]):
        change(folder, lambda m, names=names: m.update(samples=dict.fromkeys(names, m["sample"])))
        done = cli("check", folder)
        assert (done.code, done.err.count("\n")) == (5, 1)
        assert "a sample is of an entry point that is not there" in done.err


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(TEXT % ("first", "y", "y"))
    point = EntryPoint(model, shapes={"rows": 2})
    with pytest.raises(luthier.ModelError, match="is longer than 200 characters; rename it"):
        luthier.build({"a": point, "b" * 201: point}, tmp_path / "out", log=None)
    luthier.build({"a": point, "b" * 200: point}, tmp_path / "out", log=None)
