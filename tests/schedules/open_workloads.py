"""Workloads over sizes, from a function that makes them of numbers, and runs of their kernels."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from caller import Array, Library

from luthier.schedules import Kernel, Node, Target, Tensor, Workload
from luthier.schedules.ir.kernel import OpenKernel, Phase
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Size, Sizes, value
from luthier.schedules.ir.symbol import Symbol

Make = Callable[..., Workload]
_NEAR = (7, 11)
_EDGES = (1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 40, 63, 64, 65, 70)


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


def fixed(kernel: OpenKernel, number: int, sizes: Sizes) -> Kernel:
    """An alternative as the kernel of certain sizes."""
    made = kernel.alternatives[number].kernel
    phases = tuple(Phase(p.func, int(value(p.chunks, sizes))) for p in made.phases)
    return replace(made, workload=kernel.workload.at(sizes), phases=phases)


def runs(
    kernel: OpenKernel,
    symbols: Sequence[Symbol],
    target: Target,
    inputs_of: Callable[[Workload], list[Array]],
) -> Iterator[tuple[Workload, list[Array], Array]]:
    """(workload, inputs, result) at the ends of all ranges and at some of the edges between."""
    kernels = [alternative.kernel for alternative in kernel.alternatives]
    library = Library(kernels, target)
    rng = random.Random(kernel.workload.workload.text)
    choices = [[n for n in _EDGES if n in symbol] for symbol in symbols]
    ends = list(itertools.product(*((s.least, s.most) for s in symbols)))
    some = [tuple(rng.choice(each) for each in choices) for _ in range(8)]
    for numbers in dict.fromkeys([*ends, *some]):
        sizes = {symbol.name: n for symbol, n in zip(symbols, numbers, strict=True)}
        index = next(i for i, a in enumerate(kernel.alternatives) if a.fits(sizes))
        library.kernels = [
            fixed(kernel, i, sizes) if i == index else each for i, each in enumerate(kernels)
        ]
        made = kernel.workload.at(sizes)
        inputs = inputs_of(made)
        yield made, inputs, library.run(index, inputs, rng, np.array(numbers, np.int64))
