"""Which workloads are matrix products of whole numbers of 8 or 16 bits."""

from __future__ import annotations

from ...emit.micro_kernel import whole_multiply_add
from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities, around
from ..fused import leads
from ..gemm.form import Gemm, matrices


class IntegerGemm(Gemm):
    """A product of narrow whole numbers with sums in int32, and an elementwise epilogue.

    The knobs and loop nests are those of ``gemm``.
    """

    name = "gemm_integer"
    version = 1
    anchors = around(matmul_integer=Abilities(converts=True, any_type=True))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> IntegerGemm | None:
        """Products of one size at least, whose B lies in rows or is constant."""
        if not leads(workload, "matmul_integer"):
            return None
        a, b = (workload.tensor(x).element for x in workload.nodes[0].args)
        p = matrices(workload, whole_multiply_add(a, b))
        if p is None or 0 in (p.m, p.n, p.k) or p.staged:
            return None
        return cls(workload, target, p)
