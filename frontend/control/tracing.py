"""Where the numbers come from that nodes of a graph are told, and how large they can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import onnx

from .distances import Distances
from .origins import COUNT, Element, Origin, Origins
from .parts import Parts, Scope


class Tracing:
    """``made`` are the nodes that give the values of a scope, by name, of which ``reader`` reads
    some."""

    def __init__(
        self, made: Mapping[str, onnx.NodeProto], scope: Scope, parts: Parts, reader: str
    ) -> None:
        self._made, self._scope, self._parts = made, scope, parts
        self._typed = partial(parts.type_of, scope=scope)
        self._known = partial(parts.numbers_of, scope=scope, reader=reader)
        self._named: dict[Origin, str] = {}

    def origins(self, name: str) -> Sequence[Origin]:
        """Where each number of a value comes from; of none where that is not told."""
        found = list[Origin]()
        for each in Origins(self._made, self._typed, self._known).of(name):
            if isinstance(each, Element):
                found.append(each.apart(self._scope[each.value]))
                if each.place != COUNT:  # of which the value's elements tell nothing
                    self._named[found[-1]] = each.value
            else:
                found.append(each)
        return found

    def most(self, origin: Origin | None) -> int | None:
        """The most that a number which was found can be, where what it is computed from tells."""
        name = None if origin is None else self._named.get(origin)
        if name is None:
            return None
        most = self._parts.bounds(self._made, self._scope).most(name)
        return None if most is None else max(most, 0)

    def between(self, first: str, last: str) -> int | None:
        """How much less one value of one number is than another at most, where nodes tell."""
        return Distances(self._made, self._known).most(first, last)
