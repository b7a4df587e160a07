"""What a ``Loop`` node says."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from luthier.schedules import ModelError

from ..onnx.opset import is_onnx, node_label
from ..onnx.scopes import inner_graph, reads


@dataclass(frozen=True)
class LoopNode:
    """``trips`` and ``condition`` are the names of what ends it, "" for none; ``carried`` those of
    what it begins with. ``outputs`` are that after it, then what is kept of each iteration."""

    label: str
    body: onnx.GraphProto
    trips: str
    condition: str
    carried: tuple[str, ...]
    outputs: tuple[str, ...]

    @staticmethod
    def of(node: onnx.NodeProto) -> LoopNode:
        """Raises ModelError."""
        label, body = node_label(node), inner_graph(node, "body")
        trips, condition, *carried = [*node.input, "", ""][: max(2, len(node.input))]
        count = len(carried)
        fits = len(body.input) == count + 2 and len(body.output) > count
        if not fits or len(node.output) >= len(body.output):
            raise ModelError(f"{label}: its body does not take what it is given, or give it")
        if len({info.name for info in body.input}) < count + 2:
            raise ModelError(f"{label}: two inputs of its body have the same name")
        return LoopNode(label, body, trips, condition, tuple(carried), tuple(node.output))

    def kept(self, used: frozenset[str]) -> list[int]:
        """The places of those results that have something of each iteration and are used."""
        return [i for i in range(len(self.carried), len(self.outputs)) if self.outputs[i] in used]

    def unchanged(self) -> list[int]:
        """The places of carried values that the body gives back as it got them."""
        source = {n.output[0]: n.input[0] for n in self.body.node if _is_identity(n)}
        found = []
        for i in range(len(self.carried)):
            name = self.body.output[1 + i].name
            for _ in range(len(self.body.node) + 1):
                if name not in source:
                    break
                name = source[name]
            if name == self.body.input[2 + i].name:
                found.append(i)
        return found

    def unread(self) -> list[int]:
        """The places of carried values that an iteration does not read."""
        taken = set().union(*map(reads, self.body.node), (o.name for o in self.body.output))
        return [i for i in range(len(self.carried)) if self.body.input[2 + i].name not in taken]


def _is_identity(node: onnx.NodeProto) -> bool:
    return node.op_type == "Identity" and is_onnx(node.domain) and len(node.input) == 1
