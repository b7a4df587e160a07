"""Workloads over sizes, from a function that makes them of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from luthier.schedules import Node, Tensor, Workload
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Size

Make = Callable[..., Workload]
_NEAR = (7, 11)


def opened(make: Make, names: Sequence[str]) -> OpenWorkload:
    """``make(**sizes)`` over the sizes; its numbers are of the first degree in each of them."""
    corners = [
        dict(zip(names, sizes, strict=True))
        for sizes in itertools.product(_NEAR, repeat=len(names))
    ]
    made = [make(**sizes) for sizes in corners]

    def fit(numbers: Sequence[Any]) -> Any:
        """Interpolated, Lagrange's way."""
        if isinstance(numbers[0], tuple):
            return tuple(map(fit, zip(*numbers, strict=True)))
        if type(numbers[0]) is not int or len(set(numbers)) == 1:
            assert len(set(numbers)) == 1
            return numbers[0]
        scale, total = (_NEAR[1] - _NEAR[0]) ** len(names), 0
        for sizes, number in zip(corners, numbers, strict=True):
            signs = prod(1 if sizes[name] == _NEAR[1] else -1 for name in names)
            others = prod(Size.named(name) - (sum(_NEAR) - sizes[name]) for name in names)
            total = total + number * signs * others
        return total // scale

    def tensor(tensors: Sequence[Tensor]) -> Tensor:
        return Tensor(fit([t.shape for t in tensors]), tensors[0].dtype)

    def node(nodes: Sequence[Node]) -> Node:
        attrs = tuple((name, fit([n.attr(name) for n in nodes])) for name, _ in nodes[0].attrs)
        return replace(nodes[0], out=tensor([n.out for n in nodes]), attrs=attrs)

    inputs = tuple(map(tensor, zip(*(w.inputs for w in made), strict=True)))
    nodes = tuple(map(node, zip(*(w.nodes for w in made), strict=True)))
    found = OpenWorkload(Workload(inputs, made[0].constants, nodes))
    for sizes in ({name: 3 + i for i, name in enumerate(names)}, *corners):
        assert found.at(sizes) == make(**sizes)
    return found
