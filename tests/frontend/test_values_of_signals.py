"""Transforms, bands, images and dropout whose settings a run is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from decided_models import declared, ended, found, refused, same
from onnx import helper, numpy_helper
from onnx_models import TARGET, floats
from sized_models import computed, integers, opened

from luthier.frontend import import_entry, read_model
from luthier.frontend.program import Branch

N = helper.make_node


def newest(proto: onnx.ModelProto, opset: int = 20) -> onnx.ModelProto:
    proto.opset_import[0].version = opset
    return proto


def number(value: float, dtype: str = "int64") -> np.ndarray:
    return np.array(value, dtype)


# ---- transforms ----


def transform(shape: tuple[int, ...], names: list[str], **attrs: int) -> onnx.ModelProto:
    inputs = {"x": (shape, "float32")} | {n: ((), "int64") for n in names if n not in ("x", "")}
    return newest(opened([N("DFT", names, ["y"], **attrs)], inputs, {"y": "float32"}))


def test_along_an_axis_that_a_run_is_given() -> None:
    proto = transform((2, 3, 4, 1), ["x", "", "axis"])
    x = floats(2, 3, 4, 1)
    entry = same(proto, [{"x": x, "axis": number(a)} for a in (0, 1, 2, -2, -4)])
    assert sum(isinstance(step, Branch) for step in entry.variants[0].steps) == 1
    for axis in (3, -1, -5, 2**63 - 1, -(2**63)):
        said = ended(entry, {"x": x, "axis": number(axis)})
        assert "whether it is of the length 2 along 0 or 3 along 1 or 4 along 2: 0, not 1" in said
    one = transform((2, 3, 4, 1), ["x", "", "axis"], onesided=1)
    assert "to transform 2 along 0 or 3 along 1 or 4 along 2, but for" in refused(one)
    runs = [{"x": x, "axis": number(a)} for a in (1, -3)]
    entry = same(declared(one, y=(2, 2, 4, 2)), runs)
    assert "of the length 3 along 1: 0, not 1" in ended(entry, {"x": x, "axis": number(2)})


@pytest.mark.parametrize(("inverse", "shape"), [(0, (2, 5, 2)), (1, (2, 9, 1))])
def test_of_a_length_that_a_declared_shape_leaves(inverse: int, shape: tuple[int, ...]) -> None:
    """Of 5 frequencies are signals of 8 and of 9 elements; these are of 9 alone."""
    proto = transform((2, 6, 2 if inverse else 1), ["x", "n"], onesided=1, inverse=inverse)
    x = floats(2, 6, 2 if inverse else 1)
    entry = same(
        declared(proto, y=shape), [{"x": x, "n": number(n)} for n in ((9,) if inverse else (8, 9))]
    )
    for n in (10, 0, -9, 2**62):
        assert ended(entry, {"x": x, "n": number(n)}).endswith(": 0, not 1")


@pytest.mark.parametrize(("planes", "onesided", "inverse"), [(1, 1, 0), (2, 1, 1), (2, 0, 1)])
def test_of_a_length_that_a_run_finds(planes: int, onesided: int, inverse: int) -> None:
    proto = transform((2, 6, 3, planes), ["x", "n", ""], onesided=onesided, inverse=inverse)
    proto.graph.node[0].input[2] = "axis"
    proto.graph.initializer.append(numpy_helper.from_array(np.array(1), "axis"))
    x = floats(2, 6, 3, planes)
    entry = same(proto, [{"x": x, "n": number(n)} for n in (1, 2, 5, 6, 9, 11)], {"found_y": 12})
    assert "whether its length is above 0: [0], not [1]" in ended(entry, {"x": x, "n": number(-3)})
    both = transform((2, 6, 3, planes), ["x", "n", "axis"], onesided=onesided, inverse=inverse)
    assert "a length that is computed at run time, but for a shape that is declared" in refused(
        both
    )


@pytest.mark.slow
@pytest.mark.parametrize("window", [False, True])
def test_frames_as_far_apart_as_a_run_is_told(window: bool) -> None:
    names = ["x", "step", "window" if window else "", "length"]
    inputs: dict[str, Any] = {"x": ((2, 32, 1), "float32")}
    inputs |= {"step": ((), "int64"), "length": ((), "int64")}
    inputs |= {"window": ((8,), "float32")} if window else {}
    proto = opened([N("STFT", names, ["y"])], inputs, {"y": "float32"})
    given = {"x": floats(2, 32, 1), **({"window": floats(8)} if window else {})}
    steps = (1, 3, 7, 24, 25, 100)
    if window:
        runs = [{**given, "step": number(s), "length": number(8)} for s in steps]
        entry = same(proto, runs)
        assert [str(s) for s in entry.variants[0].symbols] == ["found_y=0..25"]
    fixed = declared(proto, y=(2, 4, 5, 2))
    runs = [{**given, "step": number(s), "length": number(8)} for s in (7, 8)]
    runs += [] if window else [{**given, "step": number(7), "length": number(9)}]
    entry = same(fixed, runs)
    for step, length in ((9, 8), (0, 8), (-7, 8), (7, 10), (2**63 - 1, 8), (7, -(2**63))):
        said = ended(entry, {**given, "step": number(step), "length": number(length)})
        assert said.startswith("STFT 'y': ")


@pytest.mark.slow
def test_bands_by_settings_of_a_run() -> None:
    names = ["bands", "length", "rate", "low", "high"]
    kinds = ["int32", "int32", "int32", "float32", "float32"]
    inputs = {n: ((), kind) for n, kind in zip(names, kinds, strict=True)}
    proto = newest(opened([N("MelWeightMatrix", names, ["y"])], inputs, {"y": "float32"}))

    def given(*numbers: float) -> dict[str, np.ndarray]:
        triples = zip(names, numbers, kinds, strict=True)
        return {n: np.array(v, k) for n, v, k in triples}

    settings = [
        (8, 16, 8192, 0, 4096),
        (3, 64, 16000, 125.5, 7500),
        (20, 512, 22050, 0, 8000),
        (1, 2, 8, 0, 2),
    ]
    entry = same(proto, [given(*each) for each in settings], {"found_y_0": 300, "found_y_1": 20})
    fixed = same(declared(proto, y=(9, 8)), [given(*settings[0])])
    assert "[33, 3], not [9, 8]" in ended(fixed, given(*settings[1]))
    for wrong, said in (
        ((8, 16, 0, 0, 1), "whether the number of its rate is above 0: [0], not [1]"),
        ((8, 16, 8192, 0, 1e6), "edges beyond its frequencies is"),
        ((8, 16, 8192, np.nan, 4096), "edges beyond its frequencies is"),
        ((8, 16, 8192, -1e9, 4096), "edges beyond its frequencies is"),
        ((-(2**31), 16, 8192, 0, 4096), "whether the number of its bands is above 0: [0], not [1]"),
    ):
        assert said in ended(fixed, given(*wrong))
    huge = found(entry, given(2**31 - 1, 2**31 - 1, 8192, 0, 4096))
    assert huge[0] == 2**30


# ---- images ----


def blocks(shape: tuple[int, ...], count: int = 2, **attrs: Any) -> onnx.ModelProto:
    inputs: dict[str, Any] = {"x": (shape, "float32")}
    inputs |= {"image": ((count,), "int64"), "block": ((count,), "int64")}
    return newest(
        opened([N("Col2Im", ["x", "image", "block"], ["y"], **attrs)], inputs, {"y": "float32"})
    )


def test_an_image_of_blocks_that_a_declared_shape_leaves() -> None:
    proto = declared(blocks((1, 12, 12)), y=(1, 2, 4, 6))
    given = {"x": floats(1, 12, 12), "image": integers(4, 6)}
    entry = same(proto, [{**given, "block": integers(2, 3)}])
    said = ended(entry, {**given, "block": integers(3, 2)})
    assert said == "Col2Im 'y': its blocks have the shape [3, 2], not [2, 3]"
    said = ended(entry, {**given, "image": integers(6, 4), "block": integers(2, 3)})
    assert said == "Col2Im 'y': its image has the shape [6, 4], not [4, 6]"
    assert "an image as large as a run is told" in refused(blocks((1, 12, 12)))
    far = declared(blocks((1, 12, 12)), y=(1, 2, 40, 60))
    assert "no blocks [1, 12, 12] are those of [40, 60]" in refused(far)


def test_each_of_several_blocks_that_fit_is_a_branch() -> None:
    """Both ways a line of 4 places has 3 blocks of 2 or 2 blocks of 3, and so has the other."""
    proto = declared(blocks((1, 6, 6)), y=(1, 1, 4, 4))
    given = {"x": floats(1, 6, 6), "image": integers(4, 4)}
    entry = same(proto, [{**given, "block": integers(*each)} for each in ((2, 3), (3, 2))])
    said = ended(entry, {**given, "block": integers(6, 1)})
    assert said == "Col2Im 'y': whether its blocks are [2, 3] or [3, 2]: 0, not 1"


@pytest.mark.slow
def test_what_was_pooled_lies_in_an_image_as_large_as_a_run_is_told() -> None:
    inputs: dict[str, Any] = {"x": ((1, 2, 2, 2), "float32")}
    inputs |= {"at": ((1, 2, 2, 2), "int64"), "shape": ((4,), "int64")}
    node = N("MaxUnpool", ["x", "at", "shape"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    proto = opened([node], inputs, {"y": "float32"})
    at = np.array([0, 3, 9, 14, 16 + 5, 16 + 6, 16 + 8, 16 + 11]).reshape(1, 2, 2, 2)
    given = {"x": floats(1, 2, 2, 2), "at": at}
    shapes = ([1, 2, 4, 4], [1, 2, 5, 7], [1, 2, 6, 4])
    bounds = {"found_y_2": 9, "found_y_3": 9}
    entry = import_entry(read_model(proto, bounds=bounds), TARGET)
    for shape in shapes:
        ours = computed(entry.variants[0], {}, {**given, "shape": integers(*shape)})["y"]
        wanted = np.zeros(shape, np.float32)
        inner = np.zeros(32, np.float32)
        inner[at.reshape(-1)] = given["x"].reshape(-1)
        wanted[:, :, :4, :4] = inner.reshape(1, 2, 4, 4)
        np.testing.assert_array_equal(ours, wanted)
    assert "whether each dimension of its result is below [1, 2, 4, 4]" in ended(
        entry, {**given, "shape": integers(1, 2, 4, 3)}
    )
    fixed = import_entry(read_model(declared(proto, y=shapes[1])), TARGET)
    assert "[1, 2, 6, 4], not [1, 2, 5, 7]" in ended(
        fixed, {**given, "shape": integers(*shapes[2])}
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "corners"), [((2, 3, 4, 5), 1), ((2, 3, 4, 5, 6), 0), ((2, 3, 2, 5, 6), 1)]
)
def test_a_grid_of_an_image_as_large_as_a_run_is_told(size: tuple[int, ...], corners: int) -> None:
    count = len(size) - 2
    inputs = {"theta": ((2, count, count + 1), "float32"), "size": ((len(size),), "int64")}
    node = N("AffineGrid", ["theta", "size"], ["y"], align_corners=corners)
    proto = newest(opened([node], inputs, {"y": "float32"}))
    theta = floats(2, count, count + 1)
    bounds = {f"found_y_{i}": 8 for i in range(1, count + 1)}
    larger = (*size[:-1], size[-1] + 1)
    entry = same(proto, [{"theta": theta, "size": integers(*s)} for s in (size, larger)], bounds)
    assert "its sizes are [1], not [2]" in ended(
        entry, {"theta": theta, "size": integers(1, *size[1:])}
    )
    shape = (2, *size[2:], count)
    fixed = same(declared(proto, y=shape), [{"theta": theta, "size": integers(*size)}])
    assert "its sizes are" in ended(fixed, {"theta": theta, "size": integers(*larger)})


@pytest.mark.slow
def test_the_one_place_of_a_depth_is_the_first_corner() -> None:
    """As onnx's evaluator has it; ONNX Runtime takes the last one."""
    inputs = {"theta": ((2, 3, 4), "float32"), "size": ((5,), "int64")}
    node = N("AffineGrid", ["theta", "size"], ["y"], align_corners=1)
    proto = newest(opened([node], inputs, {"y": "float32"}))
    bounds = {f"found_y_{i}": 8 for i in range(1, 4)}
    (program,) = import_entry(read_model(proto, bounds=bounds), TARGET).variants
    theta = floats(2, 3, 4)
    one, two = (
        computed(program, {}, {"theta": theta, "size": integers(2, 3, depth, 5, 6)})["y"]
        for depth in (1, 2)
    )
    np.testing.assert_array_equal(one, two[:, :1])


