"""The variables of a TensorFlow Lite model: which there are, and which graphs change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from luthier.schedules import ModelError, UnsupportedOperator

from .model import LiteModel, Operation
from .tensors import TEXT, Tensor

_DEEPEST = 16  # graphs in graphs
_MOST = 10000  # graphs that are called with other variables


def variable_name(operation: Operation) -> str:
    """Of the variable for which a VAR_HANDLE stands."""
    if operation.options is None:
        return "variable"
    container, name = (operation.options.text(field) for field in range(2))
    return "/".join(each for each in (container, name or "variable") if each)


@dataclass(frozen=True)
class Variable:
    """What a variable holds."""

    dtype: str
    shape: tuple[int, ...]


class Variables:
    """``names`` are those of the main graph and of those that it calls; ``lasting`` those that runs
    change, after what is done once, also runs of graphs beside it."""

    def __init__(self, model: LiteModel) -> None:
        """Raises ModelError for graphs that call one another in a circle."""
        self._model = model
        self._noted: dict[str, tuple[int, Tensor]] = {}
        self._changed: dict[tuple[int, tuple[tuple[int, str], ...]], frozenset[str]] = {}
        own = self.changed(model.main, {})
        self.names = list(self._noted)
        self.lasting = own.union(*(self.changed(each, {}) for each in model.beside))
        self.lasting &= frozenset(self.names)

    def type(self, name: str) -> Variable:
        """What a variable holds; raises UnsupportedOperator where its size is open."""
        _, tensor = self._noted[name]
        sizes = tuple(size for size in tensor.shape if size is not None)
        if len(sizes) < len(tensor.shape) or not tensor.is_plain or tensor.dtype == TEXT:
            raise UnsupportedOperator(
                f"{self._model.where}: variable '{name}' of {tensor.dtype}, whose shape is "
                f"{list(tensor.shape)}, is not supported: its shape must be fixed"
            )
        return Variable(tensor.dtype, sizes)

    def changed(self, number: int, handles: Mapping[int, str], depth: int = 0) -> frozenset[str]:
        """The variables that a run of a graph changes, of whose inputs some are ``handles``.

        What is done once does not count.
        """
        key = (number, tuple(sorted(handles.items())))
        if key not in self._changed:
            if depth > _DEEPEST:
                raise ModelError(
                    f"{self._model.where}: its graphs call one another too deeply, or in a circle"
                )
            if len(self._changed) > _MOST:
                raise ModelError(f"{self._model.where}: its graphs call one another too often")
            self._changed[key] = self._found(number, dict(handles), depth)
        return self._changed[key]

    def _found(self, number: int, handles: dict[int, str], depth: int) -> frozenset[str]:
        graph, changed = self._model.graph(number), set[str]()
        for operation in graph.operations:
            first = operation.inputs[0] if operation.inputs else -1
            if operation.kind == "VAR_HANDLE":
                handles |= dict.fromkeys(operation.outputs, variable_name(operation))
            elif operation.kind == "READ_VARIABLE" and first in handles:
                for result in operation.outputs:
                    self._note(handles[first], 2, graph.tensors[result])
            elif operation.kind == "ASSIGN_VARIABLE" and first in handles:
                changed.add(handles[first])
                for given in operation.inputs[1:]:
                    tensor = graph.tensors[given]
                    self._note(handles[first], 1 if tensor.constant is None else 0, tensor)
            else:
                found = self._called(operation, handles, depth)
                changed |= found if operation.kind != "CALL_ONCE" else set()
        return frozenset(changed)

    def _note(self, name: str, doubt: int, tensor: Tensor) -> None:
        """The type of a variable, by the surest place that tells it."""
        if name not in self._noted or doubt < self._noted[name][0]:
            self._noted[name] = (doubt, tensor)

    def _called(self, operation: Operation, handles: dict[int, str], depth: int) -> set[str]:
        """What the graphs that an operation runs change; a WHILE gives back handles, too."""
        given = operation.inputs[1:] if operation.kind == "IF" else operation.inputs
        found = set[str]()
        for number in operation.calls:
            inputs = self._model.graph(number).inputs
            pairs = zip(inputs, given, strict=False)
            inner = {own: handles[outer] for own, outer in pairs if outer in handles}
            found |= self.changed(number, inner, depth + 1)
        if operation.kind == "WHILE":
            pairs = zip(operation.outputs, given, strict=False)
            handles |= {result: handles[outer] for result, outer in pairs if outer in handles}
        return found
