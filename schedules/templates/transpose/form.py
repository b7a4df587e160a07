"""Where transpositions fit, and their knobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ... import ops
from ...ir.dtype import FLOAT32
from ...ir.space import Knob
from ...ir.workload import Node, Workload
from ...target.target import Target
from ..by_grain import largest
from ..form import Form
from ..loops import Loops, streaming

_GRAINS = (1024, 4096, 16384, 65536)


class Knobs(NamedTuple):
    """See ``Transpose.choices``."""

    lanes: int
    columns: int
    grain: int


@dataclass(frozen=True)
class Transpose(Form[Knobs]):
    """One transposition and elementwise nodes; ``moved`` is where the last axis goes."""

    moved: int

    name = "transpose"
    version = 1
    knobs_type = Knobs
    follows = True

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Transpose | None:
        """Of any type, where the last axis moves."""
        moved = _moved_axis(workload)
        return None if moved is None else cls(workload, target, moved)

    def choices(self) -> tuple[Knob, ...]:
        """The tile, and what a chunk is."""
        shape = self.workload.output.shape
        widest = min(shape[self.moved], self.target.lanes(FLOAT32))
        lanes = tuple(n for n in (4, 8, 16) if n <= widest) or (1,)
        columns = tuple(n for n in (1, 2, 4, 8, 16) if n < 2 * shape[-1])
        return (
            Knob("lanes", lanes, "elements read at once, along the source's last axis"),
            Knob("columns", columns, "reads in a tile, along the output's last axis"),
            Knob("grain", _GRAINS, "output elements in a chunk"),
        )

    def default(self) -> Knobs:
        """Whole vectors, four of them, six chunks a thread."""
        shape = self.workload.output.shape
        lanes = largest((1, 4, 8, 16), min(shape[self.moved], self.target.lanes(FLOAT32)))
        columns = largest((1, 2, 4), 2 * shape[-1] - 1)
        wanted = self.workload.output.size // (6 * self.target.threads)
        return Knobs(lanes, columns, largest(_GRAINS, wanted))

    def resized(self, knobs: Knobs) -> Knobs:
        """No wider than what is read."""
        lanes, extent = knobs.lanes, self.workload.output.shape[self.moved]
        while lanes > 1 and extent < lanes:
            lanes //= 2
        return knobs._replace(lanes=lanes)

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
