"""The library's tables of states, in C; ``runtime/program.h`` says what they mean."""

from __future__ import annotations

import math

from .c_array import c_array
from .layout import Entry, Tables
from .names import c_string, label


def first_more(entry: Entry) -> int:
    """The number that says how much is appended to the first state."""
    return sum(1 + len(port.tensor.shape) for port in (*entry.inputs, *entry.outputs))


def state_arrays(tables: Tables, prefix: str, entry: Entry) -> str:
    """The states as a caller sees them, their names in messages, and where they lie."""
    text, rows, places = "", [], []
    names = [symbol.name for symbol in entry.symbols]
    for i, state in enumerate(entry.states):
        tensor, axis = state.tensor, state.axis
        text += c_array("int64_t", f"{prefix}_state_shape_{i}", map(str, tensor.shape))
        rows.append(
            f"{{{c_string(state.name)}, {c_string(state.becomes)}, all_{prefix}_state_shape_{i}, "
            f"{len(tensor.shape)}, {-1 if axis is None else axis}, "
            f"LUTHIER_{tensor.dtype.upper()}, {tensor.nbytes}u}}"
        )
        count = 1 if axis is None else math.prod(tensor.shape[:axis])
        room = tensor.nbytes // count
        unit = room if axis is None else room // tensor.shape[axis]
        size = "SIZE_MAX" if axis is None else names.index(state.length)
        where, index = tables.states.offsets[state.name], tables.states.index(state.name)
        places.append(f"{{{where}u, {count}u, {room}u, {unit}u, {index}, {size}}}")
    text += c_array("luthier_state", f"{prefix}_states", rows)
    labels = (c_string(label(state.name)) for state in entry.states)
    text += c_array("char *const", f"{prefix}_state_labels", labels)
    return text + c_array("luthier_place", f"{prefix}_places", places)
