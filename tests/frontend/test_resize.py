"""Resize and Upsample: sizes, places and windows are those of ONNX Runtime, to the last tie.

Each test resizes many tensors in one model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from onnx_models import TARGET, case, compute, expected, floats, integers, model
from sized_models import opened, same_at_all_sizes

import luthier
from luthier.frontend import import_entry, import_model
from luthier.frontend.program import at
from luthier.schedules import ModelError, UnsupportedOperator

SCALES = (0.1, 0.2, 1 / 3, 0.35, 0.5, 0.6, 0.7, 0.75, 0.9, 1, 1.1, 1.2, 1.3, 1.4, 1.9, 2, 2.5, 4.1)
LENGTHS = (1, 2, 3, 5, 7, 10, 17)
COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
)
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
EMPTY = np.zeros(0, np.float32)  # operator set 11 needs the inputs that it does not use
IMAGE = floats(2, 3, 7, 5)


class Resizes:
    """A model of nodes that each resize a tensor of its own."""

    def __init__(self, opset: int, op: str = "Resize") -> None:
        self.opset, self.op = opset, op
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: dict[str, np.ndarray] = {}
        self.constants: dict[str, np.ndarray] = {}

    def add(self, x: np.ndarray, *arguments: np.ndarray | None, **attrs: object) -> None:
        number = len(self.nodes)
        self.inputs[f"x{number}"] = x
        names = ["" if a is None else f"c{number}.{i}" for i, a in enumerate(arguments)]
        self.constants |= {n: a for n, a in zip(names, arguments, strict=True) if a is not None}
        node = helper.make_node(self.op, [f"x{number}", *names], [f"y{number}"], **attrs)
        self.nodes.append(node)

    def agree(self) -> None:
        outputs = [n.output[0] for n in self.nodes]
        proto = model(self.nodes, self.inputs, outputs, self.constants, self.opset)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
        wanted = session.run(outputs, self.inputs)
        got = compute(import_model(proto, TARGET), self.inputs)
        for node, theirs in zip(self.nodes, wanted, strict=True):
            ours = got[node.output[0]]
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), node
            np.testing.assert_allclose(ours, theirs, 1e-4, 1e-4, err_msg=str(node))


def line(length: int) -> np.ndarray:
    """Elements that are their places."""
    return np.arange(length, dtype=np.float32).reshape(1, 1, length, 1)


def scaled() -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Tensors, and scales that leave something of them."""
    for length, scale in itertools.product(LENGTHS, SCALES):
        scales = np.array([1, 1, scale, 1], np.float32)
        if np.float32(length) * scales[2] >= 1:
            yield line(length), scales


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("coordinates", [*COORDINATES, "tf_half_pixel_for_nn"])
def test_the_nearest_element_by_scales_and_by_sizes(coordinates: str, rounding: str) -> None:
    resizes = Resizes(11 if coordinates == "tf_half_pixel_for_nn" else 18)
    attrs = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    for x, scales in scaled():
        resizes.add(x, EMPTY, scales, **attrs)
    for before, after in itertools.product(range(1, 11), repeat=2):
        resizes.add(line(before), EMPTY, EMPTY, np.array([1, 1, after, 1]), **attrs)
    resizes.agree()


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_interpolation_by_scales_and_by_sizes(coordinates: str, mode: str) -> None:
    resizes = Resizes(18)
    attrs = {"coordinate_transformation_mode": coordinates, "mode": mode}
    for x, scales in scaled():
        resizes.add(x, None, scales, **attrs)
    for before, after in itertools.product(range(1, 8), repeat=2):
        resizes.add(line(before), None, None, np.array([1, 1, after, 1]), **attrs)
    resizes.agree()


@pytest.mark.parametrize(("op", "opset"), [("Resize", 10), ("Upsample", 9), ("Upsample", 7)])
def test_resizing_before_operator_set_11(op: str, opset: int) -> None:
    resizes = Resizes(opset, op)
    for (x, scales), mode in itertools.product(scaled(), ["nearest", "linear"]):
        if op == "Resize" or (scales.min() >= 1 and opset == 9):
            resizes.add(x, scales, mode=mode)
        elif scales.min() >= 1:
            resizes.add(x, mode=mode, scales=[float(s) for s in scales])
    resizes.agree()


