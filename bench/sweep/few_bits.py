"""Products with matrices of 4 and 8 bits, as exporters of language models write them.

Their ``accuracy_level`` says whether rows may be rounded to 8 bits: outputs then differ by as much.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bench.engines import ROUNDED
from bench.sweep.point import Point, by, floats


@dataclass(frozen=True)
class FewBits(Point):
    """``MatMulNBits``: rows of a matrix with a scale for each block of ``block`` along K."""

    m: int = 1
    n: int = 1
    k: int = 1
    bits: int = 4
    block: int = 32
    level: int = 0

    def model(self) -> onnx.ModelProto:
        """With seeded numbers."""
        rng = np.random.default_rng(self.bits)
        blocks = -(-self.k // self.block)
        codes = rng.integers(0, 256, (self.n, blocks, self.block * self.bits // 8), np.uint8)
        scales = (rng.random((self.n, blocks)) * self.k**-0.5 * 2.0 ** (1 - self.bits)).astype(
            np.float32
        )
        attrs = {"K": self.k, "N": self.n, "bits": self.bits, "block_size": self.block}
        attrs |= {"accuracy_level": self.level} if self.level else {}
        node = helper.make_node(
            "MatMulNBits", ["a", "codes", "scales"], ["y"], domain="com.microsoft", **attrs
        )
        ends = [helper.make_tensor_value_info(n, 1, (self.m, d)) for n, d in self._ends]
        graph = helper.make_graph([node], "point", ends[:1], ends[1:])
        sets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=sets, ir_version=9)
        for name, array in (("codes", codes), ("scales", scales)):
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        return model

    @property
    def _ends(self) -> tuple[tuple[str, int], ...]:
        return ("a", self.k), ("y", self.n)


def point(m: int, n: int, k: int, bits: int, block: int, level: int = 0) -> FewBits:
    """Rows [m, k] by a matrix [n, k]."""
    said = f", accuracy_level {level}" if level else ""
    return FewBits(
        "product of few bits",
        f"{by(m, n, k)} of {bits} bits, blocks of {block}{said}",
        "",
        {"a": floats(m, k)},
        rounded=level == ROUNDED,
        m=m,
        n=n,
        k=k,
        bits=bits,
        block=block,
        level=level,
    )


def grid() -> Iterator[Point]:
    """The points that are always there."""
    for m in (1, 4, 128):
        for n, k in ((4096, 4096), (768, 3072), (11008, 2048)):
            for bits, block in ((4, 32), (8, 32)):
                yield point(m, n, k, bits, block)
    yield point(1, 4096, 4096, 4, 128)
    yield point(1, 32000, 2048, 4, 32)
    for m, n, k, bits in (
        (1, 4096, 4096, 4), (4, 4096, 4096, 4), (128, 4096, 4096, 4), (1, 4096, 4096, 8),
        (128, 4096, 4096, 8), (1, 768, 3072, 4), (1, 32000, 2048, 4),
    ):  # fmt: skip
        yield point(m, n, k, bits, 32, ROUNDED)


def drawn(rng: random.Random) -> Point:
    """One that nobody chose."""
    m, n, k = (round(2 ** rng.uniform(0, top)) for top in (8, 12, 12))
    level = ROUNDED if n % 2 else 0
    return point(m, n, max(k, 16), rng.choice((4, 8)), rng.choice((16, 32, 64, 128)), level)
