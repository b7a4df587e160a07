"""The operators that a workload is made of. Activations of rank 4 are channels-last (N, H, W, C).

A family a file: what an operator takes, gives and means stands there, and nowhere else.
``pads`` are (top, left, bottom, right); ``axes`` are non-negative; broadcasting is NumPy's.

Anchors
    decide how a kernel is scheduled. A workload has one, whose other nodes come after it or feed
    its first argument; a depthwise convolution may also follow a 1x1 convolution, another anchor,
    and what is after that.
Elementwise operators and data movement
    are fused into the kernels that need their elements.
Any other name
    starts with ``relax.``: an operator of TVM's Relax, with its attributes, compiled by TVM's own
    legalization and a generic schedule, never fused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ..ir.workload import Node, Workload
from . import (
    attention,
    bits,
    few_bits,
    functions,
    images,
    logic,
    matrices,
    movement,
    norms,
    numbers,
    products,
    quantization,
    recurrent,
    reductions,
    scans,
    scatters,
    search,
    sorting,
    texts,
    tokens,
    trees,
    windows,
)
from .norms import Norm, Softmax
from .operator import Anchor, Elementwise, Known, Movement, Operator
from .products import Product
from .reductions import Reduction
from .scatters import Scatter
from .windows import Pool

_FAMILIES = (
    numbers, functions, logic, movement, products, windows, reductions, norms, attention, search,
    sorting, recurrent, bits, scans, scatters, trees, matrices, texts, tokens, images, quantization,
    few_bits,
)  # fmt: skip
OPERATORS: Mapping[str, Known] = MappingProxyType(
    {operator.name: operator for family in _FAMILIES for operator in family.OPERATORS}
)
"""By name, all that are our own."""


def of(node: Node) -> Operator:
    """The node's operator."""
    return named(node.op)


def named(name: str) -> Operator:
    """The operator of a name; one that is not known fits nothing."""
    return OPERATORS.get(name) or Operator(name)


def natives(workloads: Iterable[Workload]) -> frozenset[str]:
    """The folders of functions in C that kernels of these call."""
    operators = (of(node) for workload in workloads for node in workload.nodes)
    return frozenset(o.native for o in operators if isinstance(o, Anchor) and o.native)


__all__ = [
    "OPERATORS",
    "Anchor",
    "Elementwise",
    "Known",
    "Movement",
    "Norm",
    "Operator",
    "Pool",
    "Product",
    "Reduction",
    "Scatter",
    "Softmax",
    "named",
    "natives",
    "of",
]
