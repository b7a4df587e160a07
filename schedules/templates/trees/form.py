"""Where ensembles of trees fit, and the knobs of their kernels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...ir.size import Size
from ...ir.space import Knob
from ...ir.workload import Workload
from ...ops.forest import Layout
from ...ops.trees import layout_of
from ...target.target import Target
from ..abilities import Abilities, around
from ..by_grain import largest
from ..form import Form
from ..loops import Loops

_GRAINS = (1, 8, 32, 128, 512)
_CHAINS = (1, 2, 4, 8, 16)
# Comparing all nodes is code for all nodes of a tree, and reads the rows from the scratch.
_DEEPEST, _MOST_SCRATCH = 7, 1 << 18
# Cycles of a step of a walk, of a comparison of all nodes with a vector, and of reading an element
# into the scratch.
_STEP, _COMPARISON, _MOVE = 2.5, 1.3, 1.5
# Rows below which the trees of a row are the chains.
_FEW = 8


class Knobs(NamedTuple):
    """See ``Trees.choices``."""

    method: str
    chains: int
    grain: int


class Trees(Form[Knobs]):
    """The combined weights of the leaves at which a row ends, of each row."""

    name = "trees"
    version = 1
    knobs_type = Knobs
    follows = True
    anchors = around(tree_ensemble=Abilities(epilogue=False, any_type=True, known_weights=True))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Trees | None:
        """Alone."""
        alone = [node.op for node in workload.nodes] == ["tree_ensemble"]
        known = alone and workload.constants[workload.nodes[0].args[1]]
        return cls(workload, target) if known else None

    @property
    def layout(self) -> Layout:
        """Of the table."""
        return layout_of(self.node)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.workload.output.shape[0]

    @property
    def features(self) -> int:
        """Elements of a row."""
        return self.workload.inputs[0].shape[1]

    @property
    def depth(self) -> int:
        """Of the deepest tree."""
        return int(self.node.attr("depth"))

    @property
    def width(self) -> int:
        """Elements in a vector."""
        return self.target.lanes(self.workload.output.element)

    @property
    def columns(self) -> int:
        """Elements of a row that are compared: all, and where it is wanted all of them negated."""
        return self.features * (2 if self.node.attr("negated") else 1)

    @property
    def compares(self) -> bool:
        """Whether all nodes may be compared with vectors of rows."""
        element = self.workload.output.element
        held = (self.columns + self.layout.targets) * self.width * element.bytes
        simple = not self.layout.leaves and not self.node.attr("equal")
        return simple and self.depth <= _DEEPEST and 4 * held <= _MOST_SCRATCH

    def choices(self) -> tuple[Knob, ...]:
        """How leaves are found, how much goes on at once, and how many rows a chunk has."""
        methods = ("trees", "rows", *(("compare",) if self.compares else ()))
        return (
            Knob("method", methods, "walk several trees or rows at once, or compare all nodes"),
            Knob("chains", _CHAINS, "walks that go on at once; of comparisons vectors of rows"),
            Knob("grain", _GRAINS, "rows in a chunk; of comparisons those of the vectors"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """Comparisons have some vectors, whose rows are the grain."""
        if knobs.method == "compare":
            return knobs.chains <= 4 and knobs.grain == _GRAINS[0]
        return True

    def default(self) -> Knobs:
        """Trees as chains of few rows, else what is expected to take fewer cycles."""
        if self.rows < _FEW:
            return Knobs("trees", 8, 1)
        walk = self.layout.trees * self.depth * _STEP
        compare = (
            self.layout.trees * 2**self.depth * _COMPARISON / self.width + self.columns * _MOVE
        )
        if self.compares and compare < walk and self.rows >= self.width:
            return Knobs("compare", 4 if self.rows >= 8 * self.width else 1, _GRAINS[0])
        return Knobs("rows", 8, largest(_GRAINS, max(_FEW, self.rows // (4 * self.target.threads))))

    def resized(self, knobs: Knobs) -> Knobs:
        """Trees as chains where there are few rows."""
        if isinstance(self.rows, Size) and self.rows < _FEW:
            return Knobs("trees", 8, 1)
        return knobs

    @property
    def is_both(self) -> bool:
        """Whether the constant is in both orders: kernels for few rows and for many share it."""
        return self.compares and isinstance(self.rows, Size)

    def loops(self, knobs: Knobs) -> Loops:
        """A step of a walk, or a node with a vector, is a step here."""
        layout, element = self.layout, self.workload.output.element
        compares = np.asarray(knobs.method) == "compare"
        by_rows = np.asarray(knobs.method) == "rows"
        held = np.where(compares, self.width * np.asarray(knobs.chains), np.asarray(knobs.grain))
        nodes = 2.0 ** min(self.depth, 30)
        walked = float(layout.trees * self.depth * self.rows)
        compared = layout.trees * nodes * np.ceil(self.rows / self.width)
        work: Any = np.where(compares, compared, walked)
        return Loops(
            chunks=np.ceil(self.rows / held),
            sums=knobs.chains,
            loads=np.where(compares, 2, 4),
            depth=np.where(compares, nodes, self.depth),
            steps=work / knobs.chains,
            work=work,
            inner=np.where(by_rows, layout.nodes / layout.trees, layout.nodes)
            * 4.0
            * layout.stride,
            kept=held * self.columns * element.bytes,
            chunk=held * (self.columns + layout.targets) * element.bytes,
            other=np.where(compares, self.rows * self.columns, 0),
        )
