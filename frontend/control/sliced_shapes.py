"""Dimensions that slices leave as they are, of which ONNX's inference tells nothing where it does
not know from where to where these are."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper, numpy_helper

from ..onnx.opset import is_onnx


def with_whole_dimensions(
    model: onnx.ModelProto, inferred: onnx.GraphProto
) -> onnx.ModelProto | None:
    """A model whose inference tells these; None where it has no such slice.

    Each is a lookup along its axes instead, of as many places as nothing tells; ``inferred`` has
    the shapes of what they read.
    """
    shapes = _shapes(inferred)
    constants = {tensor.name: tensor for tensor in inferred.initializer}
    nodes, places = list[onnx.NodeProto](), list[str]()
    for node in model.graph.node:
        axes = _axes(node, shapes, constants)
        before = node.input[0] if axes else ""
        for k, axis in enumerate(axes):
            last = k + 1 == len(axes)
            after = node.output[0] if last else f"sliced {k} {node.output[0]}"
            places.append(f"places {k} {node.output[0]}")
            nodes.append(helper.make_node("Gather", [before, places[-1]], [after], axis=axis))
            before = after
        if not axes:
            nodes.append(node)
    if not places:
        return None
    told = onnx.ModelProto()
    told.CopyFrom(model)
    del told.graph.node[:]
    told.graph.node.extend(nodes)
    told.graph.input.extend(
        helper.make_tensor_value_info(name, TensorProto.INT64, [None]) for name in places
    )
    return told


def _shapes(graph: onnx.GraphProto) -> dict[str, list[int | None]]:
    """Of all values of which they are known in part, None for what is not."""
    found: dict[str, list[int | None]] = {
        tensor.name: list(tensor.dims) for tensor in graph.initializer
    }
    for info in (*graph.input, *graph.value_info, *graph.output):
        if info.type.tensor_type.HasField("shape"):
            dims = info.type.tensor_type.shape.dim
            found[info.name] = [d.dim_value if d.HasField("dim_value") else None for d in dims]
    return found


def _axes(
    node: onnx.NodeProto,
    shapes: dict[str, list[int | None]],
    constants: dict[str, TensorProto],
) -> list[int]:
    """Those of a slice that leaves dimensions whole of which inference tells nothing."""
    if node.op_type != "Slice" or not is_onnx(node.domain) or len(node.input) < 3:
        return []
    whole, count = shapes.get(node.input[0]), shapes.get(node.input[1], [None])[:1]
    if whole is None or None not in shapes.get(node.output[0], [None]) or count in ([], [None]):
        return []
    rank, axes = len(whole), list(range(count[0] or 0))
    if len(node.input) > 3 and node.input[3]:
        known = constants.get(node.input[3])
        if known is None:
            return []
        axes = [int(a) for a in numpy_helper.to_array(known).flat]
    fits = all(-rank <= axis < rank for axis in axes)
    return [axis % rank for axis in axes] if fits else []
