"""The workload: a canonical, readable description of one fused kernel.

A workload is a small graph of operators over typed inputs, in topological order; the last node is
the output. A node may be an *anchor* (a convolution, a matrix product, a reduction, ...). There are
two only where a 1x1 convolution is followed by a depthwise one (see ``separable``), and three where
attention is of whole numbers (see ``attention_integer``); the others compute each output element
from few input elements and are fused into it. Workloads know nothing of the model they came from,
so two models with the same kernel share its records.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

from ..errors import LogError
from .core import Region, line, listing
from .dtype import DTYPES, FLOAT32, DType
from .size import Size

Attr: TypeAlias = "int | float | str | bool | tuple[Attr, ...]"

_SIZE = r"(?:0|[1-9][0-9]{0,17})"
_TENSOR = re.compile(rf"([a-z0-9_]+)\[((?:{_SIZE}(?:,{_SIZE})*)?)\]")


@dataclass(frozen=True)
class Tensor:
    """A shape (elements per dimension, outermost first, row-major) and an element type."""

    shape: tuple[int, ...]
    dtype: str = FLOAT32.name

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def element(self) -> DType:
        """What the name of its element type stands for."""
        return DTYPES[self.dtype]

    @property
    def nbytes(self) -> int:
        """Size of its elements in bytes."""
        return self.element.nbytes(self.size)

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"

    @staticmethod
    def parse(text: str) -> Tensor:
        """Read what ``str`` wrote; raises LogError."""
        match = _TENSOR.fullmatch(text)
        if not match or match[1] not in DTYPES:
            raise LogError(f"{text[:80]!r} is not a tensor type such as 'float32[1,64,56,56]'")
        return Tensor(tuple(int(d) for d in match[2].split(",") if d), match[1])


Input: TypeAlias = tuple[Tensor, bool]
"""Of a workload: its type, and whether it is known at build time."""


@dataclass(frozen=True)
class Node:
    """One operator: ``args`` index the workload's inputs first, then its nodes; see ``ops``."""

    op: str
    args: tuple[int, ...]
    out: Tensor
    attrs: tuple[tuple[str, Attr], ...] = ()

    def attr(self, name: str, default: Any = None) -> Any:
        """The attribute's value, or ``default``."""
        return dict(self.attrs).get(name, default)

    def over(self, number: Mapping[int, int]) -> Node:
        """The same over other arguments."""
        args = tuple([number[arg] for arg in self.args])
        return self if args == self.args else Node(self.op, args, self.out, self.attrs)


@dataclass(frozen=True)
class Op:
    """A statement: ``node``, whose args are numbers of values, computes value ``result``.

    ``source`` names the model's nodes that it came from, for people.
    """

    node: Node
    result: int
    source: str = ""

    regions: ClassVar[tuple[()]] = ()

    @property
    def reads(self) -> tuple[int, ...]:
        """The node's arguments."""
        return self.node.args

    @property
    def defines(self) -> tuple[int, ...]:
        """The result alone."""
        return (self.result,)

    def renumbered(self, number: Mapping[int, int]) -> Op:
        """The same over other values."""
        return Op(self.node.over(number), number[self.result], self.source)

    def __str__(self) -> str:
        node = self.node
        return line(self.defines, node.op, node.args, node.attrs, str(node.out), self.source)


