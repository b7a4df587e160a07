"""What a file of TensorFlow Lite holds: graphs of tensors, and of the operators between them.

Numbers of fields are those of TensorFlow's ``schema.fbs``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import ModelError, UnsupportedOperator

from ..flatbuffer import Bytes, DamagedError, Table
from .codes import CUSTOM, OPERATORS
from .tensors import Constants, Tensor, read_tensor

_IDENTIFIER = b"TFL3"
_VERSION = 3
_MOST_DIMENSIONS = 8
# Fields of an operator's options that have numbers of graphs.
_CALLS = {"CALL_ONCE": (0,), "IF": (0, 1), "WHILE": (0, 1)}


@dataclass(frozen=True)
class Operation:
    """An operator by its name in the schema, and numbers of tensors, -1 for none.

    ``later`` are options of kinds that the schema has got since the first were too many, and
    ``custom`` the bytes of an operator that the schema does not have.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None
    later: Table | None
    custom: bytes
    place: int
    graph: int

    @property
    def label(self) -> str:
        """What it is called in messages."""
        inside = f" of graph {self.graph}" if self.graph else ""
        return f"{self.kind} (operator {self.place}{inside})"

    @property
    def calls(self) -> tuple[int, ...]:
        """The numbers of the graphs that it runs."""
        if self.kind == "STABLEHLO_COMPOSITE":
            return () if self.later is None else (self.later.number(1),)
        if self.options is None:
            return ()
        return tuple(self.options.number(field) for field in _CALLS.get(self.kind, ()))


@dataclass(frozen=True)
class LiteGraph:
    """``inputs`` and ``outputs`` are numbers of tensors."""

    tensors: Sequence[Tensor]
    operations: Sequence[Operation]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class LiteModel:
    """Of the ``main`` graph ``inputs`` and ``outputs`` are tensors' numbers by name.

    Graphs ``beside`` it are those of other signatures, where that is the one that was asked for.
    """

    graphs: Sequence[LiteGraph]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    where: str
    main: int = 0
    beside: tuple[int, ...] = ()

    def graph(self, number: int) -> LiteGraph:
        """One of the graphs; raises ModelError where there is none of this number."""
        if not 0 <= number < len(self.graphs):
            raise ModelError(f"{self.where}: there is no graph {number}")
        return self.graphs[number]

    def reached(self) -> list[Operation]:
        """The operations of the main graph and of those that it leads to; raises ModelError."""
        found, seen, waiting = list[Operation](), {self.main}, [self.main]
        while waiting:
            for operation in self.graph(waiting.pop()).operations:
                found.append(operation)
                fresh = [number for number in operation.calls if number not in seen]
                seen.update(fresh)
                waiting += fresh
        return found


def is_tflite(data: bytes) -> bool:
    """Whether this is such a file, of which no other format of models is."""
    return data[4:8] == _IDENTIFIER and int.from_bytes(data[:4], "little") < len(data)


def decoded(data: bytes, where: str, entry: str = "") -> LiteModel:
    """What a file holds; its main graph is that of the signature ``entry``, or else the first.

    Raises ModelError for a file that is damaged, and UnsupportedOperator for what is of a kind that
    is not supported.
    """
    try:
        return _decoded(Bytes(data), where, entry)
    except DamagedError as error:
        raise ModelError(f"{where}: the file is cut short or damaged") from error


def _decoded(source: Bytes, where: str, entry: str) -> LiteModel:
    root = source.root()
    version, graphs = root.number(0, "<I"), root.tables(2)
    if version != _VERSION:
        raise UnsupportedOperator(f"{where}: version {version} of the format is not 3")
    if not graphs:
        raise ModelError(f"{where}: it has no graph")
    codes = [_code(each) for each in root.tables(1)]
    constants = Constants(source, root.tables(4))
    read = [_graph(each, number, codes, constants, where) for number, each in enumerate(graphs)]
    signatures = root.tables(7)
    asked = next((each for each in signatures if entry and each.text(2) == entry), None)
    main, beside = 0, tuple[int, ...]()
    if asked is not None:
        main = asked.number(4, "<I")
        beside = tuple({each.number(4, "<I") for each in signatures} - {main})
    if not all(0 <= number < len(read) for number in (main, *beside)):
        raise DamagedError
    own = [each for each in signatures if each.number(4, "<I") == main]
    inputs, outputs = _names(asked or (own[0] if len(own) == 1 else None), read[main])
    return LiteModel(read, inputs, outputs, where, main, beside)


def _graph(
    table: Table, number: int, codes: Sequence[str], constants: Constants, where: str
) -> LiteGraph:
    tensors = [read_tensor(each, constants, where) for each in table.tables(0)]
    operations = [
        _operation(each, place, number, codes, len(tensors))
        for place, each in enumerate(table.tables(3))
    ]
    ends = (table.array(field, "<i4") for field in (1, 2))
    inputs, outputs = (_listed(each, len(tensors)) for each in ends)
    return LiteGraph(tensors, operations, inputs, outputs)


def _listed(numbers: NDArray[Any], tensors: int) -> tuple[int, ...]:
    if ((numbers < 0) | (numbers >= tensors)).any():
        raise DamagedError
    return tuple(numbers.tolist())


def _code(code: Table) -> str:
    """Codes above 126 are in a field of their own."""
    number = max(code.number(0, "<b"), code.number(3))
    if number == CUSTOM:
        return f"custom operator '{code.text(1)}'"
    return OPERATORS[number] if 0 <= number < len(OPERATORS) else f"operator of code {number}"


def _operation(
    table: Table, place: int, graph: int, codes: Sequence[str], tensors: int
) -> Operation:
    code = table.number(0, "<I")
    inputs, outputs = table.array(1, "<i4"), table.array(2, "<i4")
    both = np.concatenate([inputs, outputs])
    if code >= len(codes) or (both < -1).any() or (both >= tensors).any():
        raise DamagedError
    given, made = tuple(inputs.tolist()), tuple(outputs.tolist())
    custom = table.array(5, "u1").tobytes()
    kind = codes[code]
    return Operation(kind, given, made, table.table(4), table.table(12), custom, place, graph)


def _names(signature: Table | None, main: LiteGraph) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Inputs and outputs by the names of the signature, if there is one, or their tensors'."""
    found = []
    for field, listed in enumerate((main.inputs, main.outputs)):
        names = {number: main.tensors[number].name or f"tensor_{number}" for number in listed}
        if signature is not None:
            maps = signature.tables(field)
            said = {each.number(1, "<I"): each.text(0) for each in maps}
            names = {number: said.get(number) or name for number, name in names.items()}
        if len(set(names.values())) < len(names):
            names = {number: f"{name}_{number}" for number, name in names.items()}
        found.append({name: number for number, name in names.items()})
    return found[0], found[1]
