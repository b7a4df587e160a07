"""The element types that the standard gives the results of an operator, by those of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import defs

from .opset import is_onnx


def result_types(
    node: onnx.NodeProto, inputs: Sequence[str | None], opset: int
) -> list[str | None]:
    """Of each result that of an input which has the same type; None where there is none.

    ``inputs`` are the types of those that are given. An operator that the standard does not know
    has results of its first input's type.
    """
    try:
        domain = "" if is_onnx(node.domain) else node.domain
        schema: Any = defs.get_schema(node.op_type, opset, domain)
    except defs.SchemaError:
        return [inputs[0] if inputs else None] * len(node.output)
    given: dict[str, str | None] = {}
    for index, dtype in enumerate(inputs):
        if dtype is not None and schema.inputs:
            given.setdefault(_formal(schema.inputs, index), dtype)
    return [given.get(_formal(schema.outputs, index)) for index in range(len(node.output))]


def _formal(parameters: Any, index: int) -> str:
    """The name of a parameter's type; the last one may stand for several."""
    return str(parameters[min(index, len(parameters) - 1)].type_str)
