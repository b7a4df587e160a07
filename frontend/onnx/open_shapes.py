"""What a user says of the sizes that a model leaves open."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias, TypeGuard

import onnx

from luthier.schedules import ModelError, UnsupportedOperator
from luthier.schedules.ir.size import Size, Sizes, value
from luthier.schedules.ir.size_text import parse_size
from luthier.schedules.ir.symbol import NAME, Symbol

Shapes: TypeAlias = Mapping[str, Sequence[int | str] | int | str | range]
"""By the name of an input, the sizes of its dimensions: numbers or names, ``past+1`` too. By the
name of a size, what it may be: a number, several, ``range(1, 513)`` or ``"1..512"``. What is both
is the input where it has a list. By the name of a sequence, how many tensors it has."""

_MOST = 2**31 - 1
_MOST_CHOICES = 1 << 22  # of all sizes together, which kernels are tried for
_MOST_EXACT = 64
# What exporters call sizes that they do not know.
_UNKNOWN = ("none", "null", "nan", "unknown", "unk", "dynamic", "any", "undefined")


@dataclass(frozen=True)
class OpenShapes:
    """The shapes of inputs, over the sizes that are known only at run time."""

    inputs: Mapping[str, tuple[int | Size, ...]]
    symbols: tuple[Symbol, ...]

    def at(self, sizes: Sizes) -> dict[str, tuple[int, ...]]:
        """The shapes by input where each name has a size."""
        return {n: tuple(int(value(d, sizes)) for d in dims) for n, dims in self.inputs.items()}

    @property
    def varying(self) -> frozenset[str]:
        """The inputs some of whose sizes are open."""
        found = (n for n, dims in self.inputs.items() if any(isinstance(d, Size) for d in dims))
        return frozenset(found)

    def of(self, names: Iterable[str]) -> OpenShapes:
        """Of some of the inputs."""
        return OpenShapes({name: self.inputs[name] for name in names}, self.symbols)

    @property
    def largest(self) -> dict[str, int]:
        """Each size as large as it may be."""
        return {symbol.name: symbol.most for symbol in self.symbols}


def is_symbol(name: str) -> bool:
    """Whether a name stands for one size; some exporters write '?' for any."""
    return any(c.isalpha() for c in name) and name.lower() not in _UNKNOWN


def is_none(dim: onnx.TensorShapeProto.Dimension) -> bool:
    """Whether a model says that a dimension has no elements."""
    return dim.HasField("dim_value") and dim.dim_value == 0


def open_shapes(
    model: onnx.ModelProto, shapes: Shapes, states: Mapping[str, str] = MappingProxyType({})
) -> OpenShapes | None:
    """What ``shapes`` says of the model's inputs; None where it names no size.

    Sizes in the inputs that are ``states`` stay open where there is one choice, but for those that
    the outputs that these become have, too.

    Raises ModelError, and UnsupportedOperator for sizes that are valid but not supported.
    """
    inputs = {i.name: i.type.tensor_type for i in model.graph.input}
    given = {n: dims for n, dims in shapes.items() if n in inputs and _is_list(dims)}
    named = {name: sizes for name, sizes in shapes.items() if name not in given}
    if not named and all(isinstance(d, int) for dims in given.values() for d in dims):
        return None
    texts = {name: _texts(name, inputs[name], given.get(name)) for name in inputs}
    _check_names(named, texts)
    symbols = {n: _symbol(n, sizes) for n, sizes in named.items()}
    changing = _changing_axes(model, states)
    kept = {
        t
        for n in states
        for axis, t in enumerate(texts[n])
        if axis in changing[n] or _is_zero(symbols.get(t))
    }
    found = {name: _shape(name, each, symbols) for name, each in texts.items()}
    fixed = {n: s.least for n, s in symbols.items() if s.least == s.most and n not in kept}
    closed = {name: tuple(_closed(d, fixed) for d in dims) for name, dims in found.items()}
    left = tuple(symbols[name] for name in sorted(symbols) if name not in fixed)
    _check_choices(left)
    for name, dims in closed.items():
        _check_smallest(name, dims, {s.name: s for s in left})
    return OpenShapes(closed, left)


def _changing_axes(model: onnx.ModelProto, states: Mapping[str, str]) -> dict[str, set[int]]:
    """Of each state the axes along which the model does not declare that it keeps its size."""
    outputs = {o.name: o.type.tensor_type.shape for o in model.graph.output}
    inputs = {i.name: i.type.tensor_type.shape for i in model.graph.input}
    found = {}
    for name, becomes in states.items():
        before, after = (
            [(dim.dim_value, dim.dim_param) for dim in shape.dim]
            for shape in (inputs[name], outputs[becomes])
        )
        same_rank = len(before) == len(after)
        found[name] = {a for a, d in enumerate(before) if not same_rank or d != after[a]}
    return found


def _is_zero(symbol: Symbol | None) -> bool:
    return symbol is not None and symbol.most == 0


def fixed_shapes(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Those of inputs, which are numbers where ``open_shapes`` gives None."""
    lists = ((name, dims) for name, dims in shapes.items() if _is_list(dims))
    return {name: tuple(map(int, dims)) for name, dims in lists}


def names_of(texts: Iterable[str]) -> list[str]:
    """The names of sizes in expressions."""
    words = (re.fullmatch(NAME, word) for t in texts for word in re.split(r"[\s+*/%(),-]+", t))
    return [word[0] for word in words if word and word[0] not in ("min", "max")]


def _is_list(dims: object) -> TypeGuard[Sequence[int | str]]:
    return isinstance(dims, Sequence) and not isinstance(dims, str | range)


