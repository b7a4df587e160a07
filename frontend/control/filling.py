"""Loops that fill a sequence, a tensor with each iteration: they keep these instead."""

from __future__ import annotations

import onnx
from onnx import helper

from ..onnx.opset import is_onnx
from ..onnx.scopes import reads
from .parts import Listed, Scope


def without_sequences(node: onnx.NodeProto, scope: Scope) -> tuple[onnx.NodeProto, list[str]]:
    """A Loop that keeps a tensor of each iteration where it appended this to an empty sequence;
    and the results that are its stacks.
    """
    body = next((a.g for a in node.attribute if a.name == "body"), onnx.GraphProto())
    found = {i: _fills(node, body, i, scope) for i in range(2, len(node.input))}
    filled = {i: insert for i, insert in found.items() if insert is not None}
    if not filled or len(body.output) < len(node.input) - 1:
        return node, []
    loop, new = onnx.NodeProto(), onnx.GraphProto()
    loop.CopyFrom(node)
    new.CopyFrom(body)
    drops = [i - 1 for i in filled]  # among the body's results
    names = list(node.output) + [""] * (len(body.output) - 1 - len(node.output))
    stacks = [names[i - 2] for i in filled]
    for field, items in (
        (loop.input, [n for i, n in enumerate(node.input) if i not in filled]),
        (loop.output, [n for i, n in enumerate(names) if i + 2 not in filled] + stacks),
        (new.input, [v for i, v in enumerate(body.input) if i not in filled]),
        (new.output, [v for i, v in enumerate(body.output) if i not in drops]),
        (new.node, [n for n in body.node if n not in filled.values()]),
    ):
        del field[:]
        field.extend(items)
    new.output.extend(onnx.ValueInfoProto(name=insert.input[1]) for insert in filled.values())
    del loop.attribute[:]
    loop.attribute.append(helper.make_attribute("body", new))
    return loop, stacks


def _fills(
    node: onnx.NodeProto, body: onnx.GraphProto, index: int, scope: Scope
) -> onnx.NodeProto | None:
    """The node of a body that appends to the sequence that a Loop carries as its input."""
    if scope.get(node.input[index]) != Listed(()) or index >= len(body.input):
        return None
    if index > len(body.output):
        return None
    name, result = body.input[index].name, body.output[index - 1].name
    readers = [each for each in body.node if name in reads(each) or result in reads(each)]
    if len(readers) != 1 or list(readers[0].output) != [result]:
        return None
    (insert,) = readers
    fits = insert.op_type == "SequenceInsert" and is_onnx(insert.domain)
    alone = len(insert.input) == 2 and insert.input[0] == name != insert.input[1]
    return insert if fits and alone else None
