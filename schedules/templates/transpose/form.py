"""Where transpositions fit, and their knobs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ... import ops
from ...ir.size import Size, at_least
from ...ir.space import Knob
from ...ir.workload import Node, Workload
from ...target.target import Target
from ..by_grain import largest
from ..collapse import collapse
from ..form import Form
from ..loops import Loops, streaming

_LINE = 64  # bytes
_GRAINS = (4096, 16384, 32768, 65536)
_BLOCKS = (4, 8, 16, 32, 64)
_LANES = (4, 8, 16, 32, 64, 256)
_COLUMNS = (4, 8, 16, 32, 64, 256)
_TILE = 64  # elements on each side
_LEAST = 16384  # elements that are worth a chunk, where there are two of them


class Knobs(NamedTuple):
    """See ``Transpose.choices``."""

    block: int
    lanes: int
    columns: int
    grain: int


@dataclass(frozen=True)
class Transpose(Form[Knobs]):
    """One transposition and elementwise nodes; ``moved`` is where the last axis goes."""

    moved: int

    name = "transpose"
    version = 2
    knobs_type = Knobs
    follows = True

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Transpose | None:
        """Of any type, where the last axis moves."""
        moved = _moved_axis(workload)
        return None if moved is None else cls(workload, target, moved)

    def choices(self) -> tuple[Knob, ...]:
        """The block, the tile, and what a chunk is."""
        return (
            Knob("block", _BLOCKS, "elements written at once, along the output's last axis"),
            Knob("lanes", _LANES, "elements of a tile along the source's last axis"),
            Knob("columns", _COLUMNS, "elements of a tile along the output's last axis"),
            Knob("grain", _GRAINS, "output elements in a chunk"),
        )

    def default(self) -> Knobs:
        """Whole cache lines are written at once, and six chunks are a thread's.

        A store that finds its line gone waits for it, and so do all that follow. But where the
        output's rows do not begin with lines, one as long as a line would touch two.

        Where the source's rows lie pages apart, L1 has only few lines for all of them, so that no
        more are read than have a place; these are then read as a whole. Where the output's rows do,
        as few are written side by side, and far along them. Where both do, few are written of
        several planes, or, where there is one, two lines of each: so the source is read less often.
        """
        line = _LINE // self.element_bytes
        merged = collapse(self.workload)
        node = next(node for node in merged.nodes if node.op == "transpose")
        shape, source = merged.output.shape, merged.tensor(node.args[0]).shape
        axes = node.attr("axes")
        moved = axes.index(len(shape) - 1)
        reads = self._is_crowded(line, math.prod(source[axes[-1] + 1 :]))
        writes = self._is_crowded(line, math.prod(shape[moved + 1 :]))
        few = min(line, self.target.l1_ways)
        block = line if _is_multiple(shape[-1], line) else line // 2
        lanes = columns = _TILE
        if reads and writes:
            lanes, columns = (few, line) if len(shape) > 2 else (line, line)
            block *= 1 if len(shape) > 2 else 2
        elif reads:
            block, lanes, columns = min(block, few), line, line
        elif writes:
            lanes, columns = few, _COLUMNS[-1]
        tile = largest(_LANES, lanes), largest(_COLUMNS, columns)
        size = self.workload.output.size
        is_small = not isinstance(size, Size) and size < 2 * _LEAST
        wanted = 2 * _LEAST if is_small else at_least(size // (6 * self.target.threads), _LEAST)
        return Knobs(largest(_BLOCKS, block), *tile, largest(_GRAINS, wanted))

    @property
    def node(self) -> Node:
        """The transposition."""
        return next(node for node in self.workload.nodes if node.op == "transpose")

    @property
    def element_bytes(self) -> int:
        """Of what is moved."""
        return self.node.out.element.bytes

    def _is_crowded(self, rows: int, stride: int) -> bool:
        """Whether L1 loses lines of so many rows, ``stride`` elements apart."""
        lines, rest = divmod(stride * self.element_bytes, _LINE)
        page = self.target.l1 // self.target.l1_ways // _LINE
        return rest == 0 and rows * math.gcd(lines, page) > page * self.target.l1_ways

    def loops(self, knobs: Knobs) -> Loops:
        """One pass."""
        return streaming(self.workload, self.target, knobs.grain)


def _is_multiple(size: int, of: int) -> bool:
    """Whether a size is known to be one."""
    return not isinstance(size, Size) and size % of == 0


def _moved_axis(workload: Workload) -> int | None:
    """The output's axis that is the transposition's last one, if it is not the last there too."""
    moves = [node for node in workload.nodes if not ops.of(node).is_elementwise]
    if len(moves) != 1 or moves[0].op != "transpose":
        return None
    node = moves[0]
    shape = workload.output.shape
    if node.out.shape != shape or shape[-1] == 1 or not _is_full(workload, node):
        return None
    moved = node.attr("axes").index(len(shape) - 1)
    return moved if moved != len(shape) - 1 and shape[moved] > 1 else None


def _is_full(workload: Workload, node: Node) -> bool:
    """Whether what is transposed is a whole input, or elementwise nodes of that shape."""
    return workload.tensor(node.args[0]).size == node.out.size
