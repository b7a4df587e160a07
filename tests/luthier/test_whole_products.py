"""Products of whole numbers in a reference are exact, whatever the processor has."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx.reference import ReferenceEvaluator

from luthier.correctness.reference import reference
from luthier.correctness.whole_products import exact
from luthier.schedules import Tensor

MODELS = {
    "MatMulInteger": "int32[2,3,5] y, uint8[2,3,40] a, int8[40,5] b, uint8 za, int8[5] zb"
    " | y = MatMulInteger (a, b, za, zb)",
    "MatMulInteger of rows": "int32[3,5] y, uint8[3,40] a, int8[40,5] b | y = MatMulInteger (a, b)",
    "ConvInteger": "int32[1,3,6,6] y, uint8[1,4,6,6] a, uint8[3,4,3,3] b, uint8 za, uint8 zb"
    " | y = ConvInteger <pads = [1, 1, 1, 1]> (a, b, za, zb)",
    "QLinearMatMul": "uint8[3,5] y, uint8[3,40] a, float sa, uint8 za, int8[40,5] b, float sb,"
    " int8 zb, float sy, uint8 zy | y = QLinearMatMul (a, sa, za, b, sb, zb, sy, zy)",
    "QLinearConv": "int8[1,3,4,4] y, uint8[1,4,6,6] a, float sa, uint8 za, int8[3,4,3,3] b,"
    " float[3] sb, int8[3] zb, float sy, int8 zy, int32[3] c"
    " | y = QLinearConv (a, sa, za, b, sb, zb, sy, zy, c)",
}


def drawn(value: onnx.ValueInfoProto) -> np.ndarray:
    """Large numbers alone, so that pairs of products need more than 16 bits."""
    tensor = value.type.tensor_type
    shape = [d.dim_value for d in tensor.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    rng = np.random.default_rng(len(value.name))
    if dtype == np.float32:
        return rng.uniform(0.01, 0.02, shape).astype(dtype) * (9 if value.name == "sy" else 1)
    if value.name.startswith("z"):
        return rng.integers(0, 3, shape).astype(dtype)
    return rng.integers(100, 127, shape).astype(dtype)


@pytest.mark.parametrize("name", MODELS)
def test_sums_are_exact(name: str) -> None:
    types, _, nodes = MODELS[name].partition(" | ")
    output, *inputs = types.split(", ")
    text = f'<ir_version: 8, opset_import: ["": 17]> p ({", ".join(inputs)}) => ({output})'
    model = onnx.parser.parse_model(f"{text} {{ {nodes} }}")
    given = {value.name: drawn(value) for value in model.graph.input}
    (want,) = ReferenceEvaluator(model).run(None, given)
    types_ = {"y": Tensor(want.shape, str(want.dtype))}
    found = reference(model, [given], types_).outputs[0]["y"]
    off = np.abs(found.astype(int) - want.astype(int)).max()
    assert off <= (0 if want.dtype == np.int32 else 1)


def test_other_models_stay_as_they_are() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> p (float[2] x) => (float[2] y) { y = Abs (x) }'
    )
    assert exact(model) is model
