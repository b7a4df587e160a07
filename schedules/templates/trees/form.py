"""Where ensembles of trees fit, and the knobs of their kernels."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ...ir.size import Size, ceildiv
from ...ir.space import Knob
from ...ir.workload import Workload
from ...ops.forest import Layout
from ...ops.forest_blocks import LEVELS
from ...ops.trees import layout_of
from ...target.target import Target
from ..abilities import Abilities, around
from ..by_grain import largest
from ..form import Form
from ..loops import Loops
from .packed_blocks import PackedBlocks

_GRAINS = (1, 8, 32, 128, 512)
_CHAINS = (1, 2, 4, 8, 16)
_LINE = 64  # bytes of a cache's
_WITHOUT = 0  # levels of blocks where there are none
# Comparing all nodes is code for all nodes of a tree, and reads the rows from the scratch.
_DEEPEST, _MOST_SCRATCH = 7, 1 << 18
# Blocks may take so many times the table's bytes, or so many.
_TIMES, _FREE, _MOST_BYTES = 4, 1 << 20, (1 << 31) - 1
# Cycles of a pass through a block, and of fetching a line of it from L2 and from L3 beside other
# passes; measured on Zen 5.
_PASS, _FROM_L2, _FROM_L3 = 5.0, 0.5, 1.0
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
    levels: int


class Trees(Form[Knobs]):
    """The combined weights of the leaves at which a row ends, of each row."""

    name = "trees"
    version = 2
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

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Of the blocks that there may be, of comparisons of bytes."""
        if "avx512vbmi" not in self.target.features or not self.node.attr("columns", 0):
            return ()
        most = max(_FREE, _TIMES * 4 * self.layout.size)
        sizes = {n: self.packed_blocks(n).size for n in LEVELS}
        return tuple(n for n, size in sizes.items() if size <= min(most, _MOST_BYTES))

    def packed_blocks(self, levels: int) -> PackedBlocks:
        """The constant's order for blocks of so many levels."""
        count = self.node.attr("blocks")[LEVELS.index(levels)]
        return PackedBlocks(self.layout, self.node.attr("columns"), count, levels)

    def choices(self) -> tuple[Knob, ...]:
        """How leaves are found, how much goes on at once, and how many rows a chunk has."""
        methods = ["trees", "rows"]
        methods += ["compare"] * self.compares + ["blocks"] * bool(self.levels)
        return (
            Knob(
                "method",
                tuple(methods),
                "walk several trees or rows at once, or compare all nodes of trees or of blocks",
            ),
            Knob("chains", _CHAINS, "walks that go on at once; of comparisons vectors of rows"),
            Knob("grain", _GRAINS, "rows in a chunk; of comparisons those of the vectors"),
            Knob("levels", (_WITHOUT, *self.levels), "of a block"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """Comparisons have some vectors, whose rows are the grain; blocks have levels."""
        if (knobs.method == "blocks") != (knobs.levels != _WITHOUT):
            return False
        if knobs.method == "compare":
            return knobs.chains <= 4 and knobs.grain == _GRAINS[0]
        return True

    def default(self) -> Knobs:
        """Trees as chains of few rows, else what is expected to take fewer cycles."""
        if self.levels:
            return self._default_blocks()
        if self.rows < _FEW:
            return Knobs("trees", 8, 1, _WITHOUT)
        walk = self.layout.trees * self.depth * _STEP
        compare = (
            self.layout.trees * 2**self.depth * _COMPARISON / self.width + self.columns * _MOVE
        )
        if self.compares and compare < walk and self.rows >= self.width:
            vectors = 4 if self.rows >= 8 * self.width else 1
            return Knobs("compare", vectors, _GRAINS[0], _WITHOUT)
        grain = largest(_GRAINS, max(_FEW, self.rows // (4 * self.target.threads)))
        return Knobs("rows", 8, grain, _WITHOUT)

    def _default_blocks(self) -> Knobs:
        """Levels that are expected to take the fewest cycles of a row; see ``_way``."""
        levels = min(self.levels, key=self._way)
        return Knobs("blocks", 8, self._grain_of_blocks, levels)

    @property
    def _grain_of_blocks(self) -> int:
        if self.rows < _FEW:
            return 1
        return largest(_GRAINS[:-1], max(_FEW, self.rows // (2 * self.target.threads)))

    def _way(self, levels: int) -> float:
        """Cycles of a row in a tree whose way is the longest: in each block it passes it reads the
        nodes, and one line of the ends."""
        packed = self.packed_blocks(levels)
        passes = max(1, ceildiv(self.depth, levels))
        lines = ceildiv(2 * packed.ends, _LINE) + 1
        fetched = _FROM_L2 if packed.size <= self.target.l2 else _FROM_L3
        return passes * (_PASS + levels / 2 + lines * fetched)

    def resized(self, knobs: Knobs) -> Knobs:
        """Trees as chains where there are few rows."""
        if not isinstance(self.rows, Size):
            return knobs
        if knobs.method == "blocks":
            return knobs._replace(grain=1 if self.rows < _FEW else max(_FEW, knobs.grain))
        return Knobs("trees", 8, 1, _WITHOUT) if self.rows < _FEW else knobs

    @property
    def is_both(self) -> bool:
        """Whether the constant is in both orders: kernels for few rows and for many share it."""
        return self.compares and isinstance(self.rows, Size)

    def loops(self, knobs: Knobs) -> Loops:
        """A step of a walk, or a node with a vector, is a step here."""
        layout, element = self.layout, self.workload.output.element
        method = np.asarray(knobs.method)
        compares, blocks = method == "compare", method == "blocks"
        by_rows = (method == "rows") | (blocks & (np.asarray(knobs.grain) > 1))
        levels = np.maximum(1, np.asarray(knobs.levels))
        held = np.where(compares, self.width * np.asarray(knobs.chains), np.asarray(knobs.grain))
        nodes = 2.0 ** min(self.depth, 30)
        walked = np.ceil(self.depth / levels) * layout.trees * self.rows
        compared = layout.trees * nodes * np.ceil(self.rows / self.width)
        work: Any = np.where(compares, compared, walked)
        return Loops(
            chunks=np.ceil(self.rows / held),
            sums=knobs.chains,
            loads=np.where(compares, 2, 4),
            depth=np.where(compares, nodes, np.ceil(self.depth / levels)),
            steps=work / knobs.chains,
            work=work,
            inner=np.where(by_rows, layout.nodes / layout.trees, layout.nodes)
            * 4.0
            * layout.stride,
            kept=held * self.columns * element.bytes,
            chunk=held * (self.columns + layout.targets) * element.bytes,
            other=np.where(compares | blocks, self.rows * self.columns, 0),
        )
