"""A workload that is written over sizes which are known only when its kernel runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from .size import Size, Sizes
from .workload import Node, Tensor, Workload


@dataclass(frozen=True)
class OpenWorkload:
    """``workload`` has a ``Size`` wherever a number of a shape or an attribute varies.

    To the type checker these are ints, as which they compute. Equal ones have equal texts.
    """

    workload: Workload

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """Those that its shapes and attributes have, each once."""
        tensors = (*self.workload.inputs, *(node.out for node in self.workload.nodes))
        attrs = (attr for node in self.workload.nodes for _, attr in node.attrs)
        parts = (*(tensor.shape for tensor in tensors), *attrs)
        return tuple(dict.fromkeys(size for part in parts for size in _sizes(part)))

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of its sizes."""
        return frozenset().union(*(size.names for size in self.sizes))

    def at(self, sizes: Sizes) -> Workload:
        """The workload where each name has a size."""

        def tensor(of: Tensor) -> Tensor:
            return Tensor(_at(of.shape, sizes), of.dtype)

        def node(of: Node) -> Node:
            attrs = tuple((name, _at(attr, sizes)) for name, attr in of.attrs)
            return replace(of, out=tensor(of.out), attrs=attrs)

        workload = self.workload
        nodes = tuple(map(node, workload.nodes))
        return Workload(tuple(map(tensor, workload.inputs)), workload.constants, nodes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpenWorkload) and self.workload.text == other.workload.text

    def __hash__(self) -> int:
        return hash(self.workload.text)

    def __str__(self) -> str:
        return str(self.workload)


def _sizes(attr: Any) -> list[Size]:
    if isinstance(attr, tuple):
        return [size for each in attr for size in _sizes(each)]
    return [attr] if isinstance(attr, Size) else []


def _at(attr: Any, sizes: Sizes) -> Any:
    if isinstance(attr, tuple):
        return tuple(_at(each, sizes) for each in attr)
    return int(attr.at(sizes)) if isinstance(attr, Size) else attr