@pytest.mark.parametrize(("op", "opset"), [("Resize", 18), ("Resize", 10), ("Upsample", 9)])
def test_what_lies_between_whole_numbers_is_cut(op: str, opset: int) -> None:
    """Weights that are not exact may give one more or one less, and are refused."""
    resizes = Resizes(opset, op)
    for dtype in ("int8", "uint8", "int32"):
        x = integers(-100, 100, 1, 2, 5, 6).astype(dtype)
        for scale in ([1, 1, 2, 2], [1, 1, 4, 1]):
            scales = np.array(scale, np.float32)
            resizes.add(x, *([None] if opset == 18 else []), scales, mode="linear")
    resizes.agree()
    third = Resizes(opset, op)
    scales = np.array([1, 1, 3, 1], np.float32)
    third.add(x, *([None] if opset == 18 else []), scales, mode="linear")
    with pytest.raises(UnsupportedOperator, match="int32 by weights that are not exact"):
        third.agree()


def test_windows_that_widen_and_that_leave_out_what_is_outside() -> None:
    resizes = Resizes(19)
    sizes = ([2, 3, 14, 10], [2, 3, 3, 9], [2, 3, 1, 1], [2, 3, 7, 1], [2, 3, 8, 2], [2, 3, 7, 5])
    options = (
        {"antialias": 1},
        {"antialias": 1, "exclude_outside": 1},
        {"exclude_outside": 1},
        {"cubic_coeff_a": -0.5},
        {"antialias": 1, "cubic_coeff_a": -0.5},
    )
    for size, option, mode in itertools.product(sizes, options, ["linear", "cubic"]):
        if mode == "cubic" or "antialias" in option:  # ONNX Runtime refuses the others
            resizes.add(IMAGE, None, None, np.array(size), mode=mode, **option)
    for coordinates, mode in itertools.product(COORDINATES, ["linear", "cubic"]):
        attrs = {"coordinate_transformation_mode": coordinates, "mode": mode}
        resizes.add(IMAGE, None, None, np.array([2, 3, 5, 9]), antialias=1, **attrs)
    resizes.add(
        floats(1, 1, 300, 2), None, None, np.array([1, 1, 3, 2]), mode="linear", antialias=1
    )
    resizes.add(floats(1, 1, 5, 200), None, None, np.array([1, 1, 3, 2]), mode="cubic", antialias=1)
    resizes.agree()


def test_some_axes_alone_and_one_scale_for_all() -> None:
    resizes = Resizes(19)
    wanted = (([2, 3], [9, 4]), ([3, 2], [9, 4]), ([3], [2]), ([2], [1]))
    policies = ("stretch", "not_larger", "not_smaller")
    modes = ("nearest", "linear", "cubic")
    for (axes, size), policy, mode in itertools.product(wanted, policies, modes):
        attrs = {"axes": axes, "keep_aspect_ratio_policy": policy, "mode": mode}
        resizes.add(IMAGE, None, None, np.array(size), **attrs)
    scales = np.array([0.7, 1.4], np.float32)
    for axes, mode in itertools.product(([2, 3], [3, 2]), modes):
        resizes.add(IMAGE, None, scales, mode=mode, axes=axes)
    resizes.agree()


def test_a_region_of_interest() -> None:
    resizes = Resizes(19)
    regions = ([0.25, 0.2, 0.75, 0.8], [-0.5, 0.3, 0.7, 1.5], [0.9, 0.2, 0.1, 0.8], [0, 0, 1, 1])
    sizes = ([2, 3, 4, 3], [2, 3, 1, 1], [2, 3, 10, 9], [2, 3, 7, 9])
    for region, size, mode in itertools.product(regions, sizes, ["nearest", "linear", "cubic"]):
        roi = np.array([0, 0, *region[:2], 1, 1, *region[2:]], np.float32)
        attrs = {"coordinate_transformation_mode": "tf_crop_and_resize", "mode": mode}
        resizes.add(IMAGE, roi, None, np.array(size), extrapolation_value=7.5, **attrs)
    resizes.agree()


@pytest.mark.parametrize(
    ("x", "size"),
    [(floats(5), [8]), (floats(4, 5), [3, 9]), (floats(3, 4, 5), [3, 2, 9])],
    ids=lambda v: f"rank{v.ndim}" if isinstance(v, np.ndarray) else "",
)
def test_images_of_other_ranks(x: np.ndarray, size: list[int]) -> None:
    resizes = Resizes(19)
    resizes.add(x, None, None, np.array(size))
    resizes.agree()


