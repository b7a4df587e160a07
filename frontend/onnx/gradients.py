"""Gradients of a value by others, in ONNX's operators: reverse accumulation over its nodes.

Of the domain ai.onnx.preview.training. Where the value is not one number, they are those of the sum
of its elements. (A. Griewank, A. Walther: "Evaluating Derivatives", 2008.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from luthier.schedules import ModelError, UnsupportedOperator

from .given import leading_to
from .microsoft.spelling import Results, Spelled, Spelling, attributes
from .opset import is_onnx, node_label

_ANY = 1 << 16  # inputs of a node


def _gradient(call: Spelling) -> Results:
    """Of ``y`` by each of ``xs``; ``zs`` are further values that it is computed from. The inputs
    take the places of these."""
    xs, zs, y = _names(call, "xs"), _names(call, "zs"), str(call.attr("y", ""))
    leaves = [*xs, *zs]
    if not xs or len(leaves) != len(call.node.input) or len(set(leaves)) < len(leaves):
        raise ModelError(f"{call.label}: its inputs are not those that it names")
    others = [node for node in call.before if set(leaves).isdisjoint(node.output)]
    nodes = leading_to(others, [y])
    if not nodes and y not in leaves:
        raise ModelError(f"{call.label}: nothing before it gives '{y}'")
    given = dict(zip(leaves, call.node.input, strict=True))
    if any(name != value for name, value in given.items()):
        nodes = [_again(call, node, given) for node in nodes]
    y = given.get(y, y)
    varying = {given[name] for name in xs}
    for node in nodes:
        if not varying.isdisjoint(node.input):
            varying.update(node.output)
    parts = {y: [_filled(call, y, 1.0)]}
    for node in reversed(nodes):
        g = _sum(call, parts.get(node.output[0], []))
        if g and not varying.isdisjoint(node.output):
            step = _Step(call, node, g)
            for i, name in enumerate(node.input):
                if name in varying:
                    parts.setdefault(name, []).append(step.by(i))
    sums = (_sum(call, parts.get(given[name], [])) for name in xs)
    return [found or _filled(call, given[x], 0.0) for x, found in zip(xs, sums, strict=True)]


def _names(call: Spelling, attribute: str) -> list[str]:
    found = call.attr(attribute, ())
    if not all(isinstance(each, bytes) for each in found):
        raise ModelError(f"{call.label}: its attribute '{attribute}' is of another type")
    return [each.decode(errors="replace") for each in found]


def _again(call: Spelling, node: onnx.NodeProto, given: dict[str, str]) -> onnx.NodeProto:
    """A node over what is given; its results are among that from then on."""
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    copied.input[:] = [given.get(name, name) for name in node.input]
    copied.output[:] = [name and f"{call.stem}/{name}" for name in node.output]
    given |= zip(node.output, copied.output, strict=True)
    call.nodes.append(copied)
    call.types.follow(copied, call.label)
    return copied


def _filled(call: Spelling, like: str, number: float) -> str:
    """One number, as often as a value has elements."""
    return call.emit("Expand", call.number(number, like), call.sizes(*call.shape(like)))


def _sum(call: Spelling, parts: list[str]) -> str:
    """Of all parts; "" where there are none."""
    while len(parts) > 1:
        parts[:2] = [call.emit("Add", *parts[:2])]
    return parts[0] if parts else ""


@dataclass(frozen=True)
class _Step:
    """A node, and the gradient ``g`` by its result ``y``."""

    call: Spelling
    node: onnx.NodeProto
    g: str

    def by(self, index: int) -> str:
        """The gradient by an input, of its shape; raises UnsupportedOperator."""
        rule = RULES.get(self.node.op_type) if is_onnx(self.node.domain) else None
        if rule is None or len(self.node.output) != 1:
            raise self.unsupported("")
        return rule(self, index)

    def unsupported(self, what: str) -> UnsupportedOperator:
        """The error for a derivative that is not known."""
        label = node_label(self.node)
        return UnsupportedOperator(
            f"{self.call.label}: the gradient of {label}{what} is not supported"
        )

    @property
    def y(self) -> str:
        """The result."""
        return str(self.node.output[0])

    def x(self, index: int = 0) -> str:
        """An input."""
        return str(self.node.input[index])

    def e(self, op: str, *inputs: str) -> str:
        """What an operator gives."""
        return self.call.emit(op, *inputs)

    def n(self, number: float) -> str:
        """A number of the gradient's type."""
        return self.call.number(number, self.g)

    def attr(self, name: str, default: object) -> object:
        """An attribute of the node."""
        found = next((a for a in self.node.attribute if a.name == name), None)
        return default if found is None else helper.get_attribute_value(found)

    def shaped(self, g: str, index: int) -> str:
        """With the shape of an input, in another order of no element."""
        shape = self.call.shape(self.x(index))
        return (
            g
            if self.call.shape(g) == shape
            else self.call.emit("Reshape", g, self.call.sizes(*shape))
        )

    def narrowed(self, g: str, index: int) -> str:
        """The sum over what an input was broadcast along."""
        wide, shape = self.call.shape(g), self.call.shape(self.x(index))
        padded = (1,) * (len(wide) - len(shape)) + shape
        axes = [i for i, (a, b) in enumerate(zip(wide, padded, strict=True)) if a != b]
        return self.shaped(self.call.reduce("ReduceSum", g, axes) if axes else g, index)


