"""The same bits as another type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ScheduleError
from ..ir.dtype import DTYPES
from ..ir.workload import Node
from ..tir.literals import storage
from ..tvm_late import tirx
from .operator import Array, Elementwise, Expr, Let


def _bitcast(node: Node, x: Array) -> Array:
    return np.ascontiguousarray(x).view(node.out.dtype).reshape(x.shape)


def _emit_bitcast(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    if DTYPES[dtypes[0]].bits != node.out.element.bits:
        raise ScheduleError(f"the bits of {dtypes[0]} are not those of {node.out.dtype}")
    return tirx.reinterpret(storage(node.out.dtype), args[0])


OPERATORS = (
    # to the node's output dtype, which has as many bits
    Elementwise("bitcast", 1, _bitcast, emit=_emit_bitcast, is_free=True),
)
