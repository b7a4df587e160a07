"""Kernels of an artifact's manifest, for tests of what is computed from them."""

from __future__ import annotations

from luthier.deploy import KernelEntry
from luthier.schedules import Schedule, Tensor, Workload, node


def convolution(
    template: str,
    inputs: int = 16,
    outputs: int = 16,
    *,
    size: int = 8,
    groups: int = 1,
    m: int = 4,
    count: int = 1,
) -> KernelEntry:
    """A 3 x 3 convolution of stride 1."""
    x, w = Tensor((1, size, size, inputs)), Tensor((outputs, 3, 3, inputs // groups))
    attributes = {"strides": (1, 1), "pads": (1,) * 4, "dilations": (1, 1), "groups": groups}
    out = node("conv2d", (0, 1), Tensor((1, size, size, outputs)), **attributes)
    workload = Workload((x, w), (False, True), (out,))
    return KernelEntry(workload, Schedule(template, 1, (("m", m),)), "default", count)


def matrix_product(rows: int, depth: int, columns: int) -> KernelEntry:
    """Of two matrices, the second one constant."""
    a, b, out = Tensor((rows, depth)), Tensor((depth, columns)), Tensor((rows, columns))
    workload = Workload((a, b), (False, True), (node("matmul", (0, 1), out),))
    return KernelEntry(workload, Schedule("gemm", 1, ()), "default", 1)


def addition(size: int) -> KernelEntry:
    """Of a vector to itself."""
    x = Tensor((size,))
    workload = Workload((x,), (False,), (node("add", (0, 0), x),))
    return KernelEntry(workload, Schedule("pointwise", 1, ()), "default", 1)