_Rule = Callable[[_Step, int], str]


def _elementwise(write: Callable[[_Step], str]) -> _Rule:
    """Of one input: the derivative of each element."""
    return lambda s, i: s.e("Mul", s.g, write(s))


def _broadcast(*write: Callable[[_Step], str]) -> _Rule:
    """Of inputs that are broadcast: for each what the gradient is before it is summed."""
    return lambda s, i: s.narrowed(write[i](s), i)


def _power(s: _Step) -> str:
    """Of the base: p x ** (p - 1)."""
    exponent = s.call.cast(s.x(1), s.call.dtype(s.x()))
    lower = s.e("Pow", s.x(), s.e("Sub", exponent, s.n(1)))
    return s.e("Mul", s.g, s.e("Mul", exponent, lower))


def _quotient(s: _Step) -> str:
    """Of the divisor: -y / x."""
    return s.e("Neg", s.e("Div", s.e("Mul", s.g, s.y), s.x(1)))


def _product(s: _Step, index: int) -> str:
    """Of a matrix product, of several matrices too."""
    ranks = [s.call.rank(s.x(i)) for i in range(2)]
    if min(ranks) < 2:
        raise s.unsupported(" of a vector")
    order = [*range(ranks[1 - index] - 2), ranks[1 - index] - 1, ranks[1 - index] - 2]
    other = s.call.transpose(s.x(1 - index), *order)
    return s.narrowed(s.e("MatMul", *((s.g, other) if index == 0 else (other, s.g))), index)


def _transposed(s: _Step, index: int) -> str:
    rank = s.call.rank(s.x())
    order = [int(axis) for axis in np.array(s.attr("perm", [*reversed(range(rank))]), np.int64)]
    return s.call.transpose(s.g, *(int(axis) for axis in np.argsort(order)))


def _reduced(s: _Step, index: int) -> str:
    """Each element that was added up has the gradient of the sum."""
    shape = s.call.shape(s.x())
    axes = np.array(s.attr("axes", []), np.int64)
    if len(s.node.input) > 1 and s.x(1):
        known = s.call.array(s.x(1))
        if known is None:
            raise s.unsupported(" along axes that are not known")
        axes = known.reshape(-1)
    if index or (not axes.size and s.attr("noop_with_empty_axes", 0)):
        raise s.unsupported(" along no axis")
    along = {int(axis) % len(shape) for axis in axes} if axes.size else {*range(len(shape))}
    kept = [1 if i in along else size for i, size in enumerate(shape)]
    return s.e("Expand", s.e("Reshape", s.g, s.call.sizes(*kept)), s.call.sizes(*shape))