@dataclass(frozen=True, eq=False)
class Workload:
    """Operators over inputs; ``constants[i]`` says that input ``i`` is known at build time.

    Constant inputs are weights: a schedule may ask for them packed in an order of its own. Two are
    equal if their texts are: to Python, an attribute of 0.0 equals -0.0.
    """

    inputs: tuple[Tensor, ...]
    constants: tuple[bool, ...]
    nodes: tuple[Node, ...]

    @staticmethod
    def of(inputs: Mapping[int, Input], ops: Sequence[Op]) -> Workload:
        """The workload of ``ops`` over values of any numbers; ``inputs`` are in its order."""
        region = Region(tuple(inputs), tuple(ops), ops[-1].defines).dense()
        tensors, constants = zip(*inputs.values(), strict=True) if inputs else ((), ())
        return Workload(tensors, constants, tuple(op.node for op in region.statements))

    @property
    def region(self) -> Region[Op]:
        """The inputs are values 0, 1, ..., and the nodes define those after them."""
        n = len(self.inputs)
        ops = tuple(Op(node, n + i) for i, node in enumerate(self.nodes))
        return Region(tuple(range(n)), ops, (n + len(ops) - 1,))

    @property
    def signature(self) -> tuple[Input, ...]:
        """Its inputs."""
        return tuple(zip(self.inputs, self.constants, strict=True))

    def inlined(self, args: Sequence[int], result: int, fresh: Iterator[int]) -> tuple[Op, ...]:
        """The nodes over the values ``args``; the last defines ``result``, the others new ones."""
        inner = [next(fresh) for _ in self.nodes[:-1]]
        return self.region.renumbered(dict(enumerate((*args, *inner, result)))).statements

    @property
    def output(self) -> Tensor:
        """Type of the result, which is the last node's."""
        return self.nodes[-1].out

    def tensor(self, arg: int) -> Tensor:
        """Type of what an argument index names."""
        n = len(self.inputs)
        return self.inputs[arg] if arg < n else self.nodes[arg - n].out

    def to_json(self) -> dict[str, Any]:
        """The readable form that records carry."""
        inputs = [("const " if c else "") + str(t) for t, c in self.signature]
        return {"inputs": inputs, "nodes": [_node_to_json(n) for n in self.nodes]}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Workload:
        """Read ``to_json``'s form from untrusted data; raises LogError."""
        try:
            texts = [str(t) for t in data["inputs"]]
            inputs = tuple(Tensor.parse(t.removeprefix("const ")) for t in texts)
            constants = tuple(t.startswith("const ") for t in texts)
            nodes = tuple(_node_from_json(n) for n in data["nodes"])
            workload = Workload(inputs, constants, nodes)
            canonical = _canonical(data) == workload.text
        except _MALFORMED as error:
            raise LogError(f"malformed workload: {error!r:.200}") from error
        if not canonical:
            raise LogError("the workload is not in canonical form")
        workload._check()
        return workload

    def _check(self) -> None:
        if not self.nodes:
            raise LogError("a workload needs at least one node")
        for i, node in enumerate(self.nodes):
            if any(not 0 <= a < len(self.inputs) + i for a in node.args):
                raise LogError(f"node {i} ({node.op}) names an argument that is not before it")

    def listing(self) -> str:
        """A line for each input and node, for people."""
        leaves = (
            f"%{i} = {'constant' if known else 'input'}: {tensor}"
            for i, (tensor, known) in enumerate(self.signature)
        )
        region = self.region
        return listing(f"workload {self.key}", leaves, region, [("", region.results[0])])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Workload) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    @cached_property
    def text(self) -> str:
        """Canonical JSON: equal workloads have equal text."""
        return _canonical(self.to_json())

    @cached_property
    def key(self) -> str:
        """A short, stable content hash (16 hex digits)."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        """One line for people: the anchor with its shapes, then what is fused into it.

        Of many operators each name is said once, with its number: "26 take+concat".
        """
        names = [n.op for n in self.nodes if n.op != "const"]
        if len(names) > _MOST_NAMES:
            names = [op if n == 1 else f"{n} {op}" for op, n in Counter(names).items()]
        shapes = ", ".join(str(t) for t in self.inputs[:2])
        return f"{'+'.join(names)}({shapes}) -> {self.output}"


_MOST_NAMES = 24
_MALFORMED = (KeyError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _node_to_json(node: Node) -> dict[str, Any]:
    data: dict[str, Any] = {"op": node.op, "args": list(node.args), "out": str(node.out)}
    if node.attrs:
        data["attrs"] = {name: _to_json(value) for name, value in node.attrs}
    return data


def _node_from_json(data: Mapping[str, Any]) -> Node:
    attrs = tuple(sorted((str(k), _from_json(v)) for k, v in data.get("attrs", {}).items()))
    args = tuple(int(a) for a in data["args"])
    return Node(str(data["op"]), args, Tensor.parse(str(data["out"])), attrs)


def _to_json(value: Attr) -> Any:
    if isinstance(value, Size):  # of an open workload, whose text nobody reads back
        return str(value)
    return [_to_json(v) for v in value] if isinstance(value, tuple) else value


def _from_json(value: Any) -> Attr:
    if isinstance(value, list):
        return tuple(_from_json(v) for v in value)
    if isinstance(value, (bool, int, float, str)):
        return value
    raise LogError(f"an attribute may not be a {type(value).__name__}")


def node(op: str, args: tuple[int, ...], out: Tensor, **attrs: Attr) -> Node:
    """Build a node with its attributes in canonical order."""
    return Node(op, args, out, tuple(sorted(attrs.items())))
