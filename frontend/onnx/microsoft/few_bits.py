"""Matrices of few bits of ONNX Runtime's domain: rows with a scale for each block of columns.

Those that are known become floats when the library is built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...graph import Array
from .spelling import Operators, Results, Spelled, Spelling, attributes

_FLOAT, _INT32, _UINT8 = 1, 6, 2


@dataclass(frozen=True)
class _Matrix:
    """``rows`` of ``depth`` numbers of so many ``bits``, of which ``block`` have one scale."""

    bits: int
    rows: int
    depth: int
    block: int

    @property
    def blocks(self) -> int:
        """Of a row; the last one may hold more than there is."""
        return -(-self.depth // self.block)


def _matrix(call: Spelling) -> _Matrix:
    """Raises UnsupportedOperator where the packed bytes are not as many."""
    found = _Matrix(
        call.attr("bits", 4), call.count("N"), call.count("K"), call.count("block_size")
    )
    if found.bits not in (2, 4, 8) or call.attr("weight_prepacked", 0):
        raise call.unsupported(f"bits={found.bits}, or what is packed otherwise,")
    if call.input(4):
        raise call.unsupported("an order of its rows (g_idx)")
    packed = call.shape(call.given(1))
    if math.prod(packed) * 8 != found.rows * found.blocks * found.block * found.bits:
        said = f"{found.rows} rows of {found.depth}"
        raise call.unsupported(f"a matrix of the shape {list(packed)} for {said}")
    if math.prod(call.shape(call.given(2))) != found.rows * found.blocks:
        raise call.unsupported(f"scales of the shape {list(call.shape(call.given(2)))}")
    return found


def _matmul(call: Spelling) -> Results:
    """The exact product, of rows that are columns."""
    matrix = _matrix(call)
    given = [call.input(i) for i in (1, 2, 3)]
    arrays = [call.array(name) if name else None for name in given]
    if all(a is not None or not name for a, name in zip(arrays, given, strict=True)):
        right = call.weight(_known(call, matrix, arrays))
    else:
        right = _computed(call, matrix)
    y = call.emit("MatMul", call.x, right)
    return call.emit("Add", y, call.input(5)) if call.input(5) else y


def _known(call: Spelling, matrix: _Matrix, arrays: list[Array | None]) -> Array:
    """In floats, [depth, rows]."""
    packed, scales, zeros = arrays
    assert packed is not None
    assert scales is not None
    shape = (matrix.rows, matrix.blocks, 1)
    wide = _split(packed.reshape(matrix.rows, -1), matrix.bits)
    floats = wide.astype(np.float32).reshape(matrix.rows, matrix.blocks, matrix.block)
    if zeros is None:
        floats -= 2 ** (matrix.bits - 1)
    elif zeros.dtype == np.uint8:
        each = _split(zeros.reshape(matrix.rows, -1), matrix.bits)[:, : matrix.blocks]
        floats -= each.astype(np.float32).reshape(shape)
    else:
        floats -= zeros.astype(np.float32).reshape(shape)
    floats *= scales.astype(np.float32).reshape(shape)
    return floats.reshape(matrix.rows, -1)[:, : matrix.depth].T


def _split(packed: Array, bits: int) -> Array:
    """Bytes of rows as their numbers, the lowest bits first."""
    parts = [(packed >> shift) & (2**bits - 1) for shift in range(0, 8, bits)]
    return np.stack(parts, axis=-1).reshape(len(packed), -1)


# The same by operators, of what is known only at run time.


def _computed(call: Spelling, matrix: _Matrix) -> str:
    """In floats, [depth, rows]."""
    whole = _unpacked(call, call.given(1), matrix.bits)
    shape = (matrix.rows, matrix.blocks)
    wide = call.reshape(call.cast(whole, _FLOAT), *shape, matrix.block)
    scales = call.reshape(call.wide(call.given(2)), *shape, 1)
    centred = call.emit("Sub", wide, _zero_points(call, matrix))
    floats = call.reshape(call.emit("Mul", centred, scales), matrix.rows, -1)
    if matrix.blocks * matrix.block > matrix.depth:
        floats = call.slice(floats, 1, 0, matrix.depth)
    return call.transpose(floats, 1, 0)


def _zero_points(call: Spelling, matrix: _Matrix) -> str:
    """[rows, blocks, 1], or one number: packed as the matrix is, or floats, or in the middle."""
    zeros, shape = call.input(3), (matrix.rows, matrix.blocks, 1)
    if not zeros:
        return call.constant(2 ** (matrix.bits - 1), "float32")
    if call.dtype(zeros) != _UINT8:
        return call.reshape(call.wide(zeros), *shape)
    wide = _unpacked(call, call.reshape(zeros, matrix.rows, -1), matrix.bits)
    return call.reshape(call.cast(call.slice(wide, 1, 0, matrix.blocks), _FLOAT), *shape)


def _unpacked(call: Spelling, packed: str, bits: int) -> str:
    """Bytes, [..., n], as their numbers, [..., n * 8 / bits], the lowest bits first."""
    if bits == 8:
        return packed
    shape = call.shape(packed)
    rest, parts = call.cast(packed, _INT32), []
    base = call.constant(2**bits, "int32")
    for _ in range(8 // bits - 1):  # operator sets before 18 have no bitwise operators
        higher = call.emit("Div", rest, base)
        parts.append(call.emit("Sub", rest, call.emit("Mul", higher, base)))
        rest = higher
    columns = [call.unsqueeze(part, len(shape)) for part in (*parts, rest)]
    pairs = call.emit("Concat", *columns, axis=len(shape))
    return call.reshape(pairs, *shape[:-1], shape[-1] * 8 // bits)


def _gather(call: Spelling) -> Results:
    """Rows are looked up before they become floats."""
    bits, block = call.attr("bits", 4), call.count("block_size", 128)
    if call.attr("gather_axis", 0) != 0 or bits not in (4, 8) or call.dtype(call.x) != _UINT8:
        raise call.unsupported(f"bits={bits}, or other axes or types,")
    data, indices, scales, zeros = (call.input(i) for i in range(4))
    if call.rank(data) != 2 or call.attr("quantize_axis", 1) not in (1, -1):
        raise call.unsupported(f"a table of {call.rank(data)} dimensions, or blocks of rows,")
    rows = _unpacked(call, call.emit("Gather", data, indices, axis=0), bits)
    *outer, width = call.shape(rows)
    blocks = call.shape(scales)[-1]
    if blocks * block != width:
        raise call.unsupported(f"{blocks} blocks of {block} for {width} columns")

    def found(table: str) -> str:
        return call.emit("Gather", table, indices, axis=0)

    wide = call.reshape(call.cast(rows, _FLOAT), *outer, blocks, block)
    scale = call.reshape(call.wide(found(scales)), *outer, blocks, 1)
    if zeros:
        each = call.slice(_unpacked(call, found(zeros), bits), len(outer), 0, blocks)
        zero = call.reshape(call.cast(each, _FLOAT), *outer, blocks, 1)
    else:
        zero = call.constant(2 ** (bits - 1), "float32")
    y = call.emit("Mul", call.emit("Sub", wide, zero), scale)
    return call.cast(call.reshape(y, *outer, width), call.dtype(scales))


OPERATORS: Operators = {
    "GatherBlockQuantized": Spelled(
        _gather, 4, attributes("bits block_size gather_axis quantize_axis"), since=11
    ),
    "MatMulNBits": Spelled(
        _matmul,
        6,
        attributes("K N accuracy_level bits block_size weight_prepacked"),
        in_steps=True,
    ),
}
