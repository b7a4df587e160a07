"""Loops that go on while a number is below another: how often they run, where both are known.

``while i < n: i += 1`` is a ``Loop`` that is given no number of iterations, as
``torch.while_loop`` and what ``torch.onnx.export(dynamo=True)`` spells by loops become.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..graph import Array
from ..onnx.opset import attributes_of, is_onnx
from .assembly import Assembly
from .distances import Distances
from .loop_node import LoopNode
from .parts import Parts, Scope

_MOST = 1 << 24  # numbers that all of these types have
_TYPES = frozenset((TensorProto.INT32, TensorProto.INT64, TensorProto.FLOAT, TensorProto.DOUBLE))
_EXACT = frozenset(("int32", "int64", "float32", "float64"))
_BELOW = {"Less": 0, "LessOrEqual": 1, "Greater": 0, "GreaterOrEqual": 1}  # and what is added
_VIEWS = frozenset(("Identity", "Reshape", "Squeeze", "Unsqueeze"))


def counted(node: onnx.NodeProto, scope: Scope, parts: Parts, assembly: Assembly) -> onnx.NodeProto:
    """A Loop that is given how often it runs at most, a number in ``scope``, where its condition
    tells that; where nothing else ends it, its body has no condition of its own any more."""
    loop = LoopNode.of(node)
    given = _whole(parts.numbers_of(loop.trips, scope, loop.label)) if loop.trips else _MOST
    counting = _Counting(loop, scope, parts)
    most = counting.most(loop.body.output[0].name)
    if given is None or most is None:
        return node
    said = f"iterations of {loop.label} {next(filter(None, loop.outputs), '')}"
    number = np.array(min(most.times, given), np.int64)
    is_written = not counting.computed and (not loop.trips or parts.written(loop.trips, scope))
    scope[said] = numpy_helper.from_array(number) if is_written else assembly.constant(number)
    new = onnx.NodeProto()
    new.CopyFrom(node)
    new.input[0] = said
    if most.alone:
        body = onnx.GraphProto()
        body.CopyFrom(loop.body)
        body.output[0].name = body.input[1].name
        del new.attribute[:]
        new.attribute.append(helper.make_attribute("body", body))
    return new


class _Counts(NamedTuple):
    """What a number is in the first iteration, and what each adds."""

    first: int
    step: int


class _Most(NamedTuple):
    """How often a loop runs at most, and whether nothing else of its condition ends it."""

    times: int
    alone: bool


class _Counting:
    """What a loop's body says of numbers; those of the model's that are ``computed`` were asked
    for."""

    def __init__(self, loop: LoopNode, scope: Scope, parts: Parts) -> None:
        self._loop, self._scope, self._parts = loop, scope, parts
        self.computed = set[str]()
        self._inputs = [info.name for info in loop.body.input]
        self._own = {tensor.name: tensor for tensor in loop.body.initializer}
        made = {o: node for node in loop.body.node for o in node.output if o}
        self._inside = {*self._inputs, *made}
        self._made = {o: node for o, node in made.items() if self._keeps_numbers(node)}
        self._numbers = Distances(self._made, self._known)

    def most(self, condition: str) -> _Most | None:
        """Told by what is true while it goes on."""
        node = self._made.get(condition)
        while node is not None and node.op_type in _VIEWS:
            node = self._made.get(node.input[0])
        if node is None or not is_onnx(node.domain):
            return None
        if node.op_type == "And":
            each = [most.times for name in node.input if (most := self.most(name)) is not None]
            return _Most(min(each), False) if each else None
        times = self._compared(node) if node.op_type in _BELOW else None
        return None if times is None else _Most(times, True)

    def _compared(self, node: onnx.NodeProto) -> int | None:
        """How often it runs where this ends it."""
        small, large = node.input if node.op_type.startswith("Less") else reversed(node.input)
        for counter, limit, sign in ((small, large, 1), (large, small, -1)):
            counts, end = self._counts(counter), self._limit(limit)
            if counts is None or end is None or sign * counts.step <= 0:
                continue
            left = sign * (end - counts.first) + _BELOW[node.op_type]
            times = 1 + max(-(-left // abs(counts.step)), 0)
            ends = (counts.first, end, counts.first + times * counts.step)
            return times if max(map(abs, ends)) < _MOST else None
        return None

    def _counts(self, name: str) -> _Counts | None:
        """A number to which each iteration adds."""
        found, inputs = self._numbers.sum(name), self._inputs
        if found.value not in (inputs[0], *inputs[2:]):
            return None
        if found.value == inputs[0]:
            return _Counts(found.plus, 1)
        place = inputs.index(found.value) - 2
        begins = self._outer(self._loop.carried[place])
        first = _whole(begins) if begins is not None and begins.dtype.name in _EXACT else None
        after = self._numbers.sum(self._loop.body.output[1 + place].name)
        if first is None or after.value != found.value:
            return None
        return _Counts(first + found.plus, after.plus)

    def _limit(self, name: str) -> int | None:
        """A number that is the same in all iterations."""
        found = self._numbers.sum(name)
        number = self._numbers.number(found.value)
        return None if number is None else number + found.plus

    def _known(self, name: str) -> Array | None:
        """The numbers of what the body reads, where they are known."""
        if name in self._own:
            return numpy_helper.to_array(self._own[name])
        return None if name in self._inside else self._outer(name)

    def _outer(self, name: str) -> Array | None:
        if name not in self._scope:
            return None
        if self._parts.written(name, self._scope) is None:
            self.computed.add(name)
        return self._parts.numbers_of(name, self._scope, self._loop.label)

    def _keeps_numbers(self, node: onnx.NodeProto) -> bool:
        """Whether a node is no cast to a type that may not have all numbers."""
        if node.op_type == "CastLike":
            return node.input[0] not in self._inside
        return node.op_type != "Cast" or attributes_of(node).get("to") in _TYPES


def _whole(array: Array | None) -> int | None:
    if array is None or array.size != 1 or not float(array.item()).is_integer():
        return None
    return int(array.item())
