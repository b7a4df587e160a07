"""What rules of operators work with: values to take, new inputs and constants, and chance."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper

from .case import reads
from .flow import evaluate
from .noise import Value, exactly
from .reference import NoReferenceError
from .replicas import Many
from .values import DTYPES, Array, draw

Shape = tuple[int, ...]
SIZES = (1, 1, 1, 2, 3, 3, 4, 5, 7, 8, 9, 16, 17, 33)
MOST_ELEMENTS = 2000
MOST_RANK = 5
_ONNX_NAMES = {"float32": "float", "float64": "double"}
_LIKELY = {"float32": 24, "float16": 2, "float64": 3, "int64": 3, "int32": 2, "bool": 2}


@dataclass(frozen=True)
class Draft:
    """A node to be: an input that is left out has the name ''."""

    op: str
    inputs: Sequence[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    domain: str = ""


class UnfitError(Exception):
    """The operator, in this operator set or with what there is, cannot be drafted."""


Rule = Callable[["Growth"], Draft]


class Growth:
    """A graph that grows: its values by name, which of them are inputs and constants; ``flows`` are
    the rules of control flow."""

    def __init__(self, seed: str, opset: int, kinds: Sequence[str] = ("normal",)) -> None:
        self.rng = random.Random(seed)
        self.numbers = np.random.default_rng(self.rng.getrandbits(63))
        self.opset = opset
        self.kinds = kinds
        self.prefix = ""
        self.values: dict[str, Value] = {}
        self.inputs: dict[str, Array] = {}
        self.constants: dict[str, Array] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.sequences: dict[str, Many] = {}
        self.flows: Mapping[str, Rule] = {}

    def array(self, name: str) -> Array:
        """A value's numbers."""
        return self.values[name].array

    def shape(self, name: str) -> Shape:
        """A value's shape."""
        return tuple(self.array(name).shape)

    def dtype(self, name: str) -> str:
        """A value's element type."""
        return str(self.array(name).dtype)

    def add(self, draft: Draft) -> list[str]:
        """Make the node; names of its outputs. Raises UnfitError where no engine computes it."""
        number = len(self.nodes)
        names = [f"{self.prefix}v{number}_{i}" for i in range(draft.outputs)]
        name = f"{self.prefix}n{number}"
        node = helper.make_node(
            draft.op, list(draft.inputs), names, name=name, domain=draft.domain, **draft.attrs
        )
        known: dict[str, Any] = {**self.values, **self.sequences}
        given = [known[n] if n else None for n in reads(node)]
        try:
            results = evaluate(node, given, self.opset, self.numbers)
        except NoReferenceError:
            raise UnfitError from None
        if isinstance(results[0], Many):
            self.nodes.append(node)
            self.sequences[names[0]] = results[0]
            return names
        if any(r.array.size > 4 * MOST_ELEMENTS or r.array.ndim > MOST_RANK + 1 for r in results):
            raise UnfitError
        if any(r.array.size == 0 for r in results):  # of which little may be asked
            raise UnfitError
        self.nodes.append(node)
        self.values.update(zip(names, results, strict=True))
        return names

    @contextmanager
    def inside(self, mark: str, parameters: Mapping[str, Value]) -> Iterator[Growth]:
        """A graph inside of the next node, which reads what is around; ``parameters`` are what it
        is given, as it is at first, by names to which it puts its prefix before."""
        inner = copy(self)
        inner.prefix = f"{self.prefix}{mark}{len(self.nodes)}_"
        inner.nodes = []
        own = {f"{inner.prefix}{name}": value for name, value in parameters.items()}
        inner.values = {**self.values, **own}
        try:
            yield inner
        finally:  # what is new there is an input or a constant of the model
            new = (*inner.inputs, *inner.constants)
            self.values.update({n: inner.values[n] for n in new if n in inner.values})

    # ---- choices ----

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.rng.random() < probability

    def pick(self, choices: Iterable[Any]) -> Any:
        """One of some."""
        found = list(choices)
        if not found:
            raise UnfitError
        return self.rng.choice(found)

    def some_dtype(self, op: str, index: int = 0, among: Iterable[str] = DTYPES) -> str:
        """An element type that input ``index`` of ``op`` may have; float32 more often than not."""
        allowed = [d for d in among if d in types(op, self.opset, index)]
        if not allowed:
            raise UnfitError
        return self.rng.choices(allowed, [_LIKELY.get(d, 1) for d in allowed])[0]

    def some_shape(self, least: int = 0, most: int = MOST_RANK) -> Shape:
        """Any shape of this rank."""
        weights = [1, 2, 4, 4, 4, 2]
        rank = self.rng.choices(range(6), weights)[0]
        rank = min(max(rank, least), most)
        shape = [self.rng.choice(SIZES) for _ in range(rank)]
        while math.prod(shape) > MOST_ELEMENTS:
            shape[self.rng.randrange(rank)] = self.rng.choice((1, 2, 3))
        return tuple(shape)

    def axis(self, rank: int) -> int:
        """An axis of a tensor of this rank, counted from either end."""
        if rank == 0:
            raise UnfitError
        return self.rng.randrange(-rank, rank)

    def partner(self, shape: Shape, larger: bool = True) -> Shape:
        """A shape that broadcasts with ``shape``, to a larger one where that may be."""
        made = [n if self.chance(0.7) else 1 for n in shape[self.rng.choice([0, 0, 0, 1, 2]) :]]
        if larger and self.chance(0.2):
            made = [self.rng.choice((1, 3)) if n == 1 else n for n in made]
            common = np.broadcast_shapes(shape, self._fitted(shape, made))
            if len(made) == len(shape) < MOST_RANK and math.prod(common) < MOST_ELEMENTS // 3:
                return (self.rng.choice((1, 2, 3)), *self._fitted(shape, made))
        return self._fitted(shape, made)

    @staticmethod
    def _fitted(shape: Shape, made: Sequence[int]) -> Shape:
        tail = shape[len(shape) - len(made) :]
        pairs = zip(made, tail, strict=True)
        return tuple(m if n in (m, 1) or m == 1 else n for m, n in pairs)

    # ---- values ----

    def new(self, dtype: str, shape: Shape, kind: str = "", constant: float = 0.3) -> str:
        """A new input, or with this probability a constant."""
        array = draw(self.numbers, dtype, shape, kind or self.pick(self.kinds))
        if self.chance(constant):
            return self.known(array)
        name = f"x{len(self.inputs)}"
        self.inputs[name] = array
        self.values[name] = exactly(array)
        return name

    def known(self, array: Any, dtype: str | None = None) -> str:
        """A constant of these numbers."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array, dtype)
        self.values[name] = exactly(self.constants[name])
        return name

    def any(
        self,
        dtypes: Iterable[str],
        least: int = 0,
        most: int = MOST_RANK,
        where: Callable[[Shape], bool] = lambda shape: True,
    ) -> str:
        """A value of one of these types, whose rank lies in a range; often one that is there."""
        wanted = set(dtypes)
        if not wanted:
            raise UnfitError
        fitting = [
            n
            for n, v in self.values.items()
            if n not in self.constants
            and str(v.array.dtype) in wanted
            and least <= v.array.ndim <= most
            and where(v.array.shape)
        ]
        if fitting and self.chance(0.85):
            late = fitting[-4:]
            return self.pick(late if self.chance(0.7) else fitting)
        shape = next((s for _ in range(9) if where(s := self.some_shape(least, most))), None)
        if shape is None:
            raise UnfitError
        likely = [d for d in DTYPES if d in wanted]
        dtype = self.rng.choices(likely, [_LIKELY.get(d, 1) for d in likely])[0]
        return self.new(dtype, shape, constant=0.1)

    def first(self, op: str, least: int = 0, most: int = MOST_RANK, **options: Any) -> str:
        """A value that may be the first input of ``op``."""
        return self.any(types(op, self.opset, 0), least, most, **options)

    def like(self, name: str, shape: Shape, constant: float = 0.4) -> str:
        """A value of the same type and this shape: one that is there, or a new one."""
        dtype = self.dtype(name)
        fitting = [
            n
            for n, v in self.values.items()
            if v.array.shape == shape and str(v.array.dtype) == dtype and n not in self.constants
        ]
        if fitting and self.chance(0.5):
            return str(self.pick(fitting))
        return self.new(dtype, shape, constant=constant)

    def broadcasting(self, name: str, larger: bool = True) -> str:
        """A value of the same type that broadcasts with this one."""
        shape = self.shape(name)
        fitting = [
            n
            for n, v in self.values.items()
            if n not in self.constants
            and v.array.dtype == self.array(name).dtype
            and _together(v.array.shape, shape) == shape
        ]
        if fitting and self.chance(0.4):
            return str(self.pick(fitting))
        return self.new(self.dtype(name), self.partner(shape, larger), constant=0.5)


def _together(a: Shape, b: Shape) -> Shape | None:
    try:
        return tuple(np.broadcast_shapes(a, b))
    except ValueError:
        return None


@cache
def types(op: str, opset: int, index: int) -> tuple[str, ...]:
    """The element types that the standard and Luthier know for an input; raises UnfitError."""
    schema = schema_of(op, opset)
    declared = schema.inputs[min(index, len(schema.inputs) - 1)].types
    return tuple(d for d in DTYPES if f"tensor({_ONNX_NAMES.get(d, d)})" in declared)


@cache
def schema_of(op: str, opset: int) -> defs.OpSchema:
    """The operator as this operator set has it; raises UnfitError where it has it not."""
    try:
        schema = defs.get_schema(op, opset)
    except defs.SchemaError:
        raise UnfitError from None
    if schema.deprecated:
        raise UnfitError
    return schema


def attributes(op: str, opset: int) -> set[str]:
    """Names of the operator's attributes."""
    return set(schema_of(op, opset).attributes)
