"""A constant's other order: blocks whose nodes compare bytes; see ``ops.forest_blocks``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...ir.dtype import DTYPES
from ...ir.kernel import ALIGNMENT, Packing
from ...ir.size import ceildiv
from ...ops.forest import Array, Forest, Layout
from ...ops.forest_blocks import THRESHOLDS, blocks_of, columns_of

VECTOR = 64
"""Bytes among which an instruction chooses, and thresholds' places in a bucket squared."""
BUCKET = 16
"""A column has as many buckets of as many thresholds; only the last one's last is none."""


@dataclass(frozen=True)
class Part:
    """An array in the constant: ``begin`` is in elements of its type."""

    begin: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class PackedBlocks:
    """Where things lie in the constant. Of a column: ``pivots``, the last threshold of each bucket;
    ``thresholds``; ``features``, the element of a row; ``signs``, 1 or -1. Of a tree: ``steps``
    from block to block after the first, and ``targets``. Of a block: ``nodes``, first all columns,
    then all codes; and of each of its ends: ``after``, the next block, and ``weights``, or places
    in ``rows`` of weights.
    """

    layout: Layout
    columns: int
    blocks: int
    levels: int

    @property
    def ends(self) -> int:
        """Of a block."""
        return 1 << self.levels

    @property
    def vectors(self) -> int:
        """That hold the bytes of a row: 1, 2 or 4."""
        return 1 << (ceildiv(self.columns, VECTOR) - 1).bit_length()

    @property
    def is_deep(self) -> bool:
        """Whether blocks come after those of the trees."""
        return self.blocks > self.layout.trees

    @cached_property
    def parts(self) -> dict[str, Part]:
        """By name; each begins at a multiple of a cache line."""
        layout, columns, real = self.layout, self.columns, self.layout.dtype
        ends = (self.blocks, self.ends)
        shapes = {
            "nodes": ((self.blocks, 2, self.ends), "uint8"),
            "pivots": ((columns, BUCKET), real),
            "thresholds": ((columns, BUCKET * BUCKET), real),
            "signs": ((columns,), real),
            "features": ((columns,), "int32"),
            "steps": ((layout.trees,), "int32"),
            "targets": ((layout.trees,), "int32"),
            "after": (ends if self.is_deep else (0,), "int32"),
            "weights": (ends, "int32" if layout.leaves else real),
            "rows": ((layout.leaves, layout.targets), real),
        }
        parts, begin = {}, 0
        for name, (shape, dtype) in shapes.items():
            bytes_each = DTYPES[dtype].bytes
            parts[name] = Part(begin // bytes_each, shape, dtype)
            begin += ceildiv(int(np.prod(shape)) * bytes_each, ALIGNMENT) * ALIGNMENT
        return parts

    @cached_property
    def size(self) -> int:
        """Bytes of the constant."""
        last = self.parts["rows"]
        held = (last.begin + int(np.prod(last.shape))) * DTYPES[last.dtype].bytes
        return ceildiv(held, ALIGNMENT) * ALIGNMENT

    def packed(self, table: Array) -> Array:
        """A table of ``ops.forest`` in this order."""
        forest = Forest.of(table, self.layout)
        columns, blocks = columns_of(forest), blocks_of(forest, self.levels)
        pivots = columns.threshold[:, BUCKET - 1 :: BUCKET]
        nodes = np.stack([columns.column[blocks.nodes], columns.code[blocks.nodes]], axis=1)
        weights = forest.weight[blocks.leaves]
        if forest.weights is not None:
            weights = self.parts["rows"].begin + weights.astype(np.int64) * self.layout.targets
        arrays = {
            "nodes": nodes,
            "pivots": pivots,
            "thresholds": columns.threshold,
            "signs": np.where(columns.negated, -1, 1),
            "features": columns.feature,
            "steps": np.maximum(1, -(-forest.depths // self.levels)) - 1,
            "targets": forest.targets,
            "after": blocks.after if self.is_deep else np.zeros(0),
            "weights": weights,
            "rows": np.zeros(0) if forest.weights is None else forest.weights,
        }
        words = np.zeros(self.size // 4, np.int32)
        for name, array in arrays.items():
            part = self.parts[name]
            if array.size > int(np.prod(part.shape)):
                raise ValueError(f"{len(array)} {name}, and room for {part.shape[0]}")
            words.view(part.dtype)[part.begin :][: array.size] = array.reshape(-1)
        return words

    @property
    def packing(self) -> Packing:
        """The constant as kernels read it."""
        return Packing((self.size // 4,), self.packed)


assert BUCKET * BUCKET == THRESHOLDS + 1
