"""Workloads that are matrix products: matmuls, and convolutions of one tap."""

from __future__ import annotations

from dataclasses import dataclass

from ...emit.micro_kernel import FLOAT32_MULTIPLY_ADD, MicroKernel
from ...ir.workload import Workload
from ..fused import anchor_is_first, has_weights


@dataclass(frozen=True)
class Product:
    """A workload seen as products of matrices; ``batch`` is empty where B has no batch."""

    a: int  # argument numbers
    b: int
    batch: tuple[int, ...]
    m: int
    n: int
    k: int
    transpose_b: bool
    packed: bool
    micro: MicroKernel = FLOAT32_MULTIPLY_ADD

    @property
    def staged(self) -> bool:
        """Whether panels of B are packed while the kernel runs."""
        return self.transpose_b and not self.packed


def product(workload: Workload) -> Product | None:
    """The workload as a matrix product; None where it is none that this template computes."""
    node = workload.nodes[0]
    if has_weights(workload, "conv2d") and is_pointwise(workload):
        n, h, w, c = workload.tensor(node.args[0]).shape
        return Product(node.args[0], node.args[1], (), n * h * w, node.out.shape[-1], c, True, True)
    return matrices(workload) if anchor_is_first(workload, "matmul") else None


def matrices(workload: Workload, micro: MicroKernel = FLOAT32_MULTIPLY_ADD) -> Product | None:
    """The product that comes first; None for one of vectors."""
    node = workload.nodes[0]
    a, b = (workload.tensor(x) for x in node.args)
    if len(a.shape) < 2 or len(b.shape) < 2:
        return None
    transposed = bool(node.attr("transpose_b", False))
    n = b.shape[-2] if transposed else b.shape[-1]
    k = a.shape[-1]
    rows = node.out.shape[-2]
    batch = node.out.shape[:-2]
    constant = workload.constants[node.args[1]]
    if all(d == 1 for d in b.shape[:-2]) and a.shape[:-1] == node.out.shape[:-1]:
        m = node.out.size // n if n else 0
        return Product(node.args[0], node.args[1], (), m, n, k, transposed, constant, micro)
    return Product(node.args[0], node.args[1], batch, rows, n, k, transposed, False, micro)


def is_pointwise(workload: Workload) -> bool:
    """Whether the convolution that comes first is a product of pixels and weights."""
    node = workload.nodes[0]
    return (
        workload.tensor(node.args[1]).shape[1:3] == (1, 1)
        and node.attr("strides") == (1, 1)
        and node.attr("groups") == 1
        and not any(node.attr("pads"))
    )
