"""Where group normalisation fits, its knobs, and the analytic model behind its default."""

from __future__ import annotations

import math

from ...emit.tile import LINE
from ...ir.dtype import FLOAT32
from ...ir.space import Knob, Space
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..loops import Knobs, Loops
from ..template import anchor_is_first

NAME = "group_norm"
VERSION = 1
_PARTS = (1, 2, 4, 8, 16, 32, 64)
_SMALL = 16384  # elements that are not worth a second phase


def space(workload: Workload, target: Target) -> Space | None:
    """Fits float32 group_norm with elementwise nodes after."""
    node = workload.nodes[0]
    if not anchor_is_first(workload, "group_norm"):
        return None
    if node.out.element != FLOAT32 or workload.output.element != FLOAT32:
        return None
    groups, places = node.attr("groups"), math.prod(node.out.shape[1:-1])
    knobs = (
        Knob("groups", _divisors(groups), "neighbouring groups in a chunk"),
        Knob("parts", tuple(p for p in _PARTS if p <= places), "of an image's places"),
    )
    return Space(NAME, VERSION, knobs, _default(workload, target))


def loops(workload: Workload, target: Target, knobs: Knobs) -> Loops:
    """Of every schedule in a table."""
    batch, *spatial, channels = workload.nodes[0].out.shape
    places = math.prod(spatial)
    parts = ceildiv(places, ceildiv(places, knobs["parts"]))
    chunks = batch * parts * (workload.nodes[0].attr("groups") // knobs["groups"])
    size = workload.output.size
    span = channels // workload.nodes[0].attr("groups") * knobs["groups"]  # channels of a chunk
    work = size / target.lanes(FLOAT32)
    return Loops(chunks=chunks, depth=span, work=work, chunk=2 * FLOAT32.nbytes(size) / chunks)


def _divisors(number: int) -> tuple[int, ...]:
    return tuple(d for d in range(1, number + 1) if number % d == 0)


def _default(workload: Workload, target: Target) -> dict[str, int | str]:
    """Whole cache lines, as many groups as leave each thread some chunks and fit into L2; else
    rows of all channels in parts."""
    node = workload.nodes[0]
    batch, *spatial, channels = node.out.shape
    groups, places = node.attr("groups"), math.prod(spatial)
    wanted = 4 * target.threads if target.threads > 1 else 1
    fitting = [
        span
        for span in _divisors(groups)
        if span * (channels // groups) >= min(channels, LINE)
        and batch * (groups // span) >= wanted
        and FLOAT32.nbytes(places * span * (channels // groups)) <= target.l2
    ]
    if fitting or node.out.size <= _SMALL:
        return {"groups": max(fitting, default=groups), "parts": 1}
    enough = [p for p in _PARTS if p <= places and p * batch >= wanted]
    return {
        "groups": groups,
        "parts": enough[0] if enough else max(p for p in _PARTS if p <= places),
    }
