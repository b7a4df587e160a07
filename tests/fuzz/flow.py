"""The reference of any node: branches and loops are gone through node by node, so that what may
come of rounding inside of them is told as it is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from . import noise
from .case import reads
from .noise import Value, exactly
from .reference import Engine, NoReferenceError
from .replicas import decided, mapped, of_sequences

_MOST_ITERATIONS = 40


def evaluate(
    node: onnx.NodeProto,
    args: Sequence[Any],
    opset: int,
    rng: np.random.Generator,
    first: Engine = Engine.ORT,
    accuracy: str = "strict",
) -> list[Any]:
    """A node's results, values or sequences, of what it reads; raises NoReferenceError."""
    found = of_sequences(node, args)
    if found is not None:
        return found
    rule = _RULES.get(node.op_type)
    if rule is None:
        return list(noise.evaluate(node, args, opset, rng, first, accuracy))
    around = {n: a for n, a in zip(reads(node), args, strict=True) if n and a is not None}
    return rule(node, _Run(around, opset, rng, first, accuracy))


@dataclass(frozen=True)
class _Run:
    """What is known ``around`` a node's graphs, and how the nodes in these are evaluated."""

    around: Mapping[str, Value]
    opset: int
    rng: np.random.Generator
    first: Engine
    accuracy: str

    def of(self, graph: onnx.GraphProto, given: Sequence[Value] = ()) -> list[Value]:
        """The results of a graph that is given these."""
        values = dict(self.around)
        values |= {t.name: exactly(numpy_helper.to_array(t)) for t in graph.initializer}
        values |= dict(zip((i.name for i in graph.input), given, strict=True))
        for node in graph.node:
            args = [values[n] if n else None for n in reads(node)]
            results = evaluate(node, args, self.opset, self.rng, self.first, self.accuracy)
            values.update(zip(node.output, results, strict=True))
        return [values[output.name] for output in graph.output]

    def number(self, name: str) -> Any:
        """What decides; raises NoReferenceError where rounding may change it."""
        return decided(self.around[name])


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _if(node: onnx.NodeProto, run: _Run) -> list[Value]:
    branch = "then_branch" if run.number(node.input[0]) else "else_branch"
    return run.of(_attributes(node)[branch])


def _loop(node: onnx.NodeProto, run: _Run) -> list[Value]:
    """Without a condition, what the body says of it does not count."""
    body = _attributes(node)["body"]
    times, condition, *first = (*node.input, "", "")[: max(2, len(node.input))]
    most = run.number(times) if times else None
    goes_on = bool(run.number(condition)) if condition else True
    carried, rows, number = [run.around[name] for name in first], [], 0
    while goes_on and (most is None or number < most):
        if number == _MOST_ITERATIONS:
            raise NoReferenceError("it loops for long")
        begin = exactly(np.array(number)), exactly(np.array(goes_on))
        said, *results = run.of(body, (*begin, *carried))
        carried = results[: len(carried)]
        rows.append(results[len(carried) :])
        goes_on = not condition or bool(decided(said))
        number += 1
    return [*carried, *_stacked(rows, len(body.output) - 1 - len(carried))]


def _stacked(rows: Sequence[Sequence[Value]], count: int, axes: Sequence[int] = ()) -> list[Value]:
    """What was kept of each iteration."""
    if count and not rows:
        raise NoReferenceError("nothing tells the shape of what is kept of no iteration")
    try:
        return [
            mapped(lambda *each, at=axis: np.stack(each, at), [row[k] for row in rows])
            for k, axis in zip(range(count), axes or [0] * count, strict=True)
        ]
    except ValueError:
        raise NoReferenceError("what is kept has several shapes") from None


def _scan(node: onnx.NodeProto, run: _Run) -> list[Value]:
    attrs = _attributes(node)
    body, count = attrs["body"], attrs["num_scan_inputs"]
    states = [run.around[name] for name in node.input[:-count]]
    scanned = [run.around[name] for name in node.input[-count:]]
    axes = attrs.get("scan_input_axes") or [0] * count
    turned = attrs.get("scan_input_directions") or [0] * count
    (length,) = {v.array.shape[axis] for v, axis in zip(scanned, axes, strict=True)}
    rows = []
    for number in range(length):
        steps = [length - 1 - number if back else number for back in turned]
        given = [
            mapped(lambda a, n=step, at=axis: np.take(a, n, at), [v])
            for v, step, axis in zip(scanned, steps, axes, strict=True)
        ]
        results = run.of(body, (*states, *given))
        states = results[: len(states)]
        rows.append(results[len(states) :])
    kept = len(body.output) - len(states)
    found = _stacked(rows, kept, attrs.get("scan_output_axes") or [0] * kept)
    back = attrs.get("scan_output_directions") or [0] * kept
    places = attrs.get("scan_output_axes") or [0] * kept
    return [
        *states,
        *(
            mapped(lambda a, at=axis: np.flip(a, at), [v]) if b else v
            for v, b, axis in zip(found, back, places, strict=True)
        ),
    ]


_RULES: Mapping[str, Callable[[onnx.NodeProto, _Run], list[Value]]] = {
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
}
