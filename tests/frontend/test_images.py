"""What is done to images and outputs: nodes that are written, run by ONNX Runtime; refusals."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).parent))

from image_reference import preprocessed

from luthier.frontend import Postprocess, Preprocess, read_model
from luthier.schedules import LuthierError, ModelError, UnsupportedOperator, UsageError

NORMAL = "scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225"


def model(shape, layout="nchw", elem=TensorProto.FLOAT, opset=18):
    """y = x, of images."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "images",
        [helper.make_tensor_value_info("x", elem, shape)],
        [helper.make_tensor_value_info("y", elem, None)],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def by_ort(proto, **inputs):
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)


def image_of(given: Preprocess, size, channels, batch=1):
    shape = (batch, *size, channels) if given.layout == "nhwc" else (batch, channels, *size)
    rng = np.random.default_rng(zlib.crc32(repr((str(given), size)).encode()))
    if given.dtype.startswith("float"):
        return rng.standard_normal(shape).astype(given.dtype)
    return rng.integers(0, np.iinfo(given.dtype).max + 1, shape).astype(given.dtype)


CASES = {
    "as it is": ("", (5, 7), 3, (5, 7)),
    "one channel": ("scale=1/255", (5, 7), 1, (5, 7)),
    "four channels": ("nhwc mean=1,2,3,4", (3, 5), 4, (3, 5)),
    "normal": (NORMAL, (6, 5), 3, (6, 5)),
    "normal nchw": (f"nchw {NORMAL}", (6, 5), 3, (6, 5)),
    "bgr": (f"bgr {NORMAL}", (4, 9), 3, (4, 9)),
    "bgr nchw": (f"nchw bgr {NORMAL}", (4, 9), 3, (4, 9)),
    "bgra to bgr": ("bgra model_colours=bgr", (4, 9), 4, (4, 9)),
    "gray to rgb": ("gray std=2", (4, 9), 1, (4, 9)),
    "rgb to gray": ("rgb model_colours=gray mean=3", (4, 9), 3, (4, 9)),
    "bgra to gray nchw": ("nchw bgra model_colours=gray", (4, 9), 4, (4, 9)),
    "nearest": ("11x17 resize=nearest", (11, 17), 3, (5, 7)),
    "nearest larger": ("2x3 resize=nearest bgr", (2, 3), 3, (5, 7)),
    "bilinear": (f"11x17 resize=bilinear {NORMAL}", (11, 17), 3, (5, 7)),
    "bilinear larger": ("3x2 resize=bilinear", (3, 2), 3, (8, 7)),
    "bilinear of one pixel": ("1x1 resize=bilinear bgr", (1, 1), 3, (4, 5)),
    "bilinear to one pixel": ("9x8 resize=bilinear", (9, 8), 3, (1, 1)),
    "bilinear nchw": (f"nchw 11x17 bgr resize=bilinear {NORMAL}", (11, 17), 3, (5, 7)),
    "bilinear gray": ("11x17 bgr model_colours=gray resize=bilinear", (11, 17), 3, (5, 7)),
    "antialias": ("31x47 bgr resize=bilinear-antialias", (31, 47), 3, (5, 7)),
    "antialias larger": ("3x4 resize=bilinear-antialias", (3, 4), 3, (9, 11)),
    "antialias nchw": ("nchw 31x9 resize=bilinear-antialias", (31, 9), 3, (5, 12)),
    "bicubic": ("31x47 rgba resize=bicubic-antialias", (31, 47), 4, (6, 7)),
    "crop": ("9x12 crop=4x7", (9, 12), 3, (4, 7)),
    "crop a part": ("9x13 crop=0.875 resize=bilinear", (9, 13), 3, (4, 5)),
    "shorter": ("17x23 shorter=8 resize=bilinear-antialias", (17, 23), 3, (7, 7)),
    "shorter tall": ("23x17 shorter=9 resize=bilinear", (23, 17), 3, (6, 9)),
    "letterbox wide": ("11x31 letterbox pad=114 resize=bilinear", (11, 31), 3, (8, 9)),
    "letterbox tall": ("31x11 bgr letterbox resize=nearest pad=1", (31, 11), 3, (8, 9)),
    "letterbox thin": ("1x40 letterbox resize=bilinear-antialias pad=7", (1, 40), 3, (8, 9)),
    "letterbox nchw": (f"nchw 11x31 letterbox pad=9 resize=bilinear {NORMAL}", (11, 31), 3, (8, 9)),
    "uint16": ("uint16 scale=1/65535", (3, 5), 3, (3, 5)),
    "float32": ("float32 bgr 9x9 resize=bilinear", (9, 9), 3, (4, 4)),
    "float16": ("float16", (3, 5), 3, (3, 5)),
    "model nhwc": ("11x17 model_layout=nhwc resize=bilinear", (11, 17), 3, (5, 7)),
    "model nhwc of nchw": ("nchw model_layout=nhwc mean=1,2,3", (5, 7), 3, (5, 7)),
}  # fmt: skip


