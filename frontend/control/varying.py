"""Which dimensions are as large as a run finds, as far as ONNX's shape inference tells."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import onnx
from onnx import shape_inference

from ..onnx.opset import is_onnx
from ..onnx.scopes import every_node, reads
from .declared import Known, whole_axes
from .sliced_shapes import with_whole_dimensions
from .stages import is_finder


class Varies(NamedTuple):
    """Of each dimension of a value whether inference does not tell its size; and its type, as ONNX
    numbers these."""

    axes: tuple[bool, ...]
    kind: int


Varying = Mapping[str, Varies]
"""By value, of those in a graph that follow from what a run finds."""

_OF_SHAPES = frozenset({"Shape", "Size"})


def varying_axes(model: onnx.ModelProto, sized: Collection[str] = ()) -> Varying:
    """Those of a model that tells no shapes but its inputs'; what inference knows nothing of is not
    there. Nodes that give what is ``sized`` by a run find something, too.
    """
    found = _following(model.graph.node, sized)
    if not found:
        return {}
    with suppress(shape_inference.InferenceError):
        inferred = shape_inference.infer_shapes(model).graph
        if (told := with_whole_dimensions(model, inferred)) is not None:
            inferred = shape_inference.infer_shapes(told).graph
        return {
            info.name: Varies(
                tuple(not dim.HasField("dim_value") for dim in tensor.shape.dim), tensor.elem_type
            )
            for info in inferred.value_info
            if info.name in found and (tensor := info.type.tensor_type).HasField("shape")
        }
    return {}


def is_cut_short(node: onnx.NodeProto, varying: Varying, known: Known) -> bool:
    """Whether a node takes some of what a run finds, or pads that to a size: whether it leaves it
    as it is depends on how much there is. ``known`` gives the numbers of a value, where they are.
    """
    if not is_onnx(node.domain) or len(node.input) < 2:
        return False
    found = varying.get(node.input[0])
    varies = found.axes if found else ()
    if node.op_type == "Pad":
        return any(varies) and known(node.input[1]) is None
    if node.op_type != "Slice" or not any(varies):
        return False
    whole = whole_axes(node, known)
    if whole and all(whole):  # as ``x[:]`` is
        return False
    if len(node.input) < 4 or not node.input[3]:
        return True
    axes = known(node.input[3])
    rank = len(varies)
    return axes is not None and any(varies[a] for a in axes.flat if -rank <= a < rank)


def _following(nodes: Sequence[onnx.NodeProto], sized: Collection[str]) -> set[str]:
    """The names of finders' results and of what is computed of these, but for what is of their
    shapes alone."""
    found: set[str] = set()
    for node in nodes:
        of_shapes = node.op_type in _OF_SHAPES and is_onnx(node.domain)
        finds = any(is_finder(n) or not {*n.output}.isdisjoint(sized) for n in every_node([node]))
        if finds or (not of_shapes and not found.isdisjoint(reads(node))):
            found.update(filter(None, node.output))
    return found
