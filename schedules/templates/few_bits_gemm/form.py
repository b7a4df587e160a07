"""Which products of many rows have a matrix of few bits."""

from __future__ import annotations

from dataclasses import dataclass

from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import WEIGHED, around
from ..few_bits.form import FewBitsProduct, few_bits_product
from ..gemm.form import Gemm
from ..gemm.product import Product


@dataclass(frozen=True)
class FewBitsGemm(Gemm):
    """A product in float32, of which a chunk makes panels of the matrix in floats before it uses
    them: one conversion serves all rows of the chunk. Knobs and loop nests are those of ``gemm``.
    """

    matrix: FewBitsProduct

    name = "few_bits_gemm"
    version = 2
    anchors = around(matmul_few_bits=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> FewBitsGemm | None:
        """Of any number of rows."""
        p = few_bits_product(workload)
        if p is None or 0 in (p.m, p.n, p.k):
            return None
        as_gemm = Product(p.a, p.codes, (), p.m, p.n, p.k, transpose_b=True, packed=False)
        return cls(workload, target, as_gemm, p)

    def estimate(self) -> float:
        """After ``few_bits`` where that fits."""
        return 1.0
