"""Resize whose scales, sizes and regions a run is given, against ONNX Runtime.

Each test resizes many tensors in one model that declares how large they become.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from decided_models import declared, ended, found, refused, same
from onnx import helper
from onnx_models import TARGET, compute, floats
from sized_models import integers, opened

from luthier.frontend import import_entry, import_model

N = helper.make_node
COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
)
IMAGE = floats(2, 3, 7, 5)
SCALES = ([1, 1, 0.6, 0.7], [1, 1, 1.3, 1], [1, 1, 0.3, 2.4], [1, 1, 1.2, 0.5])


class Resizes:
    """A model of nodes that each resize a tensor of its own by what it is given."""

    def __init__(self, opset: int = 19, op: str = "Resize") -> None:
        self.opset, self.op = opset, op
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: dict[str, np.ndarray] = {}

    def add(self, x: np.ndarray, *arguments: np.ndarray | None, **attrs: object) -> None:
        number = len(self.nodes)
        given = {f"in{number}.{i}": a for i, a in enumerate((x, *arguments))}
        self.inputs |= {name: a for name, a in given.items() if a is not None}
        names = [name if a is not None else "" for name, a in given.items()]
        self.nodes.append(N(self.op, names, [f"y{number}"], **attrs))

    def agree(self) -> None:
        outputs = {n.output[0]: str(self.inputs[n.input[0]].dtype) for n in self.nodes}
        kinds = {name: (a.shape, str(a.dtype)) for name, a in self.inputs.items()}
        proto = opened(self.nodes, kinds, outputs)
        proto.opset_import[0].version = self.opset
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
        wanted = dict(zip(outputs, session.run(list(outputs), self.inputs), strict=True))
        proto = declared(proto, **{name: array.shape for name, array in wanted.items()})
        got = compute(import_model(proto, TARGET), self.inputs)
        for node in self.nodes:
            ours, theirs = got[node.output[0]], wanted[node.output[0]]
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), node
            np.testing.assert_allclose(ours, theirs, 1e-4, 1e-4, err_msg=str(node))


def real(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


@pytest.mark.parametrize(
    "mode", ["linear", *(pytest.param(m, marks=pytest.mark.slow) for m in ("nearest", "cubic"))]
)
def test_by_any_scale_that_gives_the_declared_shape(mode: str) -> None:
    resizes = Resizes()
    pairs = zip(COORDINATES * 2, itertools.cycle(SCALES), strict=False)
    for number, (coordinates, scales) in enumerate(pairs):
        attrs: dict[str, Any] = {"coordinate_transformation_mode": coordinates, "mode": mode}
        if mode == "nearest":
            rules = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
            attrs["nearest_mode"] = rules[number % 4]
        elif number % 3 == 0:
            attrs["antialias"] = 1
        if mode == "cubic" and number % 2:
            attrs |= {"exclude_outside": 1, "cubic_coeff_a": -0.5}
        resizes.add(IMAGE, None, real(*scales), **attrs)
    resizes.agree()


@pytest.mark.slow
def test_a_region_that_a_run_is_given() -> None:
    resizes = Resizes()
    regions = ([0.25, 0.2, 0.75, 0.8], [-0.5, 0.3, 0.7, 1.5], [0.9, 0.2, 0.1, 0.8])
    sizes = ([2, 3, 4, 3], [2, 3, 1, 1], [2, 3, 7, 9])
    for number, (region, size) in enumerate(itertools.product(regions, sizes)):
        roi = real(0, 0, *region[:2], 1, 1, *region[2:])
        mode = ("nearest", "linear", "cubic")[(number + number // 3) % 3]
        attrs = {"coordinate_transformation_mode": "tf_crop_and_resize", "mode": mode}
        resizes.add(IMAGE, roi, None, integers(*size), extrapolation_value=7.5, **attrs)
    resizes.agree()


@pytest.mark.slow
def test_one_scale_for_all_and_some_axes_alone() -> None:
    resizes = Resizes()
    wanted = (([2, 3], [9, 4]), ([3, 2], [9, 4]), ([3], [2]))
    policies = ("not_larger", "not_smaller")
    for (axes, size), policy in itertools.product(wanted, policies):
        for mode in ("nearest", "linear"):
            attrs = {"axes": axes, "keep_aspect_ratio_policy": policy, "mode": mode}
            resizes.add(IMAGE, None, None, integers(*size), **attrs)
    resizes.add(IMAGE, None, real(0.7, 1.4), axes=[3, 2], mode="linear")
    resizes.add(IMAGE.astype(np.float16), None, real(0.7, 1.4), axes=[3, 2], mode="linear")
    resizes.add((IMAGE * 9).astype(np.int32), None, real(0.7, 1.4), axes=[2, 3])
    resizes.agree()


@pytest.mark.slow
@pytest.mark.parametrize(("op", "opset"), [("Resize", 10), ("Upsample", 9)])
def test_before_operator_set_11(op: str, opset: int) -> None:
    resizes = Resizes(opset, op)
    for mode in ("nearest", "linear"):
        for scales in SCALES if opset == 10 else ([1, 1, 2, 3], [1, 1, 1.7, 1]):
            resizes.add(IMAGE, real(*scales), mode=mode)
    resizes.agree()


def one(given: str, rank: int, dtype: str, **attrs: Any) -> onnx.ModelProto:
    names = ["x", *("" if name != given else given for name in ("roi", "scales", "sizes"))]
    inputs = {"x": ((1, 1, 7, 5), "float32"), given: ((rank,), dtype)}
    proto = opened([N("Resize", names, ["y"], **attrs)], inputs, {"y": "float32"})
    proto.opset_import[0].version = 19
    return proto


X = floats(1, 1, 7, 5)


def test_a_scale_that_gives_another_shape_ends_the_run() -> None:
    proto = declared(one("scales", 2, "float32", axes=[2, 3], mode="linear"), y=(1, 1, 4, 3))
    entry = same(proto, [{"x": X, "scales": real(a, b)} for a, b in ((0.6, 0.6), (0.7, 0.75))])
    for scales, said in (
        ((0.5, 0.6), "[3, 3]"),
        ((0.6, -0.6), "[4, -1]"),
        ((0, 0.6), "[0, 3]"),
        ((np.nan, 0.6), "[-1, 3]"),
        ((np.inf, 0.6), "[-1, 3]"),
        ((3e38, 1e-38), "[-1, 0]"),
    ):
        message = ended(entry, {"x": X, "scales": real(*scales)})
        assert message == f"Resize 'y': it gives so many elements: {said}, not [4, 3]"


@pytest.mark.slow
def test_a_region_that_is_no_place_is_outside_everywhere() -> None:
    attrs = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 3.0}
    names, sizes = ["x", "roi", "", "sizes"], integers(4, 4)
    for mode in ("nearest", "linear", "cubic"):
        node = N("Resize", names, ["y"], axes=[2, 3], mode=mode, **attrs)
        inputs = {"x": ((1, 1, 7, 5), "float32"), "roi": ((4,), "float32")}
        proto = opened([node], inputs, {"y": "float32"}, {"sizes": sizes})
        proto.opset_import[0].version = 19
        program = import_entry(proto, TARGET).variants[0]
        for roi in (real(np.nan, 0, 1, 1), real(-3e38, 0, 3e38, 1), real(0, 2, 1, np.inf)):
            ours = compute(program, {"x": X, "roi": roi}, kernels=True)["y"]
            np.testing.assert_array_equal(ours[0, 0, 1:3], 3)


@pytest.mark.slow
def test_as_large_as_a_run_is_told() -> None:
    bounds = {"found_y_0": 12, "found_y_1": 12}
    for mode, coordinates in (
        ("nearest", "asymmetric"),
        ("linear", "half_pixel"),
        ("cubic", "align_corners"),
    ):
        attrs = {"mode": mode, "coordinate_transformation_mode": coordinates, "axes": [2, 3]}
        sized = one("sizes", 2, "int64", **attrs)
        runs = [{"x": X, "sizes": integers(a, b)} for a, b in ((3, 9), (7, 5), (1, 1), (12, 4))]
        entry = same(sized, runs, bounds)
        scaled = one("scales", 2, "float32", **attrs)
        runs = [{"x": X, "scales": real(a, b)} for a, b in ((0.6, 1.7), (1, 1), (0.15, 2))]
        same(scaled, runs, bounds)
    assert found(entry, {"x": X, "sizes": integers(-3, 2**62)})[0] == -3
    assert "give bounds, such as --bound found_y_0=1024 --bound found_y_1=1024" in refused(sized)
