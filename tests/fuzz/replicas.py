"""What moves values, with all that rounding may make of them, and sequences of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper

from .noise import Value, exactly
from .reference import NoReferenceError
from .values import Array


@dataclass(frozen=True)
class Many:
    """A sequence of tensors."""

    values: tuple[Value, ...]


Found: TypeAlias = Value | Many


def mapped(function: Callable[..., Array], values: Sequence[Value]) -> Value:
    """A function that rounds nothing, of all replicas."""
    truth = np.asarray(function(*(v.array for v in values)))
    if all(v.exact for v in values):
        return exactly(truth)
    shaken = zip(*(v.shaken for v in values), strict=True)
    return Value(truth, tuple(np.asarray(function(*each)) for each in shaken))


def decided(value: Value) -> Any:
    """A number; raises NoReferenceError where rounding may change it."""
    numbers = {replica.item() for replica in value.replicas}
    if len(numbers) > 1:
        raise NoReferenceError("rounding decides what is done")
    return numbers.pop()


def of_sequences(node: onnx.NodeProto, args: Sequence[Any]) -> list[Found] | None:
    """The results of an operator on sequences; None of another one. Raises NoReferenceError."""
    rule = _RULES.get(node.op_type)
    if rule is None:
        return None
    attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    try:
        return [rule(attrs, *args)]
    except (ValueError, IndexError):
        raise NoReferenceError(f"{node.op_type} has no such place, or shapes that differ") from None


def _place(sequence: Many, position: Value, room: int = 0) -> int:
    number, count = int(decided(position)), len(sequence.values) + room
    if not -count <= number < count:
        raise IndexError
    return number % count if count else 0


def _insert(attrs: Mapping[str, Any], s: Many, x: Value, position: Value | None = None) -> Many:
    at = len(s.values) if position is None else _place(s, position, 1)
    if position is not None and decided(position) < 0:  # before the last one, as in a list
        at -= 1
    return Many((*s.values[:at], x, *s.values[at:]))


def _erase(attrs: Mapping[str, Any], s: Many, position: Value | None = None) -> Many:
    at = len(s.values) - 1 if position is None else _place(s, position)
    return Many((*s.values[:at], *s.values[at + 1 :]))


def _split(attrs: Mapping[str, Any], x: Value, split: Value | None = None) -> Many:
    axis = attrs.get("axis", 0)
    size = x.array.shape[axis]
    lengths = [1] * size if split is None else split.array.reshape(-1).tolist()
    if split is not None and split.array.ndim == 0:
        each = lengths[0]
        lengths = [min(each, size - i) for i in range(0, size, each)]
    ends = np.cumsum(lengths)
    parts = [
        mapped(lambda a, b=end - n, e=end: np.take(a, range(b, e), axis), [x])
        for n, end in zip(lengths, ends, strict=True)
    ]
    if split is None and not attrs.get("keepdims", 1):
        parts = [mapped(lambda a: np.squeeze(a, axis), [part]) for part in parts]
    return Many(tuple(parts))


def _concat(attrs: Mapping[str, Any], s: Many) -> Value:
    join = np.stack if attrs.get("new_axis", 0) else np.concatenate
    return mapped(lambda *each: join(each, attrs["axis"]), s.values)


_RULES: Mapping[str, Callable[..., Found]] = {
    "ConcatFromSequence": _concat,
    "SequenceAt": lambda attrs, s, position: s.values[_place(s, position)],
    "SequenceConstruct": lambda attrs, *values: Many(values),
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": lambda attrs, s: exactly(np.array(len(s.values))),
    "SplitToSequence": _split,
}
