"""What of a ``Loop`` node is carried, changed and kept, among the values around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .loop_node import LoopNode
from .parts import Parts, Scope


@dataclass(frozen=True)
class LoopPlan:
    """Of a loop what it carries ``first``, and by places what of that is ``changing`` and what it
    keeps; ``lasting`` are the results of what changes that are used after it, by their places among
    these."""

    loop: LoopNode
    first: Sequence[int]
    changing: Sequence[int]
    kept: Sequence[int]
    lasting: Mapping[int, str]

    @staticmethod
    def of(loop: LoopNode, parts: Parts, scope: Scope, used: frozenset[str]) -> LoopPlan:
        """Raises ModelError for what is carried and not there."""
        first = [parts.value(name, scope, loop.label) for name in loop.carried]
        same = loop.unchanged()
        changing = [i for i in range(len(first)) if i not in same]
        pairs = enumerate(changing)
        outputs = {k: loop.outputs[i] for k, i in pairs if i < len(loop.outputs)}
        lasting = {k: name for k, name in outputs.items() if name in used}
        return LoopPlan(loop, first, changing, loop.kept(used), lasting)

    @property
    def wanted(self) -> list[str]:
        """What of the body: whether it goes on, what changes, what is kept."""
        places = (0, *(1 + i for i in (*self.changing, *self.kept)))
        return [self.loop.body.output[i].name for i in places]
