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
    """One place is that of the first row. Neither a scale nor packed batching changes anything, as
    in ONNX Runtime."""
    places, tables = call.given(1), (call.given(2), call.given(3))
    heads = _heads(call, tables[0])
    rows = call.shape(heads)[1]
    if call.shape(places) == (1,):
        places = call.emit("Add", places, call.constant(np.arange(rows), "int64"))
        places = call.reshape(places, 1, rows)
    return _back(call, heads, angles_at(call, places, tables))


def _heads(call: Spelling, table: str) -> str:
    """The input as [batch, rows, heads, columns]; it may have its heads before the rows."""
    rank, shape = call.rank(call.x), call.shape(call.x)
    if rank == 4:
        return call.transpose(call.x, 0, 2, 1, 3)
    if rank != 3:
        raise call.unsupported(f"an input of {rank} dimensions")
    width = 2 * call.shape(table)[1]
    if call.attr("rotary_embedding_dim", 0):
        width = shape[2] // call.count("num_heads")
    return call.reshape(call.x, 0, 0, -1, width)


def _back(call: Spelling, heads: str, angles: tuple[str, str]) -> str:
    """Turned, as the input lies."""
    y = rotated(call, heads, angles, bool(call.attr("interleaved", 0)))
    return call.transpose(y, 0, 2, 1, 3) if call.rank(call.x) == 4 else call.reshape(y, 0, 0, -1)


def _in_sections(call: Spelling) -> Results:
    """Of a picture's part: columns turn by its time, height or width (Wang et al. 2024)."""
    tables = call.given(2), call.given(3)
    heads, half = _heads(call, tables[0]), call.shape(tables[0])[1]
    sizes = [int(n) for n in call.attr("mrope_section", ())]
    layout = call.attr("mrope_layout", 0)
    if len(sizes) != 3 or min(sizes) < 0 or sum(sizes) != half or layout not in (0, 1):
        raise call.unsupported(f"mrope_section={sizes} of {half} columns")
    kinds = np.repeat(np.arange(3), sizes)
    if layout == 1:  # in turns, as far as there are any
        kinds = np.zeros(half, int)
        for kind in (1, 2):
            kinds[kind : 3 * sizes[kind] : 3] = kind
    every = angles_at(call, call.given(1), tables)  # [3, batch, rows, half]
    chosen = []
    for table in every:
        parts = [
            call.reshape(part, *call.shape(part)[1:]) for part in call.split(table, 0, [1] * 3)
        ]
        y = parts[0]
        for kind in (1, 2):
            y = call.emit("Where", call.constant(kinds == kind, "bool"), parts[kind], y)
        chosen.append(y)
    return _back(call, heads, (chosen[0], chosen[1]))


_TURNED = attributes("interleaved is_packed_batching num_heads rotary_embedding_dim scale")
OPERATORS: Operators = {
    "MRotaryEmbedding": Spelled(
        _in_sections,
        4,
        _TURNED | attributes("mrope_layout mrope_section"),
        in_steps=True,
        since=9,
    ),
    "RotaryEmbedding": Spelled(
        _rotary,
        4,
        _TURNED,
        in_steps=True,
    ),
}
