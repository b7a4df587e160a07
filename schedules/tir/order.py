"""Numbers as whole ones without a sign, which are in the order in which the numbers are sorted.

Both zeros are one number, and so are all NaNs, which come after infinity: NumPy's order, and that
of ONNX Runtime's TopK.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.dtype import DTYPES, Kind
from ..tvm_late import tirx

Expr = Any


def key_dtype(dtype: str) -> str:
    """The type of the keys of a workload's dtype."""
    return f"uint{DTYPES[dtype].bits}"


def key_of(x: Expr, dtype: str, descending: bool = False) -> Expr:
    """Of an element of a workload's dtype: the one that comes first has the smallest key.

    In whole numbers alone, which no optimiser takes for others.
    """
    element, keys = DTYPES[dtype], key_dtype(dtype)
    bits = x if keys == dtype else tirx.call_intrin(keys, "tirx.reinterpret", x)
    sign = tirx.const(1 << (element.bits - 1), keys)
    if element.is_float:
        key = _of_float(bits, sign, dtype)
    else:
        key = tirx.bitwise_xor(bits, sign) if element.kind is Kind.INT else bits
    return tirx.bitwise_not(key) if descending else key


def _of_float(bits: Expr, sign: Expr, dtype: str) -> Expr:
    """A float is a sign and a size, whose order is that of its bits."""
    keys = key_dtype(dtype)
    size = tirx.bitwise_and(bits, tirx.const((1 << (DTYPES[dtype].bits - 1)) - 1, keys))
    infinity = int(np.array(np.inf, dtype).view(keys))
    signed = tirx.Select(bits > size, sign - size, sign + size)
    largest = tirx.bitwise_not(tirx.const(0, keys))
    return tirx.Select(size > tirx.const(infinity, keys), largest, signed)
