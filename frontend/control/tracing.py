"""Where the numbers come from that nodes of a graph are told, and how large they can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import onnx

from luthier.schedules import Tensor

from ..graph import Array
from .assembly import Assembly
from .bounds import Bounds
from .origins import Element, Origin, Origins
from .parts import Parts, Scope


class Tracing:
    """``made`` are the nodes that give the values of a scope, by name."""

    def __init__(
        self, made: Mapping[str, onnx.NodeProto], scope: Scope, parts: Parts, assembly: Assembly
    ) -> None:
        self._made, self._scope, self._parts, self._assembly = made, scope, parts, assembly
        self._named: dict[Origin, str] = {}

    def origins(self, name: str) -> Sequence[Origin]:
        """Where each number of a value comes from; of none where that is not told."""
        found = list[Origin]()
        for each in Origins(self._made, self._typed, self._known).of(name):
            if isinstance(each, Element):
                found.append(each.apart(self._scope[each.value]))
                self._named[found[-1]] = each.value
            else:
                found.append(each)
        return found

    def most(self, origin: Origin | None) -> int | None:
        """The most that a number which was found can be, where what it is computed from tells."""
        name = None if origin is None else self._named.get(origin)
        if name is None:
            return None
        most = Bounds(self._made, partial(self._parts.written, scope=self._scope)).most(name)
        return None if most is None else max(most, 0)

    def _typed(self, name: str) -> Tensor | None:
        value = self._scope.get(name)
        return self._assembly.type(value) if isinstance(value, int) else None

    def _known(self, name: str) -> Array | None:
        value = self._scope.get(name)
        if isinstance(value, onnx.TensorProto):
            value = self._parts.value(name, self._scope, name)
        return self._assembly.known(value) if isinstance(value, int) else None