def case_of(name):
    words, size, channels, to = CASES[name]
    given = Preprocess.parse(words) if words else Preprocess()
    wanted = channels if given.colours is None else 1 if given.model_colours == "gray" else 3
    shape = (2, wanted, *to) if given.model_layout == "nchw" else (2, *to, wanted)
    return given, image_of(given, size, channels, 2), shape, to


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("opset", [7, 18])
def test_nodes_compute_what_the_reference_does(name, opset):
    given, image, shape, to = case_of(name)
    opset = max(opset, 9) if given.letterbox else opset
    read = read_model(model(shape, opset=opset), preprocess={"x": given})
    assert Preprocess.parse(str(given)) == given
    (found,) = by_ort(read.proto, x=image)
    wanted = preprocessed(image, given, to)
    assert found.shape == wanted.shape == shape
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5 * np.abs(wanted).max())
    assert read.processing == {"x": str(given)}


SIZES = {"height": range(1, 60), "width": range(1, 60)}


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize(
    "words",
    [
        "resize=nearest bgr",
        "resize=bilinear",
        "resize=bilinear-antialias crop=0.7",
        "resize=bicubic-antialias shorter=9",
        "resize=bilinear letterbox pad=9",
        "resize=bilinear-antialias letterbox",
    ],
)
def test_open_sizes_are_computed_with(words, layout):
    given = Preprocess.parse(f"{layout} size=height,width {words}")
    read = read_model(model((1, 3, 8, 9)), SIZES, preprocess={"x": given})
    for size in ((1, 1), (59, 59), (8, 9), (3, 59), (58, 7), (13, 14)):
        image = image_of(given, size, 3)
        (found,) = by_ort(read.proto, x=image)
        wanted = preprocessed(image, given, (8, 9))
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=5e-3, err_msg=str(size))


def test_models_of_whole_numbers_get_whole_numbers():
    given = Preprocess.parse("11x17 resize=bilinear scale=2 mean=128")
    image = image_of(given, (11, 17), 3)
    read = read_model(model((1, 3, 5, 7), elem=TensorProto.INT8), preprocess={"x": given})
    (found,) = by_ort(read.proto, x=image)
    wanted = np.clip(np.floor(preprocessed(image, given, (5, 7)) + 0.5), -128, 127)
    assert np.abs(found - wanted).max() <= 1
    assert (found == wanted).mean() > 0.99
    same = read_model(model((1, 3, 5, 7), elem=TensorProto.UINT8), preprocess={"x": Preprocess()})
    image = image_of(Preprocess(), (5, 7), 3)
    assert np.array_equal(by_ort(same.proto, x=image)[0], image.transpose(0, 3, 1, 2))


def test_open_sizes_of_the_model_are_those_of_the_image():
    proto = model(("batch", 3, "rows", "columns"))
    shapes = {"batch": 2, "rows": range(1, 9), "columns": 5}
    read = read_model(proto, shapes, preprocess={"x": Preprocess.parse(f"bgr {NORMAL}")})
    image = image_of(Preprocess(), (4, 5), 3, 2)
    wanted = preprocessed(image, Preprocess.parse(f"bgr {NORMAL}"), (4, 5))
    np.testing.assert_allclose(by_ort(read.proto, x=image)[0], wanted, rtol=1e-5, atol=1e-5)


# ---- outputs ----