def _texts(
    name: str, tensor: onnx.TypeProto.Tensor, given: Sequence[int | str] | None
) -> list[str]:
    """Each dimension of an input as it is written."""
    dims = list(tensor.shape.dim)
    if given is None:
        if not tensor.HasField("shape"):
            raise ModelError(f"input '{name}' has no shape: give it, such as --shape {name}=1,8")
        return [_text(name, i, d, None) for i, d in enumerate(dims)]
    if not tensor.HasField("shape"):
        return [str(d) for d in given]
    if len(dims) != len(given):
        shape = ",".join(map(str, given))
        raise ModelError(f"input '{name}' has {len(dims)} dimensions, but the shape {shape[:80]}")
    return [_text(name, i, d, g) for i, (d, g) in enumerate(zip(dims, given, strict=True))]


def _text(
    name: str, index: int, dim: onnx.TensorShapeProto.Dimension, given: int | str | None
) -> str:
    if dim.HasField("dim_value") and dim.dim_value > 0:
        if given is not None and str(given) != str(dim.dim_value):
            raise ModelError(
                f"input '{name}' has size {dim.dim_value} in dimension {index}, not {given}"
            )
        return str(dim.dim_value)
    if given is not None:
        return str(given)
    if is_none(dim):
        return "0"
    if not is_symbol(dim.dim_param):
        example = ",".join(["batch", *("8" for _ in range(index))])
        raise ModelError(
            f"input '{name}' has no size in dimension {index}, nor a name for it: give its shape, "
            f"with names for what is open, such as --shape {name}={example}"
        )
    return dim.dim_param


def _check_names(named: Mapping[str, object], texts: Mapping[str, Sequence[str]]) -> None:
    """Raise ModelError for a name that is neither an input's nor in one's shape."""
    there = dict.fromkeys(names_of(t for dims in texts.values() for t in dims))
    for name in named:
        if name not in there:
            inputs = ", ".join(f"'{n}'" for n in texts) or "none"
            sizes = f"; its sizes with names: {', '.join(there)}" if there else ""
            raise ModelError(
                f"a shape is given for '{name}', but the model's inputs are: {inputs}{sizes}"
            )


def _symbol(name: str, sizes: object) -> Symbol:
    text = sizes if isinstance(sizes, str) else str(sizes)
    if isinstance(sizes, range) and sizes.step == 1 and len(sizes):
        text = f"{sizes.start}..{sizes.stop - 1}"
    elif _is_list(sizes) and len(sizes):
        if len(sizes) == 1:
            return _symbol(name, sizes[0])
        text = ",".join(map(str, sizes))
    symbol = Symbol.parse(f"{name}={text}")
    if symbol.most > _MOST:
        raise ModelError(f"the size {symbol} is larger than can be indexed")
    if len(symbol.exact) > _MOST_EXACT:
        raise UnsupportedOperator(
            f"the size {name} has {len(symbol.exact)} exact choices, and {_MOST_EXACT} are "
            f"supported: give a range, such as {name}={symbol.least}..{symbol.most}"
        )
    return symbol


def _shape(
    name: str, texts: Sequence[str], symbols: Mapping[str, Symbol]
) -> tuple[int | Size, ...]:
    return tuple(_dimension(name, i, text, symbols) for i, text in enumerate(texts))


def _dimension(name: str, index: int, text: str, symbols: Mapping[str, Symbol]) -> int | Size:
    try:
        return parse_size(text, symbols)
    except ModelError as error:
        example = next((n for n in names_of([text]) if n not in symbols), "")
        advice = f"; say which, such as --shape {example}=1..512 or --shape {example}=8"
        raise ModelError(
            f"input '{name}' has the size '{text[:80]}' in dimension {index}: "
            f"{error}{advice if example else ''}"
        ) from error


def _closed(size: int | Size, fixed: Sizes) -> int | Size:
    """With the numbers of sizes that are fixed."""
    if not isinstance(size, Size) or not size.names & fixed.keys():
        return size
    rest = {name: Size.named(name) for name in size.names - fixed.keys()}
    found: int | Size = size.at({**rest, **fixed})
    return found


def _check_choices(symbols: Sequence[Symbol]) -> None:
    """Raise UnsupportedOperator where the sizes have too many choices together."""
    ranges = [s for s in symbols if not s.exact]
    choices = math.prod(s.most - s.least + 1 for s in ranges)
    if choices > _MOST_CHOICES:
        raise UnsupportedOperator(
            f"the sizes {' '.join(map(str, ranges))} have {choices} choices together, and "
            f"{_MOST_CHOICES} are supported: narrow them, or give exact sizes"
        )
    exact = math.prod(len(s.exact) for s in symbols if s.exact)
    if exact > _MOST_EXACT:
        raise UnsupportedOperator(
            f"the exact sizes have {exact} choices together, and {_MOST_EXACT} are supported"
        )


def _check_smallest(name: str, dims: Sequence[int | Size], symbols: Mapping[str, Symbol]) -> None:
    """Raise ModelError where a dimension may have less than no elements."""
    for index, size in enumerate(dims):
        used = sorted(size.names) if isinstance(size, Size) else []
        for ends in itertools.product(*((symbols[n].least, symbols[n].most) for n in used)):
            least = int(value(size, dict(zip(used, ends, strict=True))))
            if least < 0:
                chosen = ", ".join(f"{n}={end}" for n, end in zip(used, ends, strict=True))
                raise ModelError(
                    f"input '{name}' has {least} elements in dimension {index} ('{size}')"
                    f"{f' where {chosen}' if chosen else ''}; sizes are at least 0"
                )
