"""The shapes that we compute against those that the model and ONNX's inference give.

What the nodes compute counts, as in ONNX Runtime: exporters declare wrong shapes of outputs. That
inference differs means that one of us is wrong; nothing is built then.
"""

from __future__ import annotations

import warnings
from copy import deepcopy

import onnx
from onnx import helper

from luthier.schedules import ModelError, ModelWarning, Tensor

from ..graph import Graph
from .shapes import inferred


def check_outputs(model: onnx.ModelProto, light: onnx.ModelProto, graph: Graph) -> None:
    """Warn where an output has another shape than the model declares.

    ``light`` is the model without weights. What onnx's inference wrote into a model is accepted,
    even where it is wrong.
    """
    for info, (name, value) in zip(model.graph.output, graph.outputs, strict=True):
        ours, declared = graph.values[value], info.type.tensor_type
        if not declared.HasField("shape") or _fits(ours.shape, declared.shape):
            continue
        if _sizes(declared.shape) != _inferred(light, name):
            warn_declared(info, ours)


def warn_declared(output: onnx.ValueInfoProto, ours: Tensor) -> None:
    """Warn, once, where an output has another shape than the model declares."""
    declared = output.type.tensor_type
    if declared.HasField("shape") and not _fits(ours.shape, declared.shape):
        said = (
            f"output '{output.name}' has the shape {list(ours.shape)}, but the model declares "
            f"{_text(declared.shape)}, which is ignored"
        )
        warnings.warn(ModelWarning(said), stacklevel=2)


def _inferred(light: onnx.ModelProto, name: str) -> list[int | None] | None:
    """The shape of an output as onnx infers it of the nodes alone."""
    plain = deepcopy(light)
    del plain.graph.value_info[:]
    for output in plain.graph.output:
        output.type.tensor_type.ClearField("shape")
    found = inferred(plain).graph.output
    return next((_sizes(o.type.tensor_type.shape) for o in found if o.name == name), None)


def check_inferred(label: str, info: onnx.ValueInfoProto, ours: Tensor) -> None:
    """Raise ModelError where a node's result has another shape or type than ONNX's inference.

    What no inference knows is not compared.
    """
    tensor, result = info.type.tensor_type, f"{label}: its result '{info.name}' has the"
    if tensor.HasField("shape") and not _fits(ours.shape, tensor.shape):
        raise ModelError(
            f"{result} shape {list(ours.shape)}, but ONNX infers {_text(tensor.shape)}: one is "
            "wrong, report it"
        )
    if tensor.elem_type and ours.dtype != str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)):
        raise ModelError(
            f"{result} type {ours.dtype}, but ONNX infers another: one is wrong, report it"
        )


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
