"""A reduction with fewer dimensions, where that changes nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ... import ops
from ...ir.core import needed
from ...ir.size import Size
from ...ir.workload import Tensor, Workload

Shape = tuple[int, ...]


def collapsed(workload: Workload, where: int) -> Workload:
    """The workload around the reduction ``nodes[where]`` with neighbouring dimensions merged, and
    without those of size 1; no reduced dimension is kept, unless an operand is read on both sides.

    Two dimensions merge when both are reduced or both are kept, and each operand of what is before
    or after spans both or neither. As it is where data moves, a size is open, or one element is.
    """
    node, first = workload.nodes[where], len(workload.inputs)
    source = workload.tensor(node.args[0]).shape
    others = [other for i, other in enumerate(workload.nodes) if i != where]
    moves = not all(ops.of(other).is_elementwise for other in others)
    if moves or any(isinstance(size, Size) for size in source) or math.prod(source) == 1:
        return workload
    reads = {first + i: other.args for i, other in enumerate(workload.nodes)}
    above = _wide(workload, needed(node.args, reads))
    reads[first + where] = ()
    below = _wide(workload, needed([first + len(workload.nodes) - 1], reads))
    axes = node.attr("axes")
    kept = [d for d in range(len(source)) if d not in axes]
    places = {d: d if node.attr("keepdims") else i for i, d in enumerate(kept)}
    before = {arg: _aligned(shape, range(len(source)), len(source)) for arg, shape in above.items()}
    rank = len(node.out.shape)
    after = {arg: _aligned(shape, places, rank) for arg, shape in below.items()}

    def spread(d: int) -> object:
        spans = [shape[d] > 1 for shape in before.values()]
        return d in axes, spans, [shape[d] > 1 for shape in after.values() if d not in axes]

    real = [d for d in range(len(source)) if source[d] > 1]
    groups = [list(group) for _, group in itertools.groupby(real, spread)]
    left = [group for group in groups if group[0] not in axes]
    if len(left) == len(groups):  # all that is reduced has size 1: a dimension without any others
        groups.append([])
    reduced = tuple(i for i, group in enumerate(groups) if group not in left)
    shared = above.keys() & below.keys()  # both see it alike where reduced dimensions are kept
    if shared and not node.attr("keepdims"):
        return workload
    given = groups if shared else left

    def merged(arg: int, tensor: Tensor) -> Tensor:
        if arg in before:
            return replace(tensor, shape=_product(before[arg], groups))
        return replace(tensor, shape=_product(after[arg], given)) if arg in after else tensor

    nodes = [
        replace(other, out=merged(first + i, other.out)) for i, other in enumerate(workload.nodes)
    ]
    attrs = {**dict(node.attrs), "axes": reduced, "keepdims": bool(shared)}
    sizes = {d: 1 if d in axes else source[d] for d in range(len(source))}
    out = replace(node.out, shape=_product(sizes, given))
    nodes[where] = replace(node, out=out, attrs=tuple(attrs.items()))
    inputs = tuple(merged(i, tensor) for i, tensor in enumerate(workload.inputs))
    return Workload(inputs, workload.constants, tuple(nodes))


def _wide(workload: Workload, args: Iterable[int]) -> dict[int, Shape]:
    """The shapes of those with more than one element; others broadcast whatever their rank."""
    return {arg: t.shape for arg in args if (t := workload.tensor(arg)).size > 1}


def _aligned(shape: Shape, places: Iterable[int] | Mapping[int, int], rank: int) -> dict[int, int]:
    """By dimension of the source, the size there of an operand of values of ``rank``, in which the
    dimension has a place of its own."""
    full = (1,) * (rank - len(shape)) + shape
    at = places if isinstance(places, Mapping) else {d: d for d in places}
    return {d: full[place] for d, place in at.items()}


def _product(sizes: Mapping[int, int], groups: Iterable[list[int]]) -> Shape:
    return tuple(math.prod(sizes.get(d, 1) for d in group) for group in groups)
