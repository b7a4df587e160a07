"""TensorFlow Lite's choice among boxes that overlap, and what ends detectors.

Boxes are chosen in a loop, best first, so that all shapes are known: a box that is chosen takes
itself and those that overlap with it out of its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from luthier.schedules import ModelError

from .call import Call, Operator
from .flexbuffer import Scalar, scalars

POSTPROCESS = "custom operator 'TFLite_Detection_PostProcess'"


@dataclass(frozen=True)
class _Chosen:
    """By class and by place, best first: ``boxes`` are numbers of boxes, ``there`` is whether there
    was one that is good enough; [classes, count]."""

    boxes: str
    there: str


def _chosen(
    call: Call, boxes: str, scores: str, count: int, overlap: str, least: str, compare: str
) -> _Chosen:
    """Of boxes [number, 4] and scores [classes, number] the best that overlap by no more than is
    said, and whose scores ``compare`` with the least one."""
    sides = [call.add("Gather", boxes, call.ints(i), axis=1) for i in range(4)]
    sides = [call.add("Transpose", side, perm=[1, 0]) for side in sides]  # [1, number]
    area = _area(call, sides)
    fresh = call.graph.writing.fresh
    turn, goes, live = fresh(), fresh(), fresh()
    with call.graph.apart() as nodes:
        best = call.add("ArgMax", live, axis=1, keepdims=1)  # [classes, 1]
        score = call.add("GatherElements", live, best, axis=1)
        there = call.add(compare, score, least)
        own = [
            call.add("Gather", call.add("Squeeze", x, call.ints(0)), best) for x in (*sides, area)
        ]
        shared = _area(
            call,
            [
                *(call.add("Max", side, mine) for side, mine in zip(sides[:2], own, strict=False)),
                *(
                    call.add("Min", side, mine)
                    for side, mine in zip(sides[2:], own[2:], strict=False)
                ),
            ],
            bounded=True,
        )
        whole = call.add("Sub", call.add("Add", area, own[4]), shared)
        is_over = call.add("Greater", call.add("Div", shared, whole), overlap)
        for each in (area, own[4]):
            is_over = call.add("And", is_over, call.add("Greater", each, _number(call, 0)))
        length = call.add("Squeeze", call.add("Shape", live, start=1))
        numbers = call.add("Range", _whole_number(call, 0), length, _whole_number(call, 1))
        is_over = call.add("Or", is_over, call.add("Equal", numbers, best))
        after = call.add("Where", is_over, _number(call, -np.inf), live)
        kept = [
            call.add("Squeeze", call.add("Where", there, best, call.ints(0)), call.ints(1)),
            call.add("Squeeze", there, call.ints(1)),
        ]
        results = [call.add("Identity", x) for x in (goes, after, *kept)]
    kinds = (TensorProto.BOOL, TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL)
    scalar = (
        helper.make_tensor_value_info(name, kind, [])
        for name, kind in ((turn, TensorProto.INT64), (goes, TensorProto.BOOL))
    )
    body = helper.make_graph(
        nodes,
        "choice",
        [*scalar, helper.make_tensor_value_info(live, TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info(n, k, None) for n, k in zip(results, kinds, strict=True)],
    )
    trips = call.graph.constant(count, "int64")
    _, boxes, there = call.graph.add_several("Loop", [trips, "", scores], 3, body=body)
    return _Chosen(*(call.add("Transpose", x, perm=[1, 0]) for x in (boxes, there)))


def _area(call: Call, sides: list[str], *, bounded: bool = False) -> str:
    """Of top, left, bottom and right; of no box 0, where it is ``bounded``."""
    lengths = [call.add("Sub", sides[i + 2], sides[i]) for i in range(2)]
    if bounded:
        lengths = [call.add("Max", each, _number(call, 0)) for each in lengths]
    return call.add("Mul", *lengths)


def _number(call: Call, value: float) -> str:
    return call.graph.constant(value, "float32")


def _whole_number(call: Call, value: int) -> str:
    return call.graph.constant(value, "int64")


def _counted(call: Call, there: str) -> str:
    """How many of a list are true, as one number of int32."""
    return call.add("ReduceSum", call.add("Cast", there, to=TensorProto.INT32), keepdims=0)


def _flat(call: Call, x: str) -> str:
    return call.add("Reshape", x, call.ints(-1))


def _non_max_suppression(call: Call) -> list[str]:
    """As many as are asked for, the last ones zeros where there are fewer."""
    is_soft = call.operation.kind == "NON_MAX_SUPPRESSION_V5"
    sigma = call.tensor(5).constant if is_soft else np.zeros(1)
    if sigma is None or sigma.any():
        raise call.unsupported("a sigma that lowers scores")
    (count,) = call.constant(2, "a number of boxes")[:1] or [0]
    corners = [
        call.add("Gather", call.input(0), call.ints(*pair), axis=1) for pair in ((0, 1), (2, 3))
    ]
    boxes = call.add("Concat", call.add("Min", *corners), call.add("Max", *corners), axis=1)
    scores = call.add("Unsqueeze", call.input(1), call.ints(0))
    found = _chosen(call, boxes, scores, max(count, 0), call.input(3), call.input(4), "Greater")
    places, there = _flat(call, found.boxes), _flat(call, found.there)
    results = [call.add("Cast", places, to=TensorProto.INT32)]
    if is_soft:
        results.append(_masked(call, call.add("Gather", call.input(1), places), there))
    return [*results, _counted(call, there)]


def _detections(call: Call) -> list[str]:
    """Boxes, classes, scores, and how many there are."""
    options = scalars(call.operation.custom)
    most, classes = (_option(call, options, name) for name in ("max_detections", "num_classes"))
    each = min(_option(call, options, "max_classes_per_detection", 1), classes)
    overlap, least = (
        _number(call, float(options.get(f"nms_{name}_threshold", 0))) for name in ("iou", "score")
    )
    boxes = _decoded(call, options)
    (given,) = call.sizes(1, [2])
    scores = call.add("Squeeze", call.input(1), call.ints(0))
    scores = call.add("Slice", scores, call.ints(given - classes), call.ints(given), call.ints(1))
    if options.get("use_regular_nms", False):
        if each > 1:
            raise call.unsupported("more than one class of a box that is chosen by class")
        own = min(_option(call, options, "detections_per_class", 100), most)
        return _by_class(call, boxes, scores, most, own, overlap, least)
    best, kinds = call.graph.add_several("TopK", [scores, call.ints(each)], 2, axis=1)
    first = call.add("Gather", best, call.ints(0), axis=1)
    first = call.add("Transpose", first, perm=[1, 0])
    found = _chosen(call, boxes, first, most, overlap, least, "GreaterOrEqual")
    places, there = _flat(call, found.boxes), _flat(call, found.there)
    column = call.add("Unsqueeze", there, call.ints(1))
    boxes, kinds, best = (
        _masked(call, call.add("Gather", x, places), column)
        for x in (boxes, _floats(call, kinds), best)
    )
    if each > 1:  # each box once for each of its classes
        boxes = call.add("Unsqueeze", boxes, call.ints(1))
        boxes = call.add("Expand", boxes, call.ints(most, each, 4))
    return _results(call, boxes, kinds, best, _counted(call, there))


def _masked(call: Call, x: str, there: str) -> str:
    return call.add("Where", there, x, _number(call, 0))


def _floats(call: Call, x: str) -> str:
    return call.add("Cast", x, to=TensorProto.FLOAT)


def _results(call: Call, boxes: str, kinds: str, scores: str, count: str) -> list[str]:
    return [
        call.add("Reshape", boxes, call.ints(1, -1, 4)),
        *(call.add("Reshape", x, call.ints(1, -1)) for x in (kinds, scores)),
        call.add("Reshape", _floats(call, count), call.ints(1)),
    ]


def _by_class(
    call: Call, boxes: str, scores: str, most: int, own: int, overlap: str, least: str
) -> list[str]:
    """The best of those that are chosen in each class, ``own`` at most."""
    by_class = call.add("Transpose", scores, perm=[1, 0])
    found = _chosen(call, boxes, by_class, own, overlap, least, "GreaterOrEqual")
    good = call.add("GatherElements", by_class, found.boxes, axis=1)
    good = _flat(call, call.add("Where", found.there, good, _number(call, -np.inf)))
    # There may be fewer than are asked for in all.
    good = call.add("Concat", good, call.graph.constant(np.full(most, -np.inf), "float32"), axis=0)
    numbers = call.add("Concat", _flat(call, found.boxes), call.ints(*[0] * most), axis=0)
    best, places = call.graph.add_several("TopK", [good, call.ints(most)], 2, axis=0)
    there = call.add("Greater", best, _number(call, -np.inf))
    kinds = call.add("Div", places, _whole_number(call, own))
    boxes = call.add("Gather", boxes, call.add("Gather", numbers, places))
    boxes = _masked(call, boxes, call.add("Unsqueeze", there, call.ints(1)))
    kinds, best = (_masked(call, x, there) for x in (_floats(call, kinds), best))
    return _results(call, boxes, kinds, best, _counted(call, there))


def _decoded(call: Call, options: Mapping[str, Scalar]) -> str:
    """Boxes [number, 4] of corners, of what is predicted beside anchors."""
    parts = call.add("Squeeze", call.input(0), call.ints(0))

    def column(x: str, place: int) -> str:
        return call.add("Slice", x, call.ints(place), call.ints(place + 1), call.ints(1))

    def scaled(place: int, name: str) -> str:
        return call.add(
            "Div", column(parts, place), _number(call, float(options.get(name, 0)) or 1)
        )

    anchors, ends = call.input(2), list[tuple[str, str]]()
    for place, (at, size) in enumerate((("y_scale", "h_scale"), ("x_scale", "w_scale"))):
        length = column(anchors, 2 + place)
        middle = call.add("Mul", scaled(place, at), length)
        middle = call.add("Add", middle, column(anchors, place))
        half = call.add("Mul", call.add("Exp", scaled(2 + place, size)), length)
        half = call.add("Mul", half, _number(call, 0.5))
        ends.append((call.add("Sub", middle, half), call.add("Add", middle, half)))
    (top, bottom), (left, right) = ends
    return call.add("Concat", top, left, bottom, right, axis=1)


def _option(call: Call, options: Mapping[str, Scalar], name: str, default: int = 0) -> int:
    value: Any = int(options.get(name, default))
    if not 1 <= value <= 1 << 20:
        raise ModelError(f"{call.where}: its {name} is {value}")
    return int(value)


OPERATORS: dict[str, Operator] = {
    "NON_MAX_SUPPRESSION_V4": Operator(_non_max_suppression),
    "NON_MAX_SUPPRESSION_V5": Operator(_non_max_suppression),
    POSTPROCESS: Operator(_detections),
}