def _mean(s: _Step, index: int) -> str:
    count = math.prod(s.call.shape(s.x())) / max(math.prod(s.call.shape(s.y)), 1)
    return s.e("Div", _reduced(s, index), s.n(count))


def _softmax(s: _Step, index: int) -> str:
    """y (g - sum of g y)."""
    if s.call.opset < 13:
        raise s.unsupported(f" in operator set {s.call.opset}")
    axis = int(np.array(s.attr("axis", -1)))
    total = s.call.reduce("ReduceSum", s.e("Mul", s.g, s.y), [axis])
    return s.e("Mul", s.y, s.e("Sub", s.g, total))


def _chosen(s: _Step, index: int) -> str:
    zero = s.n(0)
    pair = (s.g, zero) if index == 1 else (zero, s.g)
    return s.narrowed(s.e("Where", s.x(0), *pair), index)


def _cast(s: _Step, index: int) -> str:
    return s.call.cast(s.g, s.call.dtype(s.x(index)))


def _moved(s: _Step, index: int) -> str:
    if index:
        raise s.unsupported(" by its shape")
    return s.shaped(s.g, 0)


RULES: Mapping[str, _Rule] = {
    "Identity": lambda s, i: s.g,
    "Add": _broadcast(lambda s: s.g, lambda s: s.g),
    "Sub": _broadcast(lambda s: s.g, lambda s: s.e("Neg", s.g)),
    "Mul": _broadcast(
        lambda s: s.e("Mul", s.g, s.x(1)),
        lambda s: s.e("Mul", s.g, s.x(0)),
    ),
    "Div": _broadcast(lambda s: s.e("Div", s.g, s.x(1)), _quotient),
    "Pow": _broadcast(_power, lambda s: s.e("Mul", s.g, s.e("Mul", s.y, s.e("Log", s.x())))),
    "Sum": lambda s, i: s.narrowed(s.g, i),
    "Neg": lambda s, i: s.e("Neg", s.g),
    "Abs": _elementwise(lambda s: s.e("Sign", s.x())),
    "Exp": _elementwise(lambda s: s.y),
    "Log": lambda s, i: s.e("Div", s.g, s.x()),
    "Sqrt": lambda s, i: s.e("Div", s.g, s.e("Mul", s.n(2), s.y)),
    "Reciprocal": _elementwise(lambda s: s.e("Neg", s.e("Mul", s.y, s.y))),
    "Sin": _elementwise(lambda s: s.e("Cos", s.x())),
    "Cos": _elementwise(lambda s: s.e("Neg", s.e("Sin", s.x()))),
    "Tanh": _elementwise(lambda s: s.e("Sub", s.n(1), s.e("Mul", s.y, s.y))),
    "Sigmoid": _elementwise(lambda s: s.e("Mul", s.y, s.e("Sub", s.n(1), s.y))),
    "Softplus": _elementwise(lambda s: s.e("Sigmoid", s.x())),
    "Relu": lambda s, i: s.e("Where", s.e("Greater", s.x(), s.n(0)), s.g, s.n(0)),
    "Erf": _elementwise(
        lambda s: s.e(
            "Mul", s.n(2 / math.sqrt(math.pi)), s.e("Exp", s.e("Neg", s.e("Mul", s.x(), s.x())))
        )
    ),
    "MatMul": _product,
    "Transpose": _transposed,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _moved),
    "Expand": lambda s, i: s.narrowed(s.g, i),
    "ReduceSum": _reduced,
    "ReduceMean": _mean,
    "Softmax": _softmax,
    "Where": _chosen,
    "Cast": _cast,
}
OPERATORS: Mapping[str, Spelled] = {
    "Gradient": Spelled(_gradient, _ANY, attributes("xs zs y"), since=9)
}
