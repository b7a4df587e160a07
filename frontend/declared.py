"""The shapes that we compute against those that the model and ONNX's inference tell.

Two that differ mean that one is wrong; nothing is built of either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import helper

from luthier.schedules import ModelError
from luthier.schedules.tvm_late import relax, tirx

from .graph import Graph
from .onnx_shapes import inferred


def check_outputs(model: onnx.ModelProto, light: onnx.ModelProto, graph: Graph) -> None:
    """Raise ModelError where an output has another shape than the model declares.

    ``light`` is the outline of the model. What onnx's inference wrote into a model is accepted even
    where it is wrong.
    """
    for info, (name, value) in zip(model.graph.output, graph.outputs, strict=True):
        ours, declared = graph.values[value], info.type.tensor_type
        if not declared.HasField("shape") or _fits(ours.shape, declared.shape):
            continue
        if _sizes(declared.shape) != _inferred(light, name):
            raise ModelError(
                f"output '{name}' has the shape {list(ours.shape)}, but the model declares "
                f"{_text(declared.shape)}: correct or remove what it declares, or give other shapes"
            )


def _inferred(light: onnx.ModelProto, name: str) -> list[int | None] | None:
    """The shape of an output as onnx infers it of the nodes alone."""
    plain = onnx.ModelProto()
    plain.CopyFrom(light)
    del plain.graph.value_info[:]
    for output in plain.graph.output:
        output.type.tensor_type.ClearField("shape")
    found = inferred(plain).graph.output
    return next((_sizes(o.type.tensor_type.shape) for o in found if o.name == name), None)


def check_inferred(model: onnx.ModelProto, values: Mapping[str, Any]) -> None:
    """Raise ModelError where a Relax value has another shape or type than ONNX's inference tells.

    What no inference knows is not compared.
    """
    source = {name: node.name for node in model.graph.node for name in node.output}
    for info in (*model.graph.value_info, *model.graph.output):
        shape, tensor = _shape(values.get(info.name)), info.type.tensor_type
        if shape is not None and tensor.HasField("shape") and not _fits(shape, tensor.shape):
            raise ModelError(
                f"{source.get(info.name, info.name)}: its result '{info.name}' has the shape "
                f"{list(shape)}, but ONNX infers {_text(tensor.shape)}: one is wrong, report it"
            )
        if shape is not None and tensor.elem_type:
            ours, theirs = str(values[info.name].ty.dtype), tensor.elem_type
            if ours != str(helper.tensor_dtype_to_np_dtype(theirs)):
                raise ModelError(
                    f"{source.get(info.name, info.name)}: its result '{info.name}' has the type "
                    f"{ours}, but ONNX infers another: one is wrong, report it"
                )


def _shape(value: Any) -> tuple[int, ...] | None:
    """Of a Relax tensor, where it is known."""
    ty = getattr(value, "ty", None)
    if not isinstance(ty, relax.TensorType) or ty.shape is None:
        return None
    sizes = list(getattr(ty.shape, "values", None) or [])
    if not all(isinstance(d, (int, tirx.IntImm)) for d in sizes):
        return None
    return tuple(int(d) for d in sizes)


def _fits(shape: tuple[int, ...], declared: onnx.TensorShapeProto) -> bool:
    sizes = _sizes(declared)
    return len(shape) == len(sizes) and all(
        d is None or d == size for d, size in zip(sizes, shape, strict=True)
    )


def _sizes(declared: onnx.TensorShapeProto) -> list[int | None]:
    """Sizes of at least 0, and None for those that are left open."""
    known = (d.dim_value if d.HasField("dim_value") else -1 for d in declared.dim)
    return [size if size >= 0 else None for size in known]


def _text(declared: onnx.TensorShapeProto) -> str:
    return str(["?" if d is None else d for d in _sizes(declared)]).replace("'", "")