def test_half_precision_interpolates_in_single_precision() -> None:
    x = np.full((1, 1, 2, 1), 60000, np.float16)
    scales = np.array([1, 1, 2, 1], np.float32)
    cubic = case("Resize", x, None, scales, constants=(2,), mode="cubic")
    out = compute(import_model(cubic.model, TARGET), cubic.inputs)["out0"]
    np.testing.assert_array_equal(out, np.float16(60000))


REFUSED = [
    (dict(scales=[1, 1, -1, 1]), "the scale -1.0"),
    (dict(scales=[1, 1, 0, 1]), "the scale 0.0 is not supported"),
    (dict(scales=[1, 1, np.nan, 1]), "the scale nan"),
    (dict(scales=[1, 1, np.inf, 1]), "the scale inf"),
    (dict(scales=[1, 1, 1e9, 1]), "a size of [0-9]{10}"),
    (dict(scales=[1, 1, 0.1, 1]), "a size of 0 is not supported"),
    (dict(scales=[1, 1]), "must be same as rank"),
    (dict(sizes=[2, 3, 2**62, 5]), rf"the shape \[2, 3, {2**62}, 5\], which is too large"),
    (dict(sizes=[2, 3, 2**22, 2**22]), "a result of the shape"),
    (dict(sizes=[2, 3, 0, 5]), "the scale 0.0"),
    (dict(sizes=[2, 3, 9, 9], mode="sinc"), "the mode 'sinc'"),
    (dict(sizes=[2, 3, 9, 9], nearest_mode="odd"), "the rounding 'odd'"),
    (dict(sizes=[2, 3, 9, 9], coordinate_transformation_mode="odd"), "the coordinates 'odd'"),
    (dict(sizes=[2, 3, 9, 9], keep_aspect_ratio_policy="odd"), "Resize .out0.: .*"),
    (dict(sizes=[9, 9], axes=[2, 2]), "Resize .out0.: .*(?i:axis|axes)"),
    (dict(sizes=[9, 9], axes=[2, 7]), "Resize .out0.: .*axis value: 7"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_senseless_attributes_are_refused(given: dict, said: str) -> None:
    attrs = dict(given)
    scales, sizes = attrs.pop("scales", None), attrs.pop("sizes", None)
    one = case(
        "Resize",
        IMAGE,
        None,
        None if scales is None else np.array(scales, np.float32),
        None if sizes is None else np.array(sizes),
        constants=(2,) if sizes is None else (3,),
        opset=19,
        **attrs,
    )
    with pytest.raises(ModelError, match=said):
        import_model(one.model, TARGET)


@pytest.mark.parametrize("scale", [0.7, 0.9, 1.4, 1.9, 0.35])
def test_the_shape_of_a_result_is_known_where_onnx_infers_another(scale: float) -> None:
    """Its inference multiplies in float64, ONNX Runtime in float32."""
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["y"]),
        helper.make_node("Shape", ["y"], ["shape"]),
        helper.make_node("Expand", ["one", "shape"], ["z"]),
        helper.make_node("Add", ["y", "z"], ["sum"]),
    ]
    constants = {"scales": np.array([1, 1, scale, 1], np.float32), "one": np.float32(1)}
    for length in (10, 20, 50, 100):
        x = line(length)
        proto = model(nodes, {"x": x}, ["sum"], constants)
        expected = [1, 1, int(np.float32(length) * np.float32(scale)), 1]
        del proto.graph.value_info[:]
        proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("sum", 1, expected))
        out = compute(import_model(proto, TARGET), {"x": x})["sum"]
        assert list(out.shape) == expected


@pytest.mark.parametrize(
    "attrs",
    [
        dict(mode="linear"),
        dict(mode="linear", coordinate_transformation_mode="asymmetric"),
        dict(mode="cubic", coordinate_transformation_mode="pytorch_half_pixel"),
        dict(mode="nearest"),
    ],
    ids=lambda attrs: " ".join(attrs.values()),
)
def test_an_image_of_any_size(attrs: dict[str, str]) -> None:
    """Where the last elements have no neighbours follows from the size."""
    proto = opened(
        [helper.make_node("Resize", ["x", "", "scales"], ["y"], **attrs)],
        {"x": ((1, 2, "h", "w"), "float32")},
        {"y": "float32"},
        {"scales": np.array([1, 1, 2, 3.5], np.float32)},
    )
    same_at_all_sizes(proto, {"h": "2..20", "w": "2..30"})