LOGITS = np.random.default_rng(1).standard_normal((2, 7)).astype(np.float32)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@pytest.mark.parametrize("opset", [7, 10, 18])
def test_outputs_become_others(opset):
    proto = model((2, 7), opset=opset)
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 7]))

    def found(words):
        read = read_model(proto, postprocess={"y": Postprocess.parse(words)})
        assert next(o.name for o in read.proto.graph.output) == "y"
        return by_ort(read.proto, x=LOGITS)

    np.testing.assert_allclose(found("softmax")[0], softmax(LOGITS), rtol=1e-5)
    np.testing.assert_allclose(found("sigmoid")[0], 1 / (1 + np.exp(-LOGITS)), rtol=1e-5)
    assert np.array_equal(found("argmax")[0], LOGITS.argmax(1))
    assert np.array_equal(found("argmax axis=0")[0], LOGITS.argmax(0))
    values, places = found("softmax top=3")
    order = np.argsort(-LOGITS, axis=1)[:, :3]
    assert np.array_equal(places, order)
    np.testing.assert_allclose(values, np.take_along_axis(softmax(LOGITS), order, 1), rtol=1e-5)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_an_image_comes_of_what_was_made_of_one(layout):
    given = Preprocess.parse(f"{layout} bgr {NORMAL}")
    back = Postprocess.parse(f"image {layout} colours=bgr {NORMAL}")
    proto = model((1, 3, 6, 5))
    shape = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 6, 5])
    proto.graph.output[0].CopyFrom(shape)
    read = read_model(proto, preprocess={"x": given}, postprocess={"y": back})
    image = image_of(given, (6, 5), 3)
    assert np.array_equal(by_ort(read.proto, x=image)[0], image)
    alone = read_model(proto, postprocess={"y": back})
    x = np.random.default_rng(2).standard_normal((1, 3, 6, 5)).astype(np.float32) * 5
    mean, std = (np.array(each)[:, None, None] for each in (back.mean, back.std))
    wanted = np.clip(np.floor((x * std + mean) * 255 + 0.5), 0, 255)[:, ::-1]
    wanted = wanted if layout == "nchw" else wanted.transpose(0, 2, 3, 1)
    (found,) = by_ort(alone.proto, x=x)
    assert found.dtype == np.uint8
    assert np.abs(found - wanted).max() <= 1
    assert (found == wanted).mean() > 0.98


