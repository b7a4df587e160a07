"""Loops in which operators of ONNX Runtime's domain are spelled: over a first dimension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import onnx
from onnx import helper

from .spelling import Spelling

Step = Callable[[Spelling, list[str], list[str]], tuple[list[str], list[str]]]
"""Of states, and of what there is of an iteration, the next states and what it gives."""


def in_steps(
    call: Spelling,
    states: Sequence[str],
    given: Sequence[str],
    step: Step,
    *,
    reverse: bool = False,
) -> tuple[list[str], list[str]]:
    """The last states, and what all iterations give, one after the other in a first dimension.

    Iterations go along the first dimension of what is ``given``, from its end if ``reverse``; a
    single one needs no loop. How many there are need not be known.
    """
    count = call.dims(given[0])[0]
    if count == 1:
        rows = [call.reshape(x, *call.shape(x)[1:]) for x in given]
        after, made = step(call, list(states), rows)
        return after, [call.unsqueeze(x, 0) for x in made]
    inner = Spelling(call.node, call.opset, call.types, f"{call.stem}/{len(call.nodes)}")
    before, rows = (
        [_inner(inner, f"{inner.stem}/{name} {i}", x, whole) for i, x in enumerate(values)]
        for name, values, whole in (("state", states, True), ("row", given, False))
    )
    after, made = step(inner, before, rows)
    outputs = [inner.emit("Identity", x) for x in (*after, *made)]  # each has a name of its own
    body = helper.make_graph(
        inner.nodes,
        "step",
        [_info(inner, name) for name in (*before, *rows)],
        [_info(inner, name) for name in outputs],
    )
    results = [f"{inner.stem}/result {i}" for i in range(len(outputs))]
    ways: dict[str, Any] = {}
    if reverse:
        ways = {
            "scan_input_directions": [1] * len(given),
            "scan_output_directions": [1] * len(made),
        }
    call.nodes.append(
        helper.make_node(
            "Scan",
            [*states, *given],
            results,
            name=f"{call.node.name or call.node.op_type}/Scan",
            body=body,
            num_scan_inputs=len(given),
            **ways,
        )
    )
    for i, (name, value) in enumerate(zip(results, outputs, strict=True)):
        shape = inner.shape(value)
        call.types.has(name, inner.dtype(value), shape if i < len(after) else (count, *shape))
    return results[: len(after)], results[len(after) :]


def _inner(inner: Spelling, name: str, value: str, whole: bool) -> str:
    inner.types.has(name, inner.dtype(value), inner.shape(value, 0 if whole else 1))
    return name


def _info(inner: Spelling, name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, inner.dtype(name), inner.shape(name))