def to_another_s_size(**attrs: str) -> onnx.ModelProto:
    """A smaller image that gets the size of a larger one, as features of networks do."""
    nodes = [
        helper.make_node(
            "MaxPool", ["x"], ["small"], kernel_shape=[2, 3], strides=[2, 3], ceil_mode=1
        ),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Resize", ["small", "", "", "shape"], ["large"], **attrs),
        helper.make_node("Add", ["large", "x"], ["y"]),
    ]
    return opened(nodes, {"x": ((1, 16, "h", "w"), "float32")}, {"y": "float32"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "coordinates"),
    [
        ("nearest", "half_pixel"),
        ("linear", "pytorch_half_pixel"),
        ("linear", "align_corners"),
        ("cubic", "asymmetric"),
    ],
)
def test_to_another_s_size_whatever_that_is(mode: str, coordinates: str) -> None:
    """Scales, and so weights, are others for each size: a run computes them."""
    proto = to_another_s_size(mode=mode, coordinate_transformation_mode=coordinates)
    same_at_all_sizes(proto, {"h": "6..24", "w": "7..24"}, count=1, dense=True)


WINDOWS: list[dict[str, str | int]] = [
    dict(mode="nearest", nearest_mode="ceil"),
    dict(mode="linear", coordinate_transformation_mode="half_pixel_symmetric"),
    dict(mode="cubic", exclude_outside=1),
    dict(mode="linear", antialias=1),
    dict(mode="cubic", antialias=1, coordinate_transformation_mode="align_corners"),
    dict(mode="cubic", antialias=1, exclude_outside=1),
]


@pytest.mark.parametrize("attrs", WINDOWS, ids=lambda attrs: " ".join(map(str, attrs.values())))
def test_a_table_of_a_fixed_size_gets_any_its_own_too(attrs: dict[str, str | int]) -> None:
    """As embeddings of positions do: one program, and what it computes for 5 by 6 is the table."""
    nodes = [
        helper.make_node("AveragePool", ["x"], ["means"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Shape", ["means"], ["shape"]),
        helper.make_node("Resize", ["table", "", "", "shape"], ["places"], **attrs),
        helper.make_node("Add", ["means", "places"], ["y"]),
    ]
    table = {"table": floats(1, 3, 5, 6)}
    image = {"x": ((1, 3, "h", "w"), "float32")}
    proto = opened(nodes, image, {"y": "float32"}, table)
    entry = same_at_all_sizes(proto, {"h": "6..24", "w": "7..24"}, count=1, dense=True)
    (program,) = entry.variants
    for h, w in ((10, 12), (6, 24), (24, 12)):
        ours = at(program, {"h": h, "w": w})
        x = floats(1, 3, h, w)
        (wanted,) = expected(proto, {"x": x}).values()
        np.testing.assert_allclose(compute(ours, {"x": x})["y"], wanted, 1e-4, 1e-5)


def test_a_region_of_an_image_is_all_of_it_where_that_keeps_its_size() -> None:
    attrs = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
    proto = opened(
        [helper.make_node("Resize", ["x", "roi", "", "sizes"], ["y"], **attrs)],
        {"x": ((1, 2, "h", 7), "float32")},
        {"y": "float32"},
        {
            "roi": np.array([0, 0, 0.2, 0.1, 1, 1, 0.8, 0.9], np.float32),
            "sizes": np.array([1, 2, 5, 6], np.int64),
        },
    )
    entry = import_entry(proto, TARGET, {"h": "4..6"})
    for h in (4, 5, 6):
        program = entry.variant({"h": h})
        assert program is not None
        x = floats(1, 2, h, 7)
        (wanted,) = expected(proto, {"x": x}).values()
        found = compute(at(program, {"h": h}), {"x": x})["y"]
        np.testing.assert_allclose(found, wanted, 1e-4, 1e-5)


@pytest.mark.slow
def test_kernels_find_the_same_places() -> None:
    proto = to_another_s_size(mode="linear", coordinate_transformation_mode="half_pixel")
    assert luthier.check(proto, shapes={"h": "6..40", "w": "7..40"}, log=None, threads=1).ok
