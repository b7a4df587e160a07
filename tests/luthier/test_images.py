"""Images in and labels out, in the library: kernels, what describes them, and the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend"))

from image_reference import preprocessed

import luthier
from luthier.deploy import read_manifest

NORMAL = "scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225"
FLOAT = TensorProto.FLOAT
# Words, the image's size and channels, and what the model takes.
CASES = {
    "plain": (NORMAL, (13, 17), 3, (13, 17)),
    "swapped": (f"bgr {NORMAL}", (13, 17), 3, (13, 17)),
    "gray": ("rgba model_colours=gray", (13, 17), 4, (13, 17)),
    "by_channel": (f"nchw bgr {NORMAL}", (13, 17), 3, (13, 17)),
    "nearest": ("40x31 bgr resize=nearest", (40, 31), 3, (13, 17)),
    "bilinear": (f"40x31 bgr resize=bilinear {NORMAL}", (40, 31), 3, (13, 17)),
    "one_pixel": ("1x1 resize=bilinear", (1, 1), 1, (5, 6)),
    "antialias": ("97x61 shorter=18 resize=bilinear-antialias", (97, 61), 3, (13, 17)),
    "bicubic": ("nchw 97x61 resize=bicubic-antialias crop=0.9", (97, 61), 3, (13, 17)),
    "letterbox": (f"9x70 letterbox pad=114 resize=bilinear {NORMAL}", (9, 70), 3, (16, 32)),
}  # fmt: skip


def image_of(given, size, channels):
    shape = (1, *size, channels) if given.layout == "nhwc" else (1, channels, *size)
    return np.random.default_rng(sum(shape)).integers(0, 256, shape).astype(np.uint8)


def several():
    """Each input as it is."""
    inputs, outputs, nodes = [], [], []
    for name, (words, _, channels, to) in CASES.items():
        wanted = 1 if "model_colours=gray" in words else min(channels, 3)
        inputs.append(helper.make_tensor_value_info(name, FLOAT, [1, wanted, *to]))
        outputs.append(helper.make_tensor_value_info(f"{name}_y", FLOAT, [1, wanted, *to]))
        nodes.append(helper.make_node("Identity", [name], [f"{name}_y"]))
    graph = helper.make_graph(nodes, "several", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_kernels_compute_what_numpy_does(tmp_path):
    words = {name: case[0] for name, case in CASES.items()}
    luthier.build(several(), tmp_path / "out", log=None, preprocess=words)
    given = {name: luthier.Preprocess.parse(each) for name, each in words.items()}
    images = {name: image_of(given[name], *CASES[name][1:3]) for name in CASES}
    with luthier.load(tmp_path / "out") as artifact:
        found = artifact.run(images)
    for name, image in images.items():
        wanted = preprocessed(image, given[name], CASES[name][3])
        most = np.abs(wanted).max()
        np.testing.assert_allclose(
            found[f"{name}_y"], wanted, rtol=2e-5, atol=2e-5 * most, err_msg=name
        )


def classifier(path, opset=18):
    rng = np.random.default_rng(3)
    weights = {
        "w": rng.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "c": rng.standard_normal((8, 5)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["m"]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("MatMul", ["f", "c"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("image", FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("scores", FLOAT, [1, 5])],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path
    )


def by_ort(path, image):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image.astype(np.float32)})[0]


@pytest.mark.parametrize(
    "words",
    [
        f"bgr letterbox pad=9 resize=bilinear {NORMAL}",
        pytest.param("resize=nearest crop=0.9 scale=1/255", marks=pytest.mark.slow),
        pytest.param("shorter=19 resize=bilinear-antialias scale=1/255", marks=pytest.mark.slow),
    ],
)
def test_frames_of_any_size(tmp_path, words):
    path = tmp_path / "classifier.onnx"
    classifier(path)
    words = f"size=height,width {words}"
    best_two = luthier.Postprocess(activation="softmax", top=2, labels=list("abcde"))
    luthier.build(
        path,
        tmp_path / "out",
        log=None,
        preprocess={"image": words},
        postprocess={"scores": best_two},
        shapes={"height": range(1, 90), "width": range(1, 90)},
    )
    given = luthier.Preprocess.parse(words)
    with luthier.load(tmp_path / "out") as artifact:
        assert artifact.inputs[0].type == "uint8[1,height,width,3]"
        for size in ((1, 1), (89, 89), (1, 89), (16, 16), (48, 64), (7, 33)):
            image = image_of(given, size, 3)
            found = artifact.run({"image": image})
            raw = by_ort(path, preprocessed(image, given, (16, 16)))
            shares = np.exp(raw - raw.max()) / np.exp(raw - raw.max()).sum()
            best = np.argsort(-raw[0])[:2]
            assert found["scores_indices"].tolist() == [["abcde"[i] for i in best]], size
            np.testing.assert_allclose(found["scores"][0], shares[0, best], 1e-3, 1e-4)


def test_the_command_line_says_what_python_does(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classifier(tmp_path / "classifier.onnx")
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\ne\n")
    frame = f"uint8 nhwc 48x64 bgr resize=bilinear {NORMAL}"
    said = ["--preprocess", f"image={frame}", "--postprocess", "scores=top=3 labels=@labels.txt"]
    done = cli("build", "classifier.onnx", "-o", "out", "--no-log", *said)
    assert done.code == 0, done.err
    assert f"image: {frame}" in done.out
    assert "scores: top=3 labels=5" in done.out
    done = cli("check", "classifier.onnx", "--no-log", "--json", *said)
    assert done.code == 0, done.err
    assert json.loads(done.out)["ok"]
    manifest = read_manifest(tmp_path / "out")
    assert manifest.inputs[0].processing == frame
    assert [p.name for p in manifest.outputs] == ["scores", "scores_indices"]
    assert manifest.outputs[1].labels == tuple("abcde")
    header = (tmp_path / "out" / "model.h").read_text()
    assert f"uint8[1,48,64,3], 9216 bytes ({frame})" in header
    sample = np.load(tmp_path / "out" / "sample.npz")["in:image"]
    assert sample.dtype == np.uint8
    assert sample.max() > 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preprocess", "image"], "'image' is not a name, =, and words"),
        (["--preprocess", "image=bgr", "--preprocess", "image=rgb"], "'image' is there twice"),
        (["--preprocess", "image=48x64 bgrr"], "'bgrr' is none of its words"),
        (["--preprocess", "photo=bgr"], "the model's inputs are: 'image'"),
        (["--postprocess", "scores=top=9"], "top=9 of 5 elements"),
    ],
)
def test_mistakes_are_told_in_a_line(cli, tmp_path, arguments, said):
    path = tmp_path / "classifier.onnx"
    classifier(path)
    done = cli("build", str(path), "-o", str(tmp_path / "out"), "--no-log", *arguments)
    assert done.code != 0
    assert len(done.err.splitlines()) == 1
    assert said in done.err


def test_what_is_no_mapping_of_them_is_refused():
    with pytest.raises(luthier.UsageError, match="preprocess must be a mapping of names"):
        luthier.build("x.onnx", "out", preprocess="bgr")  # type: ignore[arg-type]
    with pytest.raises(luthier.UsageError, match=r"of x must be a luthier\.Preprocess"):
        luthier.build("x.onnx", "out", preprocess={"x": 3})  # type: ignore[dict-item]


def test_entry_points_have_their_own(tmp_path):
    classifier(tmp_path / "c.onnx")
    point = luthier.EntryPoint(tmp_path / "c.onnx", preprocess={"image": "bgr"})
    luthier.build({"camera": point, "plain": tmp_path / "c.onnx"}, tmp_path / "out", log=None)
    manifest = read_manifest(tmp_path / "out")
    kinds = [entry.inputs[0].type for entry in manifest.entries]
    assert kinds == ["uint8[1,16,16,3]", "float32[1,3,16,16]"]
