"""Elementwise operators and data movement: every output element from few input elements.

A concatenation becomes one loop nest for each of its pieces. Memory-bound, so what matters is that
rows are read and written in vectors and that a chunk is large enough to be worth handing out.

Knobs: ``grain``, elements of output in a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .emit import Expr, PhaseBuilder, ceildiv, divide, modulo
from .expr import Evaluator, Point
from .kernel import Kernel, Phase
from .ops import FUSIBLE
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
from .workload import Node, Tensor, Workload

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


@dataclass(frozen=True)
class _Segment:
    """Part of the output: ``workload`` computes it, at ``offset`` along ``axis``."""

    workload: Workload
    axis: int
    offset: int


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """One phase for each segment."""
    grain = int(schedule["grain"])
    phases = tuple(_phase(workload, s, target, grain) for s in _segments(workload))
    return Kernel(workload, schedule, phases, (None,) * len(workload.inputs))


def _segments(workload: Workload) -> list[_Segment]:
    """Cut at a concatenation from which only same-shaped nodes lead to the output."""
    n = len(workload.inputs)
    for i, node in enumerate(workload.nodes):
        later = workload.nodes[i:]
        if node.op == "concat" and all(_keeps_cut(workload, node, x) for x in later):
            return _cut(workload, n + i, node)
    return [_Segment(workload, 0, 0)]


def _keeps_cut(workload: Workload, concat: Node, node: Node) -> bool:
    """Whether the node can be restricted to a slice of the concatenation's axis."""
    if node.op == "const" or node is concat:
        return True
    axis = concat.attr("axis") - len(concat.out.shape)
    aligned = (workload.tensor(a).shape for a in node.args)
    sliceable = all(len(s) < -axis or s[axis] == 1 or s == concat.out.shape for s in aligned)
    return (
        node.out.shape == concat.out.shape
        and node.op in FUSIBLE
        and sliceable
        and node.op not in ("transpose", "reshape", "slice", "pad", "take", "concat", "window_mean")
    )


def _cut(workload: Workload, concat_arg: int, concat: Node) -> list[_Segment]:
    """A segment per piece: every input as large as the output is seen through a slice."""
    axis = concat.attr("axis")
    position = concat_arg - len(workload.inputs)
    segments, offset = [], 0
    for piece in concat.args:
        shape = workload.tensor(piece).shape
        nodes: list[Node] = list(workload.nodes[:position])
        n = len(workload.inputs)
        forward = {concat_arg: piece}
        for i, node in enumerate(workload.nodes[position + 1 :], position + 1):
            args = []
            for old in node.args:
                arg = forward.get(old, old)
                tensor = workload.tensor(arg) if arg < n + position else None
                if tensor is not None and tensor.shape == concat.out.shape:
                    nodes.append(_slice(arg, Tensor(shape, tensor.dtype), axis, offset))
                    arg = n + len(nodes) - 1
                args.append(arg)
            out = node.out if node.op == "const" else Tensor(shape, node.out.dtype)
            nodes.append(replace(node, args=tuple(args), out=out))
            forward[n + i] = n + len(nodes) - 1
        if not nodes or position == len(workload.nodes) - 1:
            nodes.append(Node("cast", (piece,), Tensor(shape, concat.out.dtype)))
        segments.append(_Segment(replace(workload, nodes=tuple(nodes)), axis, offset))
        offset += shape[axis]
    return segments


def _slice(arg: int, part: Tensor, axis: int, offset: int) -> Node:
    begin = tuple(offset if d == axis else 0 for d in range(len(part.shape)))
    return Node("slice", (arg,), part, (("begin", begin), ("steps", (1,) * len(begin))))


def _phase(workload: Workload, segment: _Segment, target: Target, grain: int) -> Phase:
    builder = PhaseBuilder(
        [*input_slots(workload, (None,) * len(workload.inputs)), output_slot(workload)]
    )
    part = (
        collapse(segment.workload)
        if segment.workload.output == workload.output
        else (segment.workload)
    )
    evaluator = Evaluator(part, builder, loads(builder, part))
    shape = part.output.shape or (1,)
    inner = shape[-1]
    rows = part.output.size // inner if inner else 0
    block = min(inner, max(grain, target.lanes))
    group = max(1, grain // inner)
    chunks = ceildiv(rows, group) * ceildiv(inner, block)
    place = _placement(workload, segment)
    with builder.chunk_loop() as chunk:
        columns = ceildiv(inner, block)
        first_row = divide(chunk, columns) * group
        column = modulo(chunk, columns)
        with _rows(builder, first_row, group, rows) as each:
            row = builder.bind(each)
            for begin, width in _columns(builder, column, inner, block):
                for j in builder.strips(width, target.lanes):
                    _element(builder, evaluator, place, row, begin + j)
    return builder.finish(chunks)


def _rows(builder: PhaseBuilder, first: Expr, group: int, rows: int):  # type: ignore[no-untyped-def]
    if rows % group:
        from tvm import tirx  # noqa: PLC0415

        return builder.loop(tirx.min(group, rows - first), "row", first)
    return builder.loop(group, "row", first)


def _columns(builder: PhaseBuilder, column: Expr, inner: int, block: int):  # type: ignore[no-untyped-def]
    """(begin, width) of the block: full blocks, and the last one where it is narrower."""
    full, rest = divmod(inner, block)
    if full == 1 and not rest:
        yield 0, block
        return
    if not rest:
        yield column * block, block
        return
    with builder.when(column < full):
        yield column * block, block
    with builder.when(column == full):
        yield full * block, rest


def _placement(workload: Workload, segment: _Segment):  # type: ignore[no-untyped-def]
    """Maps (row, column, columns) of the segment to the output's flat index."""
    whole, part = workload.output.shape, segment.workload.output.shape
    if whole == part:
        return lambda row, col, inner: row * inner + col
    axis, after = segment.axis, 1
    for d in whole[axis + 1 :]:
        after *= d
    gap = whole[axis] * after
    size = part[axis] * after

    def place(row: Expr, col: Expr, inner: int) -> Expr:
        # Rows are indices over all dimensions but the last.
        if axis == len(whole) - 1:
            return row * gap + segment.offset * after + col
        per = size // inner
        return divide(row, per) * gap + segment.offset * after + modulo(row, per) * inner + col

    return place


def _element(builder: PhaseBuilder, evaluator: Evaluator, place, row: Expr, col: Expr) -> None:  # type: ignore[no-untyped-def]
    shape = evaluator.workload.output.shape
    inner = shape[-1] if shape else 1
    evaluator.forget()
    point = Point(shape, flat=row * inner + col) if len(shape) < 2 else _grid(shape, row, col)
    builder.store(builder["out"], place(row, col, inner), finish_element(evaluator, point))


def _grid(shape: tuple[int, ...], row: Expr, col: Expr) -> Point:
    from .emit import split_index  # noqa: PLC0415

    coords = (*split_index(row, shape[:-1]), col)
    return Point(shape, coords, row * shape[-1] + col)


TEMPLATE = Template(NAME, space, kernel)
