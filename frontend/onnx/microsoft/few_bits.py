"""Matrices of few bits of ONNX Runtime's domain: rows with a scale for each block of columns.

Those that are known stay as they are, for kernels that multiply with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from luthier.schedules import ModelError
from luthier.schedules.ops.few_bits import LARGEST, LEAST

from ...graph import Array
from .spelling import Operators, Results, Spelled, Spelling, attributes

_FLOAT, _INT32, _UINT8 = 1, 6, 2
_ROUNDED = 4  # accuracy_level: rows may be rounded to 8 bits
_PADS_BY_INPUTS = 11  # operator set


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
    if not 2 <= found.bits <= 8 or call.attr("weight_prepacked", 0):
        raise call.unsupported(f"bits={found.bits}, or what is packed otherwise,")
    packed = call.shape(call.given(1))
    if math.prod(packed) * 8 != found.rows * found.blocks * found.block * found.bits:
        said = f"{found.rows} rows of {found.depth}"
        raise call.unsupported(f"a matrix of the shape {list(packed)} for {said}")
    if math.prod(call.shape(call.given(2))) != found.rows * found.blocks:
        raise call.unsupported(f"scales of the shape {list(call.shape(call.given(2)))}")
    return found


def _matmul(call: Spelling) -> Results:
    """The product of rows that are columns: exact, or of rounded ones where the model says so."""
    matrix = _matrix(call)
    given = [call.input(i) for i in (1, 2, 3, 4)]
    arrays = [call.array(name) if name else None for name in given]
    if all(a is not None or not name for a, name in zip(arrays, given, strict=True)):
        right = _known(call, matrix, arrays)
        rows = call.x if call.input(4) else _rows(call, matrix)
    else:
        rows, right = call.x, _computed(call, matrix)
    y = call.emit("MatMul", rows, right)
    return call.emit("Add", y, call.input(5)) if call.input(5) else y


def _rows(call: Spelling, matrix: _Matrix) -> str:
    """As they are, or rounded to 8 bits by the matrix's blocks where that is accurate enough: to
    whole multiples of a step, a 127th of the largest absolute value of a block."""
    if call.attr("accuracy_level", 0) != _ROUNDED or call.opset < _PADS_BY_INPUTS:
        return call.x
    *outer, _ = (0,) * call.rank(call.x)  # sizes that stay
    x, whole = call.x, matrix.blocks * matrix.block
    if whole > matrix.depth:
        pads = call.sizes(*outer, 0, *outer, whole - matrix.depth)
        x = call.emit("Pad", x, pads, mode="constant")
    parts = call.reshape(x, *outer, matrix.blocks, matrix.block)
    largest = call.reduce("ReduceMax", call.emit("Abs", parts), (len(outer) + 1,))
    largest = call.emit("Max", largest, call.constant(LEAST, "float32"))
    most = call.constant(LARGEST, "float32")
    numbers = call.emit("Round", call.emit("Mul", parts, call.emit("Div", most, largest)))
    steps = call.emit("Div", largest, most)
    rows = call.reshape(call.emit("Mul", numbers, steps), *outer, whole)
    return rows if whole == matrix.depth else call.slice(rows, len(outer), 0, matrix.depth)


def _known(call: Spelling, matrix: _Matrix, arrays: list[Array | None]) -> str:
    """[depth, rows], as numbers of 8 bits less their zero points, times scales: what a pass over
    graphs knows as a matrix of few bits. In another order of scales, as floats."""
    packed, scales, zeros, groups = arrays
    assert packed is not None
    assert scales is not None
    wide = numbers_of(packed.reshape(matrix.rows, -1), matrix.bits)
    factors = scales.astype(np.float32).reshape(matrix.rows, -1)
    points = _known_zeros(matrix, zeros)
    if groups is not None:
        own = _groups(call, matrix, groups)
        floats = wide[:, : matrix.depth] - points[..., own if zeros is not None else slice(1)]
        return call.weight((floats * factors[:, own]).astype(np.float32).T)
    return _of_numbers(call, matrix, wide, factors, None if zeros is None else points)


def _of_numbers(
    call: Spelling, matrix: _Matrix, wide: Array, factors: Array, zeros: Array | None
) -> str:
    """[depth, rows], of a number a byte; zero points are in the middle, if not otherwise."""
    points = _known_zeros(matrix, zeros)
    numbers = call.cast(call.weight(wide), _FLOAT)
    split = call.reshape(numbers, matrix.rows, matrix.blocks, matrix.block)
    centred = call.emit("Sub", split, call.weight(points[..., None]))
    floats_ = call.emit("Mul", centred, call.weight(factors[..., None]))
    rows = call.reshape(floats_, matrix.rows, -1)
    if matrix.blocks * matrix.block > matrix.depth:
        rows = call.slice(rows, 1, 0, matrix.depth)
    return call.transpose(rows, 1, 0)


def _known_zeros(matrix: _Matrix, zeros: Array | None) -> Array:
    """[rows, blocks], or [1, 1] where all are the same."""
    if zeros is None:
        return np.full((1, 1), 2 ** (matrix.bits - 1), np.float32)
    if zeros.dtype != np.uint8:
        return zeros.astype(np.float32).reshape(matrix.rows, -1)
    each = numbers_of(zeros.reshape(matrix.rows, -1), matrix.bits)
    return each[:, : matrix.blocks].astype(np.float32)


def _groups(call: Spelling, matrix: _Matrix, groups: Array | None) -> Array:
    """The block whose scale each of ``depth`` numbers has: its own, if not otherwise."""
    if groups is None:
        return np.arange(matrix.depth) // matrix.block
    own = groups.ravel()[: matrix.depth]
    if own.size < matrix.depth or own.min() < 0 or own.max() >= matrix.blocks:
        raise ModelError(f"{call.label}: 'g_idx' names blocks that are not there")
    return own


def numbers_of(packed: Array, bits: int) -> Array:
    """Bytes of rows as their numbers, the lowest bits first."""
    if bits == 8:
        return packed
    if 8 % bits:
        return _across_bytes(packed, bits)
    # Of a word of as many bytes as a byte has numbers, each is moved to a byte of its own.
    word = np.dtype(f"<u{8 // bits}").type
    wide, moved = packed.astype(word, order="C"), packed.astype(word, order="C")
    for _ in range(8 // bits - 1):
        moved <<= word(8 - bits)
        wide |= moved
    wide &= word((2**bits - 1) * (2 ** (8 * wide.itemsize) - 1) // 255)
    return wide.view(np.uint8)


def _across_bytes(packed: Array, bits: int) -> Array:
    """Eight numbers of each so many bytes, through words of 64 bits."""
    rows, count = packed.shape
    groups = -(-count // bits)
    full = np.zeros((rows, groups * bits), np.uint8)
    full[:, :count] = packed
    words = np.zeros((rows, groups), np.uint64)
    for i in range(bits):
        words |= full[:, i::bits].astype(np.uint64) << np.uint64(8 * i)
    numbers = np.empty((rows, groups, 8), np.uint8)
    for i in range(8):
        numbers[..., i] = (words >> np.uint64(bits * i)) & np.uint64(2**bits - 1)
    return numbers.reshape(rows, -1)[:, : count * 8 // bits]


# The same by operators, of what is known only at run time.


def _computed(call: Spelling, matrix: _Matrix) -> str:
    """In floats, [depth, rows]."""
    if 8 % matrix.bits:
        raise call.unsupported(f"bits={matrix.bits} of a matrix of run time")
    if call.input(4):
        raise call.unsupported("an order of its rows (g_idx) of a matrix of run time")
    whole = unpacked(call, call.given(1), matrix.bits)
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
    wide = unpacked(call, call.reshape(zeros, matrix.rows, -1), matrix.bits)
    return call.reshape(call.cast(call.slice(wide, 1, 0, matrix.blocks), _FLOAT), *shape)


def unpacked(call: Spelling, packed: str, bits: int) -> str:
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


# The 16 numbers of MatMulBnb4, by its quant_type (Dettmers et al. 2023, and bitsandbytes).
_TABLES = (
    (0, 5.208333333e-03, 2 / 3, 1, 1 / 3, 0.5, 1 / 6, 0.25,
     0, -5.208333333e-03, -2 / 3, -1, -1 / 3, -0.5, -1 / 6, -0.25),
    (-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
     -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
     0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
     0.7229568362236023, 1.0),
)  # fmt: skip


def _matmul_of_table(call: Spelling) -> Results:
    """Blocks of the whole matrix, row after row, have a scale each; the high bits come first."""
    kind, rows, depth = call.attr("quant_type", 0), call.count("N"), call.count("K")
    block = call.count("block_size")
    if kind not in (0, 1) or not call.attr("transB", 1):
        raise call.unsupported(f"quant_type={kind}, or a matrix that lies otherwise,")
    packed, scales = (call.array(call.given(i)) for i in (1, 2))
    if packed is None or scales is None:
        raise call.unsupported("a matrix of run time")
    total = rows * depth
    if packed.size != -(-total // 2) or scales.size != -(-total // block):
        raise call.unsupported(f"{packed.size} bytes and {scales.size} scales of {rows} by {depth}")
    bytes_ = packed.reshape(-1)
    numbers = np.stack([bytes_ >> 4, bytes_ & 15], axis=-1).ravel()[:total]
    floats = np.asarray(_TABLES[kind], np.float32)[numbers]
    floats *= scales.astype(np.float32).ravel()[np.arange(total) // block]
    right = call.weight(np.ascontiguousarray(floats.reshape(rows, depth).T))
    return call.emit("MatMul", call.x, right)


# MatMulFpQ4: 32 numbers of a column have a block of bytes.
_NUMBERS = 32


def _matmul_of_blocks(call: Spelling) -> Results:
    """A block is a scale in float32, a zero point in a byte (type 1), and the lower halves of 16
    bytes, then the higher ones."""
    kind = call.attr("blk_quant_type", 1)
    packed, shape = (call.array(call.given(i)) for i in (1, 2))
    if kind not in (0, 1) or packed is None or shape is None or shape.size != 2:
        raise call.unsupported(f"blk_quant_type={kind}, or a matrix of run time,")
    depth, rows = (int(n) for n in shape)
    head = 4 + kind
    size, blocks = head + _NUMBERS // 2, -(-depth // _NUMBERS)
    if min(depth, rows) < 1 or packed.size != rows * blocks * size:
        raise call.unsupported(f"{packed.size} bytes of a matrix of {depth} by {rows}")
    apart = packed.reshape(rows, blocks, size)
    scales = np.ascontiguousarray(apart[..., :4]).view(np.float32)[..., 0]
    halves = apart[..., head:]
    wide = np.concatenate([halves & 15, halves >> 4], axis=-1).reshape(rows, -1)
    matrix = _Matrix(4, rows, depth, _NUMBERS)
    zeros = apart[..., 4].astype(np.float32) if kind else None
    return call.emit("MatMul", call.x, _of_numbers(call, matrix, wide, scales, zeros))


OPERATORS: Operators = {
    "MatMulFpQ4": Spelled(_matmul_of_blocks, 3, attributes("blk_quant_type")),
    "MatMulBnb4": Spelled(
        _matmul_of_table,
        3,
        attributes("K N block_size quant_type training_mode transB"),
        in_steps=True,
    ),
    "MatMulNBits": Spelled(
        _matmul,
        6,
        attributes("K N accuracy_level bits block_size weight_prepacked"),
        in_steps=True,
    ),
}
