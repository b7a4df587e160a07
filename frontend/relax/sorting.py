"""Relax operators that put elements in order."""

from __future__ import annotations

from typing import Any

from ..composites import sorting
from .translation import Converter, Translation


def _sort(t: Translation, call: Any) -> int:
    return _all(t, call)[0]


def _argsort(t: Translation, call: Any) -> int:
    return t.cast(_all(t, call)[1], str(call.attrs.dtype))


def _all(t: Translation, call: Any) -> tuple[int, int]:
    x = t.value(call.args[0])
    axis = int(call.attrs.axis) % len(t.shape(x))
    return sorting.first(t, x, axis, t.shape(x)[axis], largest=bool(call.attrs.descending))


def _topk(t: Translation, call: Any) -> int | tuple[int, ...]:
    x, attrs = t.value(call.args[0]), call.attrs
    axis, count = int(attrs.axis) % len(t.shape(x)), int(attrs.k)
    length = t.shape(x)[axis]
    count = count if count >= 1 else length  # as Relax has it
    values, places = sorting.first(t, x, axis, count, largest=bool(attrs.largest))
    both = (values, t.cast(places, str(attrs.dtype)))
    wanted = str(attrs.ret_type)
    return both if wanted == "both" else both[wanted == "indices"]


TABLE: dict[str, Converter] = {
    "relax.argsort": _argsort,
    "relax.sort": _sort,
    "relax.topk": _topk,
}
