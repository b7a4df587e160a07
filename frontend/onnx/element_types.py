"""ONNX's element types by the names that NumPy has for them."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from luthier.schedules import ModelError
from luthier.schedules.ir.dtype import DTYPES


def dtype_name(elem_type: int, what: str) -> str:
    """NumPy's name of an ONNX element type; raises ModelError where Luthier does not know it."""
    try:
        name = str(onnx.helper.tensor_dtype_to_np_dtype(elem_type))
        onnx_name = TensorProto.DataType.Name(elem_type)
    except (KeyError, ValueError) as error:
        raise ModelError(f"{what} has the unknown element type {elem_type}") from error
    if name not in DTYPES:
        raise ModelError(f"{what} has the element type {onnx_name}, which is not supported")
    return name
