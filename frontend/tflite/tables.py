"""TensorFlow Lite's hash tables, which are filled once with constants, and lookups in them."""

from __future__ import annotations

import numpy as np

from luthier.schedules import ModelError

from .call import Call, Operator, Results
from .entries import Entries
from .tensors import TEXT

_ML = "ai.onnx.ml"


def _table(call: Call) -> Results:
    call.graph.handles[call.operation.outputs[0]] = f"hash table {call.option(0)}"
    return ""


def _name(call: Call) -> str:
    name = call.graph.handles.get(call.number(0), "")
    if not name.startswith("hash table "):
        raise ModelError(f"{call.where}: it is given no hash table")
    return name


def _import(call: Call) -> Results:
    """A table that holds something already stays as it is."""
    name, tables = _name(call), call.graph.writing.tables
    found = [call.graph.known(call.number(place)) for place in (1, 2)]
    keys, values = found
    if keys is None or values is None:
        raise call.unsupported("a hash table of what is computed")
    if keys.size != values.size:
        raise ModelError(f"{call.where}: it has {keys.size} keys and {values.size} values")
    entries = Entries(keys.reshape(-1), values.reshape(-1))
    if not tables.setdefault(name, entries).is_same(entries):
        raise call.unsupported("a hash table that is filled by several operators")
    return []


def _entries(call: Call) -> Entries:
    found = call.graph.writing.tables.get(_name(call))
    if found is None:
        raise ModelError(f"{call.where}: nothing fills its hash table")
    return found


def _find(call: Call) -> Results:
    """The place of a key in the list, one after its end if it is not there, tells the value."""
    graph, entries = call.graph, _entries(call)
    text = call.tensor(1).dtype == TEXT
    if {call.tensor(1).dtype, call.result().dtype} != {TEXT, "int64"}:
        raise call.unsupported(f"a lookup of {call.tensor(1).dtype} to {call.result().dtype}")
    dtypes = [TEXT if array.dtype == object else str(array.dtype) for array in (
        entries.keys, entries.values)]  # fmt: skip
    if dtypes != [call.tensor(1).dtype, call.result().dtype]:
        raise ModelError(f"{call.where}: its hash table is from {dtypes[0]} to {dtypes[1]}")
    keys, otherwise = graph.stored(call.number(1)), graph.known(call.number(2))
    if otherwise is None:
        default = call.add("Reshape", graph.stored(call.number(2)), call.ints(1))
        values = call.add("Concat", graph.constant(entries.values, dtypes[1]), default, axis=0)
    elif otherwise.size:
        whole = np.append(entries.values, otherwise.reshape(-1)[:1])
        values = graph.constant(whole, dtypes[1])
    else:
        raise ModelError(f"{call.where}: it has no value for other keys")
    count = entries.keys.size
    if not count:
        shape = call.add("Shape", keys)
        return call.add("Expand", values, shape)
    listed = {"keys_strings" if text else "keys_int64s": entries.keys.tolist()}
    place = call.add(
        "LabelEncoder", keys, domain=_ML, **listed, values_int64s=range(count), default_int64=count
    )
    return call.add("Gather", values, place, axis=0)


def _size(call: Call) -> Results:
    return call.ints(len(set(_entries(call).keys.tolist())))


OPERATORS: dict[str, Operator] = {
    "HASHTABLE": Operator(_table, passes=True),
    "HASHTABLE_FIND": Operator(_find, passes=True),
    "HASHTABLE_IMPORT": Operator(_import, passes=True),
    "HASHTABLE_SIZE": Operator(_size, passes=True),
}
