"""Rotary embeddings of ONNX Runtime's domain (Su et al. 2021)."""

from __future__ import annotations

import numpy as np

from .spelling import Operators, Results, Spelled, Spelling, attributes


def rotated(call: Spelling, x: str, angles: tuple[str, str], interleaved: bool) -> str:
    """``x`` [batch, rows, heads, columns] turned by ``angles``, cosines and sines.

    These are [batch or 1, rows, turned columns / 2]; what is beyond stays. Pairs are the halves,
    or, ``interleaved``, neighbours.
    """
    columns, half = call.shape(x)[3], call.shape(angles[0])[-1]
    if not 1 <= 2 * half <= columns:
        raise call.unsupported(f"a rotation of {2 * half} of {columns} columns")
    rest = []
    if 2 * half < columns:
        x, *rest = call.split(x, 3, [2 * half, columns - 2 * half])
    cosine, sine = (call.unsqueeze(each, 2) for each in angles)
    if interleaved:
        a, b = (call.slice(x, 3, first, 2 * half, 2) for first in (0, 1))
    else:
        a, b = call.split(x, 3, [half, half])
    left = call.emit("Sub", call.emit("Mul", a, cosine), call.emit("Mul", b, sine))
    right = call.emit("Add", call.emit("Mul", b, cosine), call.emit("Mul", a, sine))
    if interleaved:
        pairs = call.emit("Concat", *(call.unsqueeze(y, 4) for y in (left, right)), axis=4)
        turned = [call.reshape(pairs, 0, 0, 0, 2 * half)]
    else:
        turned = [left, right]
    every = [*turned, *rest]
    return every[0] if len(every) == 1 else call.emit("Concat", *every, axis=3)


def angles_at(call: Spelling, places: str, tables: tuple[str, str]) -> tuple[str, str]:
    """Cosines and sines of ``places`` [batch or 1, rows]."""
    cosines, sines = (call.emit("Gather", table, places, axis=0) for table in tables)
    return cosines, sines


def _rotary(call: Spelling) -> Results:
    """One place is that of the first row."""
    if call.attr("scale", 1.0) != 1 or call.attr("is_packed_batching", 0):
        raise call.unsupported("packed batching or a scale of rotary embeddings")
    x, places, tables = call.x, call.given(1), (call.given(2), call.given(3))
    rank, shape = call.rank(x), call.shape(x)
    if rank == 4:
        heads = call.transpose(x, 0, 2, 1, 3)
    elif rank == 3:
        width = 2 * call.shape(tables[0])[1]
        if call.attr("rotary_embedding_dim", 0):
            width = shape[2] // call.count("num_heads")
        heads = call.reshape(x, 0, 0, -1, width)
    else:
        raise call.unsupported(f"an input of {rank} dimensions")
    rows = call.shape(heads)[1]
    if call.shape(places) == (1,):
        places = call.emit("Add", places, call.constant(np.arange(rows), "int64"))
        places = call.reshape(places, 1, rows)
    angles = angles_at(call, places, tables)
    y = rotated(call, heads, angles, bool(call.attr("interleaved", 0)))
    return call.transpose(y, 0, 2, 1, 3) if rank == 4 else call.reshape(y, 0, 0, -1)


OPERATORS: Operators = {
    "RotaryEmbedding": Spelled(
        _rotary,
        4,
        attributes("interleaved is_packed_batching num_heads rotary_embedding_dim scale"),
        in_steps=True,
    ),
}
