"""Nodes in an order in which each comes after those whose results it reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

import onnx

from luthier.schedules import ModelError

from ..onnx.scopes import reads


def in_order(nodes: Sequence[onnx.NodeProto], where: str) -> list[onnx.NodeProto]:
    """The nodes; of those that may come next the first. Raises ModelError where there is none."""
    makers = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    after, waiting = defaultdict[int, list[int]](list), [0] * len(nodes)
    for i, node in enumerate(nodes):
        for maker in {makers[name] for name in reads(node) if name in makers}:
            after[maker].append(i)
            waiting[i] += 1
    ready = [i for i, count in enumerate(waiting) if not count]
    heapify(ready)
    found = []
    while ready:
        i = heappop(ready)
        found.append(nodes[i])
        for other in after[i]:
            waiting[other] -= 1
            if not waiting[other]:
                heappush(ready, other)
    if len(found) < len(nodes):
        raise ModelError(f"{where}: its nodes read one another's results in a circle")
    return found
