"""Tables of few bits of ONNX Runtime's domain, of which rows are looked up."""

from __future__ import annotations

from .few_bits import unpacked
from .spelling import Operators, Results, Spelled, Spelling, attributes

_FLOAT, _UINT8, _INT8 = 1, 2, 3
_UINT4, _INT4 = 21, 22
_FLOATS = {17: 19, 18: 19, 19: 19, 20: 19}  # of 8 bits, and since when
_TYPED = {_UINT4: 21, _INT4: 21, **_FLOATS}


def _gather(call: Spelling) -> Results:
    """Rows are looked up before they become floats; after, where blocks are of rows."""
    bits, block = call.attr("bits", 4), call.count("block_size", 128)
    data, indices, scales, zeros = (call.input(i) for i in range(4))
    kind, rank = call.dtype(data), call.rank(data)
    if (kind != _UINT8 and kind not in _TYPED) or bits not in (2, 4, 8):
        raise call.unsupported(f"bits={bits}, or a table of another type,")
    axis, along = call.attr("gather_axis", 0), call.attr("quantize_axis", 1)
    if not (-rank <= axis < rank and -rank <= along < rank):
        raise call.unsupported(f"gather_axis={axis} and quantize_axis={along} of {rank} dimensions")
    axis, along = axis % rank, along % rank
    packed = kind == _UINT8 and bits != 8
    if packed and (along != rank - 1 or axis == along):
        raise call.unsupported("bytes of several numbers along another dimension than the last")
    moved = call.rank(indices) - 1 if along > axis else 0
    place = along + moved

    def rows(table: str) -> str:
        if call.dtype(table) in (_UINT4, _INT4):
            table = call.cast(table, _INT8 if kind == _INT4 else _UINT8)
        elif call.dtype(table) in _FLOATS:  # which Gather does not take
            table = call.cast(table, _FLOAT)
        return table if axis == along else call.emit("Gather", table, indices, axis=axis)

    def numbers(table: str) -> str:
        return call.cast(unpacked(call, rows(table), bits) if packed else rows(table), _FLOAT)

    wide = numbers(data)
    size = call.shape(wide)[place]
    if -(-size // block) != call.shape(scales)[along]:
        raise call.unsupported(f"{call.shape(scales)[along]} blocks of {block} for {size} columns")
    if zeros:
        zero = _spread(call, numbers(zeros), place, block, size)
    else:  # of bytes the middle
        zero = call.constant(2 ** (bits - 1) if kind == _UINT8 else 0, "float32")
    scale = _spread(call, call.wide(rows(scales)), place, block, size)
    y = call.emit("Mul", call.emit("Sub", wide, zero), scale)
    y = call.emit("Gather", y, indices, axis=axis) if axis == along else y
    return call.cast(y, call.dtype(scales))


def _spread(call: Spelling, x: str, axis: int, block: int, size: int) -> str:
    """Each element along a dimension ``block`` times, the last one until there are ``size``."""
    shape = list(call.shape(x))
    blocks, block = -(-size // block), min(block, size)
    if shape[axis] > blocks:  # the rest of a byte
        x, shape[axis] = call.slice(x, axis, 0, blocks), blocks
    wide = call.unsqueeze(x, axis + 1)
    wide = call.emit("Expand", wide, call.sizes(*shape[: axis + 1], block, *shape[axis + 1 :]))
    flat = call.reshape(wide, *shape[:axis], blocks * block, *shape[axis + 1 :])
    return flat if blocks * block == size else call.slice(flat, axis, 0, size)


OPERATORS: Operators = {
    "GatherBlockQuantized": Spelled(
        _gather, 4, attributes("bits block_size gather_axis quantize_axis"), since=11, typed=_TYPED
    ),
}
