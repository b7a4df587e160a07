"""Sequences at a library's API: from Python, the command line and C, beside ONNX Runtime."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import luthier
from luthier.deploy import read_manifest

# A tensor goes into a sequence where a run says, all of it is turned; one is taken by its place.
TEXT = """
<ir_version: 8, opset_import: ["": 18]>
turned (seq(float[n,m]) x, optional(float[2,3]) more, int64 place, float[2] w)
    => (float[2] z, seq(float[m,n]) y, float[a,b] one) {
  t = OptionalGetElement (more)
  longer = SequenceInsert (x, t, place)
  y = SequenceMap <body = b (float[n,m] each) => (float[m,n] o) {
    o = Transpose <perm = [1, 0]> (each)
  }> (longer)
  one = SequenceAt (x, place)
  z = Neg (w)
}
"""
SHAPES = {"x": 2, "x_0": (2, 3), "x_1": (2, 3)}


@pytest.fixture(scope="module")
def proto() -> onnx.ModelProto:
    return onnx.parser.parse_model(TEXT)


@pytest.fixture(scope="module")
def folder(proto: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sequences") / "turned"
    report = luthier.build(proto, out, log=None, shapes=SHAPES, threads=1)
    assert report.problems == ()
    assert report.reference.startswith("onnxruntime")
    return out


@pytest.fixture
def artifact(folder: Path) -> Iterator[luthier.Artifact]:
    with luthier.load(folder) as loaded:
        yield loaded


def given(place: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng([seed, place + 5])
    a, b, c = rng.standard_normal((3, 2, 3)).astype(np.float32)
    return {"x": [a, b], "more": c, "place": np.array(place), "w": a[:, 0].copy()}


def test_lists_in_python(proto: onnx.ModelProto, artifact: luthier.Artifact) -> None:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    for place in (-2, -1, 0, 1):
        inputs = given(place)
        wanted = session.run(None, inputs)
        named = artifact.run(inputs)
        assert list(named) == ["z", "y", "one"]
        for (z, y, one), texts in ((named.values(), 0), (artifact(*inputs.values()), 1)):
            assert isinstance(y, list), texts
            for ours, theirs in zip([z, *y, one], [wanted[0], *wanted[1], wanted[2]], strict=True):
                assert ours.shape == theirs.shape
                np.testing.assert_array_equal(ours, theirs)


def test_tensors_by_their_own_names(artifact: luthier.Artifact) -> None:
    inputs = given(1)
    first, second = inputs.pop("x")
    flat = artifact.run({**inputs, "x_0": first, "x_1": second}, lists=False)
    assert list(flat) == ["z", "y_0", "y_1", "y_2", "one"]
    assert artifact.checked({**given(1)}).keys() == {"x_0", "x_1", "more", "place", "w"}
    assert [(a.name, a.count, a.absent) for a in artifact.gives] == [
        ("z", None, False),
        ("y", 3, False),
        ("one", None, False),
    ]
    assert [port.name for port in artifact.inputs] == ["x_0", "x_1", "more", "place", "w"]


def test_what_is_given_may_be_checked(proto: onnx.ModelProto) -> None:
    report = luthier.check(proto, log=None, shapes=SHAPES, inputs=given(-1), threads=1)
    assert report.ok
    assert [output.name for output in report.outputs] == ["z", "y_0", "y_1", "y_2", "one"]


A, B = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"x": [A]},
            "'x' has 1 tensors, but the library was built for 2: build one with --shape x=1",
        ),
        ({"x": [A, B, A]}, "'x' has 3 tensors"),
        ({"x": []}, "'x' has 0 tensors"),
        ({"x": None}, "'x' is a sequence of tensors: give a list of 2 arrays, not a NoneType"),
        ({"x": np.stack([A, B])}, "give a list of 2 arrays, not a ndarray"),
        ({"x": {"x_0": A}}, "give a list of 2 arrays, not a dict"),
        ({"x": [A, None]}, "input 'x_1' is a NoneType"),
        ({"x": [A, B[0]]}, "input 'x_1' has the shape (3,), not (2, 3)"),
        ({"x": [A, B.astype(np.float64)]}, "input 'x_1' is float64, not float32"),
        ({"more": None}, "input 'more' is a NoneType"),
        ({"place": np.array(3)}, "its place is outside of a sequence of 2"),
        ({"x_2": A}, "no input is called 'x_2'"),
    ],
    ids=str,
)
def test_what_is_given_wrong(artifact: luthier.Artifact, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(luthier.InputError) as error:
        artifact.run({**given(0), **wrong})
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    left = given(0)
    del left["x"]
    with pytest.raises(luthier.InputError, match="input 'x' is missing"):
        artifact.run(left)
    with pytest.raises(luthier.InputError, match="3 inputs given, 'turned' has 4"):
        artifact(A, B, A)


def test_it_is_timed(folder: Path) -> None:
    report = luthier.bench(folder, seconds=0.02, threads=1)
    assert report.median > 0


def test_by_the_command_line(cli, proto: onnx.ModelProto, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "turned.onnx"
    onnx.save(proto, path)
    done = cli("build", path, "-o", tmp_path / "out", "--no-log")
    assert done.code == 3
    assert "say of how many, such as --shape x=3 or shapes={'x': 3}" in done.err
    out = tmp_path / "results.npz"
    assert cli("run", folder, "--inputs", folder / "sample.npz", "--outputs", out).code == 0
    with np.load(out) as results, np.load(folder / "sample.npz") as sample:
        for name in results:
            np.testing.assert_array_equal(results[name], sample[f"out:{name}"])
    assert cli("check", folder).code == 0
    options = [
        f"--shape={name}={','.join(map(str, np.atleast_1d(s)))}" for name, s in SHAPES.items()
    ]
    # What is taken out of nothing is not a tensor, which says that the option is understood.
    done = cli("build", path, "-o", tmp_path / "out", "--no-log", *options, "--value", "more=none")
    assert "there is no element" in done.err


C = """
#include <model.h>
#include <stdio.h>
int main(void)
{
    const luthier_model *model = luthier_turned();
    luthier_instance *instance;
    luthier_error error;
    float x[2][6] = {{1, 2, 3, 4, 5, 6}, {7, 8, 9, 10, 11, 12}}, more[6] = {0, 0, 0, 0, 0, 1};
    float w[2] = {1, 2}, z[2], y[3][6], one[6];
    int64_t place = -1;
    if (model->input_count != 5 || model->output_count != 5)
        return 1;
    if (luthier_create(model, NULL, &instance, &error) != LUTHIER_OK)
        return 2;
    luthier_input in[5] = {{x[0], 24}, {x[1], 24}, {more, 24}, {&place, 8}, {w, 8}};
    luthier_output out[5] = {{z, 8}, {y[0], 24}, {y[1], 24}, {y[2], 24}, {one, 24}};
    if (luthier_run(instance, in, 5, out, 5, &error) != LUTHIER_OK)
        return 3;
    if (y[0][1] != 4 || y[1][5] != 1 || y[2][1] != 10 || one[0] != 7 || z[1] != -2)
        return 4;
    place = 5;
    if (luthier_run(instance, in, 5, out, 5, &error) != LUTHIER_BAD_SIZE)
        return 5;
    luthier_destroy(instance);
    return 0;
}
"""


def test_in_c(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(C)
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{folder}", "main.c"]
    command += [f"-L{folder}", "-lturned", f"-Wl,-rpath,{folder}", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "program"], check=False).returncode == 0
    header = (folder / "model.h").read_text()
    assert "'x' is the sequence of 2: 'x_0' and so on" in header


@pytest.mark.parametrize(
    "takes",
    [
        [{"name": "x", "sequence": 3}],
        [{"name": "x", "sequence": 1 << 40}],
        [{"name": "x", "sequence": -1}],
        [{"name": "x", "sequence": 2, "absent": True}],
        [{"name": "x", "absent": 1}],
        [{"sequence": 2}],
        [7],
        "x",
    ],
    ids=str,
)
def test_manifests_of_strangers(folder: Path, tmp_path: Path, takes: Any) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    entry = data["entries"][0]
    assert entry["takes"][0] == {"name": "x", "sequence": 2}
    assert entry["gives"][1] == {"name": "y", "sequence": 3}
    others = entry["takes"][1:] if isinstance(takes, list) else []
    entry["takes"] = takes + others if others else takes
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(luthier.ArtifactError, match="malformed"):
        read_manifest(tmp_path)


def test_nothing_is_given_for_what_is_absent(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 18]>
    maybe (optional(float[2]) x, seq(float[2]) e, float[2] w)
        => (seq(float[2]) y, optional(float[2]) o, float[2] z) {
      o = Identity (x)
      y = Identity (e)
      z = Neg (w)
    }"""
    made = onnx.parser.parse_model(text)
    luthier.build(
        made, tmp_path / "maybe", log=None, shapes={"e": 0}, values={"x": None}, threads=1
    )
    w = np.ones(2, np.float32)
    with luthier.load(tmp_path / "maybe") as artifact:
        assert artifact(None, [], w)[:2] == ([], None)
        assert artifact.run({"e": [], "w": w})["z"].tolist() == [-1, -1]
        with pytest.raises(luthier.InputError, match="'x' is given, but the library was built for"):
            artifact(w, [], w)
