"""Which products read a constant float32 matrix in half the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...emit.bfloat16 import multiplies_bfloat16
from ...ir.space import Knob
from ...ir.workload import Tensor, Workload, node
from ...target.target import Target
from ..abilities import WEIGHED, Abilities, around
from ..few_bits.form import FewBits, Knobs
from ..form import Form
from ..gemm.product import Product, product
from ..loops import Loops


@dataclass(frozen=True)
class Bfloat16Rows(Form[Knobs]):
    """A product of few rows whose constant matrix is rounded to bfloat16 at build time, and widened
    in registers: that takes no instruction of its own, and memory bounds it.

    ``inner`` is the same with the matrix as codes, which computes it; knobs are its.
    """

    product: Product
    inner: FewBits

    name = "rows_bfloat16"
    version = 1
    knobs_type = Knobs
    anchors = around(matmul=Abilities(writes_apart=True), conv2d=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Bfloat16Rows | None:
        """Where ``accuracy`` allows it."""
        p = product(workload) if target.accuracy == "bf16" else None
        if p is None or not p.packed:
            return None
        inner = FewBits.match(_coded(workload, p), target)
        return None if inner is None else cls(workload, target, p, inner)

    def choices(self) -> tuple[Knob, ...]:
        """As of codes."""
        return self.inner.choices()

    def fits(self, knobs: Knobs) -> bool:
        """As of codes."""
        return self.inner.fits(knobs)

    def default(self) -> Knobs:
        """As of codes."""
        return self.inner.default()

    def loops(self, knobs: Knobs) -> Loops:
        """As of codes."""
        return self.inner.loops(knobs)

    def estimate(self) -> float:
        """The best where nothing multiplies bfloat16 itself."""
        return float(multiplies_bfloat16(self.target))


def _coded(workload: Workload, p: Product) -> Workload:
    """The same with the matrix as floats of 16 bits, [n, k]."""
    first, *rest = workload.nodes
    inputs: list[Any] = list(workload.inputs)
    inputs[p.b] = Tensor((p.n, p.k), "bfloat16")
    coded = node("matmul_few_bits", first.args, first.out, bits=16, block=p.k)
    return Workload(tuple(inputs), workload.constants, (coded, *rest))
