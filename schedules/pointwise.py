"""Elementwise operators and data movement: every output element from few input elements.

A concatenation becomes one loop nest for each of its pieces. Memory-bound, so what matters is that
rows are read and written in vectors and that a chunk is large enough to be worth handing out.

Knobs: ``grain``, elements of output in a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from tvm import tirx

from .emit import Index, PhaseBuilder, ceildiv, divide, modulo, split_index
from .expr import Evaluator, Point
from .kernel import Kernel, Phase
from .ops import FUSIBLE
from .segments import Segment, columns, segments
from .space import Knob, Schedule, Space
from .target import Target
from .template import (
    Template,
    collapse,
    finish_element,
    input_slots,
    loads,
    output_slot,
)
from .workload import Workload

NAME = "pointwise"
VERSION = 1
GRAINS = (1024, 2048, 4096, 8192, 16384, 32768, 65536)


def space(workload: Workload, target: Target) -> Space | None:
    """Fits workloads without an anchor."""
    if any(node.op not in FUSIBLE for node in workload.nodes):
        return None
    # Half a dozen chunks a thread even out a busy core; less than 4096 elements are not worth it.
    wanted = workload.output.size // (6 * target.threads)
    default = max((g for g in GRAINS if g <= max(wanted, 4096)), default=GRAINS[0])
    grain = Knob("grain", GRAINS, "output elements in a chunk")
    return Space(NAME, VERSION, (grain,), {"grain": default})


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """One phase for each segment."""
    grain = int(schedule["grain"])
    phases = tuple(_phase(workload, s, target, grain) for s in segments(workload))
    return Kernel(workload, schedule, phases, (None,) * len(workload.inputs))


def _phase(workload: Workload, segment: Segment, target: Target, grain: int) -> Phase:
    none = (None,) * len(workload.inputs)
    builder = PhaseBuilder([*input_slots(workload, none), output_slot(workload)])
    part = collapse(segment.workload) if segment.is_all else segment.workload
    evaluator = Evaluator(part, builder, loads(builder, part))
    shape = part.output.shape or (1,)
    inner = shape[-1]
    rows = part.output.size // inner
    block = min(inner, max(grain, target.lanes))
    group = max(1, grain // inner)
    blocks = ceildiv(inner, block)
    place = _placement(segment, inner)
    with builder.chunk_loop() as chunk:
        first = divide(chunk, blocks) * group
        count = group if rows % group == 0 else tirx.min(group, rows - first)
        with builder.loop(count, "row", first) as each:
            row = builder.bind(each)
            with builder.outer():
                for begin, width in _columns(builder, part, modulo(chunk, blocks), block, target):
                    for j in builder.strips(width, target.lanes):
                        column = begin + j
                        evaluator.forget()
                        value = finish_element(evaluator, _point(part.output.shape, row, column))
                        builder.store(builder["out"], place(row, column), value)
    return builder.finish(ceildiv(rows, group) * blocks)


def _columns(
    builder: PhaseBuilder, part: Workload, column: Index, block: int, target: Target
) -> Iterator[tuple[Index, int]]:
    """(begin, width) of the chunk's columns: a block of a long row, or parts of a short one."""
    inner = (part.output.shape or (1,))[-1]
    full, rest = divmod(inner, block)
    if full == 1 and not rest:
        yield from columns(part, target.lanes) if part.output.shape else [(0, 1)]
    elif not rest:
        yield column * block, block
    else:
        with builder.when(column < full):
            yield column * block, block
        with builder.when(column == full):
            yield full * block, rest


def _placement(segment: Segment, inner: int) -> Callable[[Index, Index], Index]:
    """Maps (row, column) of the segment to the output's flat index."""
    if segment.is_all:
        return lambda row, column: row * inner + column
    axis, whole, part = segment.axis, segment.whole, segment.workload.output.shape
    after = math.prod(whole[axis + 1 :])
    gap, first = whole[axis] * after, segment.offset * after
    if axis == len(whole) - 1:
        return lambda row, column: row * gap + first + column
    per = part[axis] * after // inner  # rows of the segment between two gaps
    return lambda row, column: divide(row, per) * gap + first + modulo(row, per) * inner + column


def _point(shape: tuple[int, ...], row: Index, column: Index) -> Point:
    if len(shape) < 2:
        return Point(shape, flat=row * (shape or (1,))[-1] + column)
    coords = (*split_index(row, shape[:-1]), column)
    return Point(shape, coords, row * shape[-1] + column)


TEMPLATE = Template(NAME, space, kernel)