# ---- dropout ----


def test_whether_it_drops_and_how_much_a_run_says() -> None:
    inputs: dict[str, Any] = {
        "x": ((64, 64), "float32"),
        "ratio": ((), "float32"),
        "on": ((), "bool"),
    }
    node = N("Dropout", ["x", "ratio", "on"], ["y", "kept"], seed=3)
    proto = opened([node], inputs, {"y": "float32", "kept": "bool"})
    entry = import_entry(proto, TARGET)
    x = floats(64, 64)

    def run(ratio: float, on: bool) -> dict[str, np.ndarray]:
        given = {"x": x, "ratio": np.float32(ratio), "on": np.array(on)}
        return computed(entry.variants[0], {}, given)

    for ratio, on in ((0.0, True), (0.7, False), (np.nan, False), (5, False)):
        found = run(ratio, on)
        assert found["kept"].all()
        np.testing.assert_array_equal(found["y"], x)
    for ratio in (0.25, 0.9):
        found = run(ratio, True)
        assert abs(found["kept"].mean() - (1 - ratio)) < 0.03
        scaled = np.where(found["kept"], x / np.float32(1 - ratio), 0)
        np.testing.assert_allclose(found["y"], scaled, 1e-6)
    np.testing.assert_array_equal(run(0.25, True)["kept"], run(0.25, True)["kept"])
    for ratio in (1.0, -0.1, np.nan, np.inf):
        given = {"x": x, "ratio": np.float32(ratio), "on": np.array(True)}
        assert "whether its ratio is not from 0 up to 1: 1, not 0" in ended(entry, given)


def test_a_ratio_alone_that_a_run_is_given_is_asked_for() -> None:
    inputs: dict[str, Any] = {"x": ((4, 4), "float32"), "ratio": ((), "float32")}
    constants = {"on": np.array(True)}
    node = N("Dropout", ["x", "ratio", "on"], ["y"])
    entry = import_entry(opened([node], inputs, {"y": "float32"}, constants), TARGET)
    x = floats(4, 4)
    ours = computed(entry.variants[0], {}, {"x": x, "ratio": np.float32(0)})
    np.testing.assert_array_equal(ours["y"], x)
    assert "ratio" in ended(entry, {"x": x, "ratio": np.float32(2)})
