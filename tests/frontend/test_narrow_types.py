"""bfloat16 and types of 8 bits and fewer: moved as they are, computed in float32, rounded once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx_models import TARGET, Case, agree, case, compute, expected, floats, integers, model

from luthier.frontend import import_model
from luthier.schedules import ModelError
from luthier.schedules.ir.dtype import ACCEPTED, DTYPES

N = helper.make_node
NARROW = sorted(DTYPES.keys() - ACCEPTED.keys())
FLOATS = [name for name in NARROW if DTYPES[name].is_float]
BFLOAT16 = DTYPES["bfloat16"].numpy


def narrow(name: str, *shape: int, seed: int = 0) -> np.ndarray:
    """Random bits, but for NaN."""
    element = DTYPES[name]
    bits = np.random.default_rng(seed).integers(0, 1 << element.bits, shape)
    found = bits.astype(f"u{element.bytes}").view(element.numpy)
    wide = found.astype(np.float32)
    return np.where(np.isfinite(wide), wide, 1).astype(element.numpy)


def bits(array: np.ndarray) -> np.ndarray:
    """Whole numbers as they are, floats by their bits."""
    element = DTYPES[array.dtype.name]
    return array.astype(np.int32) if element.is_whole else array.view(element.storage)


def ran(proto: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return compute(import_model(proto, TARGET), inputs, kernels=True)


def by_onnx(proto: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    names = [output.name for output in proto.graph.output]
    with np.errstate(all="ignore"):
        return dict(zip(names, ReferenceEvaluator(proto).run(names, dict(inputs)), strict=True))


def moved(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, np.ndarray],
    names: list[str],
    **constants: object,
) -> dict[str, np.ndarray]:
    """What nodes give that move elements of the type of input x."""
    proto = model(nodes, inputs, names, {n: np.asarray(a) for n, a in constants.items()}, opset=25)
    for output in proto.graph.output:
        output.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(inputs["x"].dtype)
    return ran(proto, inputs)


@pytest.mark.parametrize("name", NARROW)
def test_elements_are_moved_as_they_are(name: str) -> None:
    """By operators that the standard lets move any type."""
    nodes = [
        N("Transpose", ["x"], ["t"], perm=[1, 0]),
        N("Reshape", ["t", "rows"], ["r"]),
        N("Identity", ["r"], ["y"]),
        N("Unsqueeze", ["x", "zero"], ["u"]),
    ]
    x = narrow(name, 5, 12)
    found = moved(nodes, {"x": x}, ["y", "u"], rows=[6, 10], zero=[0])
    wanted = {"y": np.transpose(x).reshape(6, 10), "u": x[None]}
    for output, array in wanted.items():
        assert found[output].dtype == x.dtype
        assert np.array_equal(bits(found[output]), bits(np.ascontiguousarray(array)))


def test_elements_of_bfloat16_are_chosen_and_joined() -> None:
    nodes = [
        N("Concat", ["x", "x"], ["c"], axis=0),
        N("Gather", ["c", "places"], ["g"]),
        N("Where", ["flags", "g", "x"], ["y"]),
        N("Slice", ["c", "one", "seven", "zero", "two"], ["s"]),
        N("Expand", ["x", "large"], ["e"]),
    ]
    x, flags = narrow("bfloat16", 6, 10), np.random.default_rng(0).integers(0, 2, (6, 10)) > 0
    places = [5, 0, 11, -1, 3, 3]
    found = moved(
        nodes, {"x": x, "flags": flags}, ["y", "s", "e"],
        places=places, zero=[0], one=[1], two=[2], seven=[7], large=[2, 6, 10],
    )  # fmt: skip
    whole = np.concatenate([x, x])
    assert np.array_equal(bits(found["y"]), bits(np.where(flags, whole[places], x)))
    assert np.array_equal(bits(found["s"]), bits(np.ascontiguousarray(whole[1:7:2])))
    assert np.array_equal(
        found["e"].view(np.uint16), np.broadcast_to(x, (2, 6, 10)).view(np.uint16)
    )


def cast_model(source: str, target: str, count: int, **attrs: object) -> onnx.ModelProto:
    kind = {n: helper.np_dtype_to_tensor_dtype(DTYPES[n].numpy) for n in (source, target)}
    node = N("Cast", ["x"], ["y"], to=kind[target], **attrs)
    x = helper.make_tensor_value_info("x", kind[source], [count])
    y = helper.make_tensor_value_info("y", kind[target], [count])
    graph = helper.make_graph([node], "cast", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)])


def numbers(dtype: str) -> np.ndarray:
    """Of a type, small and large ones of both signs, without what it must not hold."""
    special = [0, -0.0, 1e-7, -1e-7, 1e9, -1e9, np.inf, -np.inf, np.nan, 448, 449, 464, 465]
    drawn = np.random.default_rng(0).standard_normal(200) * np.exp2(np.arange(200) % 24 - 12)
    with np.errstate(all="ignore"):
        return np.concatenate([special, drawn]).astype(DTYPES[dtype].numpy)


@pytest.mark.parametrize("target", FLOATS)
@pytest.mark.parametrize("source", ["float32", "float16", "float64", "bfloat16"])
@pytest.mark.parametrize("saturate", [0, 1])
def test_casts_to_narrow_floats_round_and_saturate(source: str, target: str, saturate: int) -> None:
    x = numbers(source)
    proto = cast_model(source, target, x.size, saturate=saturate)
    ours = compute(import_model(proto, TARGET), {"x": x})["y"]
    theirs = by_onnx(proto, {"x": x})["y"]
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours.astype(np.float32), theirs.astype(np.float32))


@pytest.mark.parametrize("rounding", ["up", "down", "nearest"])
@pytest.mark.parametrize("saturate", [0, 1])
def test_casts_to_exponents_are_rounded_as_asked(rounding: str, saturate: int) -> None:
    x = np.abs(numbers("float32"))
    proto = cast_model("float32", "float8_e8m0fnu", x.size, saturate=saturate, round_mode=rounding)
    assert np.array_equal(
        bits(ran(proto, {"x": x})["y"]), bits(np.asarray(by_onnx(proto, {"x": x})["y"]))
    )


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("target", ["float32", "float16", "int64", "bool", "bfloat16"])
def test_casts_from_narrow_types(name: str, target: str) -> None:
    x = narrow(name, 300)
    if target in ("int64", "float16"):  # what these do not hold is another test's
        x = np.where(np.abs(x.astype(np.float32)) < 60000, x.astype(np.float32), 1).astype(x.dtype)
    proto = cast_model(name, target, x.size)
    ours, theirs = ran(proto, {"x": x})["y"], by_onnx(proto, {"x": x})["y"]
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours.astype(np.float64), theirs.astype(np.float64))


def in_bfloat16(like: Case) -> Case:
    """The case with floats of bfloat16."""
    arguments = tuple(
        a.astype(BFLOAT16) if a is not None and a.dtype == np.float32 else a for a in like.arguments
    )
    return Case(like.op, arguments, like.attrs, like.constants, like.outputs, 22, like.note)


IMAGE, ROWS = floats(2, 6, 9, 7), floats(5, 24)
AXIS = np.array([1])
COMPUTED = [
    case("Add", ROWS, floats(24)),
    case("Div", ROWS, floats(5, 1)),
    case("Pow", np.abs(ROWS), np.float32(1.5)),
    case("Exp", ROWS),
    case("Gelu", ROWS),
    case("Relu", ROWS),
    case("Sum", ROWS, floats(24), floats(5, 1)),
    case("Clip", ROWS, np.float32(-0.5), np.float32(0.75), constants=(1, 2)),
    case("MatMul", ROWS, floats(24, 10)),
    case("MatMul", ROWS, floats(24, 10), constants=(1,), note="weights"),
    case("Gemm", ROWS, floats(10, 24), floats(10), transB=1, constants=(1, 2)),
    case("Conv", IMAGE, floats(8, 6, 3, 3), floats(8), pads=[1, 1, 1, 1], constants=(1, 2)),
    case("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2]),
    case("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2]),
    case("GlobalAveragePool", IMAGE),
    case("Softmax", ROWS),
    case("LayerNormalization", ROWS, floats(24), floats(24), constants=(1, 2)),
    case("RMSNormalization", ROWS, floats(24), constants=(1,)),
    case("BatchNormalization", IMAGE, *(np.abs(floats(6, seed=i)) for i in range(4)),
         constants=(1, 2, 3, 4)),
    case("ReduceSum", ROWS, AXIS, constants=(1,)),
    case("ReduceMean", ROWS, AXIS, constants=(1,)),
    case("ReduceMax", ROWS, AXIS, constants=(1,)),
    case("CumSum", ROWS, np.int64(1), constants=(1,)),
    case("Pad", ROWS, np.array([1, 2, 3, -4]), np.float32(0.3), constants=(1, 2)),
    case("Trilu", floats(7, 7)),
    case("Resize", IMAGE, None, np.float32([1, 1, 2, 2]), mode="linear", constants=(2,)),
]  # fmt: skip


@pytest.mark.parametrize("plain", COMPUTED, ids=str)
def test_bfloat16_is_computed_in_float32_and_rounded_once(plain: Case) -> None:
    """Against the same of float32, of the numbers that bfloat16 holds."""
    given = in_bfloat16(plain)
    held = {n: a.astype(np.float32) if a.dtype == BFLOAT16 else a for n, a in given.inputs.items()}
    wide = Case(
        given.op,
        tuple(
            a.astype(np.float32)
            if a is not None and a.dtype == BFLOAT16 and not (given.op == "Resize" and i == 2)
            else (plain.arguments[i] if given.op == "Resize" and i == 2 else a)
            for i, a in enumerate(given.arguments)
        ),
        given.attrs,
        given.constants,
        given.outputs,
        given.opset if plain.op != "RMSNormalization" else 23,
    )
    if plain.op == "Resize":
        given = Case(
            "Resize", (given.arguments[0], None, plain.arguments[2]), given.attrs, (2,), 1, 22
        )
    if plain.op == "RMSNormalization":
        given = Case(given.op, given.arguments, given.attrs, given.constants, 1, 23)
    ours = ran(given.model, given.inputs)["out0"]
    theirs = expected(wide.model, held)["out0"].astype(BFLOAT16)
    assert ours.dtype == BFLOAT16
    steps = np.abs(ours.view(np.int16).astype(int) - theirs.view(np.int16).astype(int))
    assert steps.max() <= 1
    assert (steps > 0).mean() < 0.02  # where float32 is near the middle of two


def test_each_operator_rounds_its_result() -> None:
    """256 and 1 are 256 in bfloat16, of which 256 leaves nothing."""
    nodes = [N("Add", ["x", "one"], ["s"]), N("Sub", ["s", "x"], ["y"])]
    x = np.array([256, 128, 0.5], BFLOAT16)
    proto = model(nodes, {"x": x}, ["y"], {"one": np.array(1, BFLOAT16)})
    found = ran(proto, {"x": x})["y"]
    assert found.astype(np.float32).tolist() == [0, 1, 1]


def test_comparisons_and_indices_of_bfloat16() -> None:
    x = floats(4, 9).astype(BFLOAT16)
    nodes = [
        N("Greater", ["x", "zero"], ["above"]),
        N("ArgMax", ["x"], ["most"], axis=1),
        N("TopK", ["x", "three"], ["values", "places"]),
        N("Shape", ["x"], ["shape"]),
    ]
    names = ["above", "most", "values", "places", "shape"]
    constants = {"zero": np.array(0, BFLOAT16), "three": np.array([3])}
    proto = model(nodes, {"x": x}, names, constants, opset=24)
    kinds = (TensorProto.BOOL, TensorProto.INT64, TensorProto.BFLOAT16, *[TensorProto.INT64] * 2)
    for output, kind in zip(proto.graph.output, kinds, strict=True):
        output.type.tensor_type.elem_type = kind
    found, wide = ran(proto, {"x": x}), x.astype(np.float32)
    order = np.argsort(-wide, axis=1, kind="stable")[:, :3]
    assert np.array_equal(found["above"], wide > 0)
    assert np.array_equal(found["most"], wide.argmax(1)[:, None])
    assert np.array_equal(found["places"], order)
    assert found["values"].dtype == BFLOAT16
    assert np.array_equal(found["values"].astype(np.float32), np.take_along_axis(wide, order, 1))
    assert found["shape"].tolist() == [4, 9]


QUANTISED = ["int8", "uint16", "int4", "uint4", "int2", "uint2", *FLOATS]


@pytest.mark.parametrize("name", [n for n in QUANTISED if n not in ("bfloat16", "float8_e8m0fnu")])
@pytest.mark.parametrize("block", [0, 3])
@pytest.mark.parametrize("scales", ["float32", "float16", "bfloat16"])
def test_quantisation_to_few_bits_and_back(name: str, block: int, scales: str) -> None:
    """One scale for each of the columns, or for each three of them in each row."""
    element, shape = DTYPES[name], (4, 8)
    x = (floats(*shape) * 3).astype(DTYPES[scales].numpy)
    per = (4, 3) if block else (8,)
    scale = np.random.default_rng(1).uniform(0.25, 1, per).astype(DTYPES[scales].numpy)
    zero = np.zeros(per, element.numpy)
    if element.is_whole:
        low, high = (max(min(n, 3), -3) for n in element.limits)
        zero = integers(low, high + 1, *per).astype(element.numpy)
    nodes = [
        N("QuantizeLinear", ["x", "scale", "zero"], ["q"], axis=1, block_size=block),
        N("DequantizeLinear", ["q", "scale", "zero"], ["y"], axis=1, block_size=block),
    ]
    proto = model(nodes, {"x": x}, ["q", "y"], {"scale": scale, "zero": zero}, opset=25)
    kinds = (element.numpy, DTYPES[scales].numpy)
    for output, kind in zip(proto.graph.output, kinds, strict=True):
        output.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(kind)
    found = ran(proto, {"x": x})
    wide = lambda a: np.asarray(a).astype(np.float32)  # noqa: E731
    spread = np.repeat(wide(scale), 3, 1)[:, :8] if block else wide(scale)
    shift = np.repeat(wide(zero), 3, 1)[:, :8] if block else wide(zero)
    quotient = wide(x) / spread
    if element.is_whole:
        exact = np.clip(np.rint(quotient) + shift, *element.limits).astype(element.numpy)
    else:
        from ml_dtypes import finfo

        most = float(finfo(element.numpy).max)
        exact = np.clip(quotient, -most, most).astype(element.numpy)
    assert found["q"].dtype == element.numpy
    assert np.array_equal(wide(found["q"]), wide(exact))
    back = ((wide(exact) - (shift if element.is_whole else 0)) * spread).astype(kinds[1])
    np.testing.assert_allclose(wide(found["y"]), wide(back), 1e-2 if scales != "float32" else 1e-6)


def test_weights_of_four_bits_stay_small() -> None:
    """A matrix of int4 with a scale for each block is what the library holds, or float32."""
    weights = narrow("int4", 64, 48)
    nodes = [
        N("DequantizeLinear", ["w", "scale"], ["f"], axis=0, block_size=32),
        N("MatMul", ["x", "f"], ["y"]),
    ]
    x, scale = floats(3, 64), np.abs(floats(2, 48))
    proto = model(nodes, {"x": x}, ["y"], {"w": weights, "scale": scale}, opset=21)
    found = ran(proto, {"x": x})["y"]
    wanted = x @ (weights.astype(np.float32) * np.repeat(scale, 32, 0))
    np.testing.assert_allclose(found, wanted, 1e-4, 1e-5)


def test_loops_and_branches_carry_narrow_types() -> None:
    nodes = [N("Add", ["a", "x"], ["b"]), N("Identity", ["go"], ["on"])]
    body = helper.make_graph(
        [*nodes, N("Identity", ["b"], ["kept"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("a", TensorProto.BFLOAT16, [4])],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("b", TensorProto.BFLOAT16, [4]),
         helper.make_tensor_value_info("kept", TensorProto.BFLOAT16, [4])],
    )  # fmt: skip
    x = floats(4).astype(BFLOAT16)
    three, true = np.array(3), np.array(True)
    proto = model(
        [N("Loop", ["three", "true", "x"], ["y", "z"], body=body)],
        {"x": x},
        ["y", "z"],
        {"three": three, "true": true},
    )
    for output in proto.graph.output:
        output.type.tensor_type.elem_type = TensorProto.BFLOAT16
    found, sums, wanted = ran(proto, {"x": x}), x, []
    for _ in range(3):
        sums = (sums.astype(np.float32) + x.astype(np.float32)).astype(BFLOAT16)
        wanted.append(sums)
    assert np.array_equal(bits(found["y"]), bits(sums))
    assert np.array_equal(bits(found["z"]), bits(np.stack(wanted)))


def test_large_weights_of_bfloat16_in_another_file(tmp_path) -> None:
    w, x = floats(64, 32).astype(BFLOAT16), floats(2, 64).astype(BFLOAT16)
    proto = model([N("MatMul", ["x", "w"], ["y"])], {"x": x}, ["y"], {"w": w})
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.BFLOAT16
    path = tmp_path / "model.onnx"
    onnx.save_model(proto, path, save_as_external_data=True, location="w", size_threshold=0)
    found = compute(import_model(path, TARGET), {"x": x})["y"]
    wanted = (x.astype(np.float32) @ w.astype(np.float32)).astype(BFLOAT16)
    np.testing.assert_allclose(found.astype(np.float32), wanted.astype(np.float32), 1e-2, 1e-2)


@pytest.mark.parametrize("name", ["int4", "uint2"])
def test_elements_that_share_bytes_in_a_file(name: str, tmp_path) -> None:
    """An odd number of them."""
    w = narrow(name, 5, 7)
    x = floats(5, 7)
    nodes = [N("Cast", ["w"], ["f"], to=TensorProto.FLOAT), N("Mul", ["x", "f"], ["y"])]
    proto = model(nodes, {"x": x}, ["y"], {"w": w}, opset=25)
    path = tmp_path / "model.onnx"
    onnx.save_model(proto, path, save_as_external_data=True, location="w", size_threshold=0)
    found = compute(import_model(path, TARGET), {"x": x})["y"]
    assert np.array_equal(found, x * w.astype(np.float32))


def test_six_bits_are_refused_by_name() -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT6E2M3, [2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT6E2M3, [2])
    graph = helper.make_graph([N("Identity", ["x"], ["y"])], "six", [x], [y])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 28)])
    with pytest.raises(ModelError, match="the element type FLOAT6E2M3, which is not supported"):
        import_model(proto, TARGET)


def test_float64_has_the_layers_that_float32_has() -> None:
    """Which ONNX Runtime has in float32 alone."""
    x = floats(2, 6, 9, 7, dtype="float64")
    nodes = [
        N("Softmax", ["x"], ["soft"]),
        N("LogSoftmax", ["x"], ["log"], axis=1),
        N("LayerNormalization", ["x", "g", "b"], ["norm"]),
        N("AveragePool", ["x"], ["mean"], kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]),
        N("AveragePool", ["x"], ["all"], kernel_shape=[2, 2], pads=[1, 1, 1, 1],
          count_include_pad=1),
        N("ConvTranspose", ["x", "w"], ["up"], strides=[2, 3], pads=[1, 0, 2, 1], group=2,
          dilations=[1, 2], output_padding=[1, 2]),
    ]  # fmt: skip
    constants = {
        "g": floats(7, dtype="float64"),
        "b": floats(7, seed=1, dtype="float64"),
        "w": floats(6, 4, 3, 2, dtype="float64"),
    }
    names = ["soft", "log", "norm", "mean", "all", "up"]
    found = ran(model(nodes, {"x": x}, names, constants), {"x": x})
    single = {n: a.astype(np.float32) for n, a in constants.items()}
    x32 = x.astype(np.float32)
    wanted = expected(model(nodes, {"x": x32}, names, single), {"x": x32})
    for name, array in wanted.items():
        assert found[name].dtype == np.float64
        np.testing.assert_allclose(found[name], array, 1e-4, 1e-5, err_msg=name)
    np.testing.assert_allclose(found["soft"].sum(-1), 1, 1e-14)
    np.testing.assert_allclose(np.exp(found["log"]).sum(1), 1, 1e-14)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 2, 0, 1], [4, 0, 3, 0]])
def test_a_transposed_convolution_by_weights_of_run_time(group: int, pads: list[int]) -> None:
    node = N("ConvTranspose", ["x", "w"], ["y"], strides=[2, 1], pads=pads, group=group)
    inputs = {"x": floats(1, 4, 5, 6), "w": floats(4, 3, 3, 4)}
    agree(model([node], inputs, ["y"]), inputs, kernels=True)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "int4"])
def test_a_scan_takes_slices_of_any_type(name: str) -> None:
    x = narrow(name, 4, 3)
    element = helper.np_dtype_to_tensor_dtype(x.dtype)
    own = {n: helper.make_tensor_value_info(n, element, None) for n in ("row", "kept")}
    body = helper.make_graph(
        [N("Identity", ["row"], ["kept"])], "body", [own["row"]], [own["kept"]]
    )
    node = N("Scan", ["x"], ["y"], body=body, num_scan_inputs=1, scan_input_directions=[1])
    found = moved([node], {"x": x}, ["y"])["y"]
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(bits(found), bits(x[::-1]))
