"""The domain of our own operators on rows of bytes: only models that were read have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import TensorProto, helper

from luthier.schedules.ops.texts import MOST_DIGITS, most_pieces

from ..opset import attributes_of

DOMAIN = "luthier.text"
_VERSION = 1
_TYPES: Mapping[str, int] = {
    **dict.fromkeys(
        ("Clean", "Cut", "Find", "Join", "Long", "Map", "Pieces", "Tokens", "Widen", "Write"),
        TensorProto.UINT8,
    ),
    **dict.fromkeys(("Count", "Place"), TensorProto.INT64),
    **dict.fromkeys(("Match", "Same"), TensorProto.BOOL),
    "Hash": TensorProto.UINT32,
}
READ = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}
"""What ``Read`` gives, by its attribute ``to``."""


def is_text(domain: str) -> bool:
    """Whether an operator is of this domain."""
    return domain == DOMAIN


def import_domain(model: onnx.ModelProto) -> None:
    """Let a model that uses the domain import it, and have the types that no inference knows."""
    nodes = [node for node in model.graph.node if is_text(node.domain)]
    if nodes and not any(is_text(o.domain) for o in model.opset_import):
        model.opset_import.add(domain=DOMAIN, version=_VERSION)
    known = {info.name for info in (*model.graph.output, *model.graph.value_info)}
    for node in nodes:
        if node.output[0] not in known:
            kind = _type(node)
            model.graph.value_info.append(helper.make_tensor_value_info(node.output[0], kind, None))


def result_shapes(
    node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]
) -> list[tuple[str, int, list[int]]]:
    """Of the result its name, its element type, and its shape, where these are known."""
    if not is_text(node.domain) or not all(name in shapes for name in node.input):
        return []
    found = _shape(node, [list(shapes[name]) for name in node.input])
    return [(node.output[0], _type(node), found)]


def _type(node: onnx.NodeProto) -> int:
    if node.op_type == "Read":
        return READ[next(a.s.decode() for a in node.attribute if a.name == "to")]
    return _TYPES[node.op_type]


def _shape(node: onnx.NodeProto, given: list[list[int]]) -> list[int]:
    attrs = attributes_of(node)
    if node.op_type == "Write":
        return [*given[0], MOST_DIGITS]
    *outer, width = given[0]
    if node.op_type in ("Join", "Same"):
        *other, more = given[1]
        outer = broadcast(outer, other)
        return outer if node.op_type == "Same" else [*outer, width + more]
    if node.op_type == "Widen":
        return [*outer, int(attrs["width"])]
    if node.op_type == "Pieces":
        return [*outer, most_pieces(width, len(attrs["delimiter"]), attrs["cuts"]), width]
    if node.op_type == "Tokens":
        return [*outer, int(attrs["most"] + 2 * attrs["mark"]), int(attrs["room"])]
    same = node.op_type in ("Clean", "Cut", "Find", "Long", "Map")
    return given[0] if same else outer


def broadcast(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """NumPy's; what does not fit stays the first one's, of which the converter tells."""
    count = max(len(first), len(second))
    one, other = ([*[1] * (count - len(each)), *each] for each in (first, second))
    return [b if a == 1 else a for a, b in zip(one, other, strict=True)]
