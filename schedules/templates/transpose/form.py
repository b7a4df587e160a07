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
from ..form import Form
from ..loops import Loops, streaming

_LINE = 64  # bytes
_GRAINS = (4096, 16384, 32768, 65536)
_BLOCKS = (4, 8, 16, 32, 64)
_LANES = (4, 8, 16, 32, 64, 256)
_COLUMNS = (4, 8, 16, 32, 64, 256)
_LEAST = 16384  # elements that are worth a chunk, where there are two of them
_FEW = 16  # rows whose lines are held at once, though some share a set
_SQUARE = 64  # elements of a tile along each axis where L1 holds all of its lines


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
        """Tiles whose rows have a place in L1, and six chunks are a thread's.

        Where rows lie pages apart, L1 has only few lines for all of them. If those are the
        output's, a tile has few of them, is long, and writes whole lines: a store that finds its
        line gone waits for it, and so do all that follow. If they are the source's, few are read
        together, and all that was read of them is turned.
        """
        line = _LINE // self.element_bytes
        source = self.workload.tensor(self.node.args[0]).shape
        read = self._room(math.prod(source[self.node.attr("axes")[-1] + 1 :]))
        written = self._room(math.prod(self.workload.output.shape[self.moved + 1 :]))
        if written <= min(read, 3 * line):
            block, lanes, columns = line, self.target.l1_ways, 16 * line
        elif read <= 3 * line:
            block = min(line, _FEW)
            lanes, columns = 4 * block, 2 * block
        else:
            block, lanes, columns = line // 2, min(_SQUARE, written // 2), _SQUARE
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

    def _room(self, stride: int) -> int:
        """Of so many rows, ``stride`` elements apart, L1 has a line each."""
        lines, rest = divmod(stride * self.element_bytes, _LINE)
        page = self.target.l1 // self.target.l1_ways // _LINE
        together = 1 if rest else math.gcd(lines, page)  # rows that share a set, of those in a page
        return page * self.target.l1_ways // together

    def loops(self, knobs: Knobs) -> Loops:
        """One pass."""
        return streaming(self.workload, self.target, knobs.grain)


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