def test_labels_are_of_places(tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\nc d\n")
    words = f"top=2 labels=@{tmp_path / 'labels.txt'}"
    read = read_model(model((2, 3)), postprocess={"y": Postprocess.parse(words)})
    assert read.labels == {"y_indices": ("a", "b", "c d")}
    best = Postprocess(argmax=True, labels=["p", "q", "r"])
    assert read_model(model((2, 3)), postprocess={"y": best}).labels == {"y": ("p", "q", "r")}


# ---- refusals ----


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        (Preprocess, "480x640 bgrr", "'bgrr' is none of its words: uint8"),
        (Preprocess, "colors=bgr", "'colors=bgr' is none of its words"),
        (Preprocess, "resize=blinear", "'resize=blinear' must be one of nearest, bilinear"),
        (Preprocess, "480x640 size=1x1", "'size=1x1' says size a second time"),
        (Preprocess, "480x", "'480x' must be a height and a width"),
        (Preprocess, "size=9999999999x1", "must be a height and a width"),
        (Preprocess, "99999x1", "each side in size must be at most 65536, not 99999"),
        (Preprocess, "mean=0.5,,1", "'mean=0.5,,1' must be numbers"),
        (Preprocess, "scale=1/0", "'scale=1/0' must be a number"),
        (Preprocess, "scale=nan", "'scale=nan' must be a number"),
        (Preprocess, "scale=0", "scale and std must be numbers other than 0"),
        (Preprocess, "std=1,0", "scale and std must be numbers other than 0"),
        (Preprocess, "letterbox=yes", "'letterbox=yes' must be alone"),
        (Preprocess, "resize=bilinear", "crop and resize need the image's size"),
        (Preprocess, "9x9 letterbox", "letterbox needs resize"),
        (Preprocess, "9x9 letterbox shorter=9 resize=nearest", "exclude each other"),
        (Preprocess, "9x9 resize=nearest letterbox pad=1e39", "pad must be at least"),
        (Preprocess, "9x9 resize=nearest pad=3", "pad is what is around the image with letterbox"),
        (Preprocess, "9x9 crop=1.5", "crop must be above 0 and at most 1"),
        (Preprocess, "model_colours=bgr", "model_colours needs colours"),
        (Postprocess, "soft", "'soft' is none of its words: softmax"),
        (Postprocess, "top=0", "top must be between|top must be at least 1"),
        (Postprocess, "top=1 argmax", "argmax and top exclude each other"),
        (Postprocess, "axis=1", "postprocess does nothing without one of softmax"),
        (Postprocess, "softmax scale=2", "scale is of an image, which is not asked for"),
        (Postprocess, "softmax image", "an image is not made of argmax, top or softmax"),
        (Postprocess, "softmax labels=@nowhere.txt", "nowhere.txt"),
        (Postprocess, "softmax labels=a", "'labels=a' must be a file"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_by_the_word(kind, words, said):
    with pytest.raises(UsageError, match=said):
        kind.parse(words)


@pytest.mark.parametrize(
    ("shape", "words", "said"),
    [
        ((1, 3, 8), "bgr", "it must have the 4 dimensions of images"),
        ((1, 3, 8, 8), "9x9", "the image is 9x9 and the model's images are 8x8: say how"),
        ((1, 3, 8, 8), "9x9 resize=nearest to=7x7", "the model's images are 8x8, not 7x7"),
        ((1, 3, "h", "w"), "9x9 resize=nearest", "leaves its images' size open: say which"),
        ((1, "c", 8, 8), "mean=1", "leaves its channels open: give colours"),
        ((1, 8, 8, 3), "bgr", "have 8 channels, and rgb has 3.* model_layout=nhwc"),
        ((1, 3, 8, 8), "mean=1,2", "mean has 2 numbers, and the model's images have 3 channels"),
        ((1, 3, 8, 8), "scale=1e39", "too large or too small for float32"),
        ((1, 3, 8, 8), "scale=1e-30 std=1e30", "too large or too small for float32"),
        ((1, 3, 8, 8), "mean=1e-320", "too large or too small for float32"),
        ((1, 3, 8, 8), "std=5e-324", "too large or too small for float32"),
        ((1, 3, 8, 8), "7x9 crop=8x8", "a crop of 8x8 is larger than an image of 7x9"),
        ((1, 3, 8, 8), "9x9 crop=7x7", "the crop is not the 8x8 that the model takes"),
        ((1, 3, 8, 8), "9x9 shorter=7 resize=nearest", "shorter=7 leaves less than the 8x8"),
        ((1, 3, 1, 60000), "65000x8 letterbox resize=bicubic-antialias", "are too wide"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_model_is_refused(shape, words, said):
    given = Preprocess.parse(words)
    with pytest.raises(LuthierError, match=said) as caught:
        read_model(model(shape), preprocess={"x": given})
    assert isinstance(caught.value, ModelError | UnsupportedOperator)
    assert "preprocess of input 'x'" in str(caught.value)


@pytest.mark.parametrize("words", ["std=1e39", "scale=1e-39", "mean=1e39", "scale=1e300"])
def test_numbers_of_an_output_that_float32_has_not_are_refused(words):
    given = Postprocess.parse(f"image {words}")
    proto = model((1, 3, 8, 8))
    declared = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3, 8, 8))
    proto.graph.output[0].CopyFrom(declared)
    with pytest.raises(ModelError, match="output 'y': scale, mean and std make numbers"):
        read_model(proto, postprocess={"y": given})


def test_an_output_whose_channels_are_open_has_those_of_its_colours():
    proto = model((1, 3, 8, 8))
    declared = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, "c", 8, 8))
    proto.graph.output[0].CopyFrom(declared)
    given = Postprocess.parse("image rgb mean=-1,-2,-3")
    read = read_model(proto, postprocess={"y": given})
    (found,) = by_ort(read.proto, x=np.full((1, 3, 8, 8), 9, np.float32))
    assert found[0, 0, 0].tolist() == [8, 7, 6]


@pytest.mark.parametrize("number", ["1e-320", "5e-324", "-1e-310", "1e300", "1/255", "0.1", "3"])
def test_numbers_are_written_as_they_are_read(number):
    given = Preprocess.parse(f"scale={number} mean={number}")
    assert Preprocess.parse(str(given)) == given


def test_names_that_are_not_there_are_told():
    with pytest.raises(ModelError, match="for 'image', but the model's inputs are: 'x'"):
        read_model(model((1, 3, 8, 8)), preprocess={"image": Preprocess()})
    with pytest.raises(ModelError, match="for 'z', but the model's outputs are: 'y'"):
        read_model(model((1, 3, 8, 8)), postprocess={"z": Postprocess(argmax=True)})


def test_padding_is_what_it_is_beside_what_is_no_number():
    given = Preprocess.parse("float32 2x6 letterbox pad=3 resize=bilinear")
    image = np.full((1, 2, 6, 3), np.nan, np.float32)
    read = read_model(model((1, 3, 6, 6)), preprocess={"x": given})
    (found,) = by_ort(read.proto, x=image)
    assert (found[:, :, [0, 1, 4, 5]] == 3).all()
    assert np.isnan(found[:, :, 2:4]).all()


def test_an_image_of_no_pixels_is_refused():
    given = Preprocess.parse("size=h,w resize=bilinear")
    with pytest.raises(ModelError, match="of no pixels cannot be resized: begin h at 1"):
        read_model(model((1, 3, 8, 8)), {"h": range(9), "w": 6}, preprocess={"x": given})


def test_what_old_operator_sets_lack_is_told():
    given = Preprocess.parse("3x3 letterbox resize=nearest")
    with pytest.raises(UnsupportedOperator, match="letterbox needs a model of ONNX operator set 9"):
        read_model(model((1, 3, 8, 8), opset=8), preprocess={"x": given})
    given = Preprocess.parse("size=h,w resize=bilinear")
    with pytest.raises(UnsupportedOperator, match="need a model of ONNX operator set 13"):
        read_model(model((1, 3, 8, 8), opset=11), {"h": 5, "w": 6}, preprocess={"x": given})
