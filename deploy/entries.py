"""Entry points as an artifact describes them: sizes, inputs, outputs, steps of each variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.frontend.program import Argument
from luthier.schedules import Tensor
from luthier.schedules.ir.size_text import parse_size
from luthier.schedules.ir.symbol import Symbol

from . import grouping
from .states import StateNote
from .typed import each, integer, mapping, matching, text, whole

TEXT = "text"  # what an element type is called whose elements are rows of bytes
UNRULED = "?"  # a number of a shape that follows no rule which an artifact could tell
_NAME = "[A-Za-z_][A-Za-z0-9_]*"


@dataclass(frozen=True)
class Port:
    """An input or output: its name in the model, and its type where sizes are the largest.

    Where some of its numbers are open, ``dims`` has each number of the shape as it is written over
    the sizes: "768", "tokens", "past+1", or "?". Its numbers stand for ``labels``, if any. One of
    ``text`` has rows of bytes in the last dimension: UTF-8, with zeros after a text's end.
    ``processing`` says in a line what is done to it beside what the model does. Its columns are the
    values of ``keys``, where it stands for maps.
    """

    name: str
    tensor: Tensor
    dims: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    text: bool = False
    processing: str = ""
    keys: tuple[str, ...] | tuple[int, ...] = ()

    @property
    def element(self) -> str:
        """The name of its element type."""
        return TEXT if self.text else self.tensor.dtype

    @property
    def width(self) -> int:
        """The most bytes that one of its texts has."""
        return self.tensor.shape[-1]

    @property
    def shape_texts(self) -> tuple[str, ...]:
        """Each number of the shape, as written over the sizes."""
        return self.dims or tuple(map(str, self.tensor.shape))

    @property
    def type(self) -> str:
        """Its type, over the sizes."""
        return f"{self.element}[{','.join(self.shape_texts)}]"

    def to_json(self) -> dict[str, Any]:
        """The form that manifests have."""
        data: dict[str, Any] = {"name": self.name, "dtype": self.element}
        data |= {"shape": list(self.tensor.shape), "bytes": self.tensor.nbytes}
        data |= {"dims": list(self.dims)} if self.dims else {}
        data |= {"labels": list(self.labels)} if self.labels else {}
        data |= {"keys": list(self.keys)} if self.keys else {}
        return data | ({"processing": self.processing} if self.processing else {})

    @staticmethod
    def from_json(data: Any, sizes: Mapping[str, Symbol]) -> Port:
        """Read ``to_json``'s form from untrusted data; raises ValueError and LuthierError."""
        shape = ",".join(map(str, each(whole, data["shape"])))
        whole(data["bytes"])  # which follows from the type
        is_text = text(data["dtype"]) == TEXT
        tensor = Tensor.parse(f"{'uint8' if is_text else data['dtype']}[{shape}]")
        if is_text and not tensor.shape:
            raise ValueError("an input or output of texts has no room for them")
        dims = each(lambda dim: _dim(dim, sizes), data["dims"]) if "dims" in data else ()
        if "dims" in data and (len(dims) != len(tensor.shape) or all(map(str.isdigit, dims))):
            raise ValueError("the dims of an input or output are not those of its shape")
        labels = each(text, data.get("labels", []))
        if labels and tensor.dtype != "int64":
            raise ValueError("an input or output with labels is not of int64")
        keys = _keys(data.get("keys", []))
        if keys and tensor.shape[1:2] != (len(keys),):
            raise ValueError("the keys of an input are not as many as its columns")
        processing = text(data.get("processing", ""))
        return Port(text(data["name"]), tensor, dims, labels, is_text, processing, keys)


def _keys(listed: Any) -> tuple[str, ...] | tuple[int, ...]:
    if listed and isinstance(listed, list) and isinstance(listed[0], int):
        return each(integer, listed)
    return each(text, listed)


def _dim(value: Any, sizes: Mapping[str, Symbol]) -> str:
    written = text(value)
    if written != UNRULED and str(parse_size(written, sizes)) != written:
        raise ValueError(f"{written[:40]!r} is not how a size is written")
    return written


@dataclass(frozen=True)
class Step:
    """A call: the index of its kernel, and the model's nodes that it computes."""

    kernel: int
    source: str


@dataclass(frozen=True)
class VariantNote:
    """What runs where the sizes are in a box."""

    sizes: tuple[Symbol, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class EntryNote:
    """An entry point; its ``steps`` are those of all variants, one after the other.

    ``found`` are the sizes that a run finds, which may be in its outputs' shapes. Of ``lengths``,
    the sizes that say how much ``states`` hold, an instance keeps count itself. ``takes`` and
    ``gives`` say which inputs and outputs belong together, where some do.
    """

    name: str
    sizes: tuple[Symbol, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    variants: tuple[VariantNote, ...]
    found: tuple[Symbol, ...] = ()
    lengths: tuple[Symbol, ...] = ()
    states: tuple[StateNote, ...] = ()
    takes: tuple[Argument, ...] = ()
    gives: tuple[Argument, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those of all variants; a run does those of the one that its sizes are in."""
        return tuple(step for variant in self.variants for step in variant.steps)

    def to_json(self) -> dict[str, Any]:
        """The form that manifests have."""
        found = {"found": list(map(str, self.found))} if self.found else {}
        kept: dict[str, Any] = {}
        if self.states:
            kept["lengths"] = list(map(str, self.lengths))
            kept["states"] = [state.to_json() for state in self.states]
        if self.takes:
            kept["takes"] = grouping.to_json(self.takes)
        if self.gives:
            kept["gives"] = grouping.to_json(self.gives)
        return {
            **kept,
            "name": self.name,
            "sizes": list(map(str, self.sizes)),
            **found,
            "inputs": [port.to_json() for port in self.inputs],
            "outputs": [port.to_json() for port in self.outputs],
            "variants": [
                {"sizes": list(map(str, v.sizes)), "steps": steps_to_json(v.steps)}
                for v in self.variants
            ],
        }

    @staticmethod
    def from_json(data: Any) -> EntryNote:
        """Read ``to_json``'s form from untrusted data; raises as ``Port.from_json`` does."""
        sizes, lengths = each(_symbol, data["sizes"]), each(_symbol, data.get("lengths", []))
        found = each(_symbol, data.get("found", []))
        named = {size.name: size for size in (*sizes, *lengths)}
        every = named | {size.name: size for size in found}
        if len(every) != len(sizes) + len(lengths) + len(found):
            raise ValueError("two sizes have one name")
        known = {size.name: size for size in lengths}
        states = each(lambda state: StateNote.from_json(state, known), data.get("states", []))
        if len({s.name for s in states}) != len(states) or known.keys() - {
            s.length for s in states
        }:
            raise ValueError("two states have one name, or a length is not a state's")
        variants = each(_variant_from_json, data["variants"])
        if not variants or any([s.name for s in v.sizes] != list(named) for v in variants):
            raise ValueError("the variants of an entry point are not for its sizes")
        inputs = each(lambda port: Port.from_json(port, named), data["inputs"])
        takes = grouping.from_json(data.get("takes", []), [port.name for port in inputs])
        if any(argument.optional for argument in takes):
            raise ValueError("an input is there or not before it runs")
        outputs = each(lambda port: Port.from_json(port, every), data["outputs"])
        return EntryNote(
            name=matching(_NAME, data["name"]),
            sizes=sizes,
            inputs=inputs,
            outputs=outputs,
            variants=variants,
            found=found,
            lengths=lengths,
            states=states,
            takes=takes,
            gives=grouping.from_json(data.get("gives", []), [port.name for port in outputs]),
        )


def _variant_from_json(data: Any) -> VariantNote:
    data = mapping(data)
    return VariantNote(each(_symbol, data["sizes"]), each(step_from_json, data["steps"]))


def _symbol(value: Any) -> Symbol:
    symbol = Symbol.parse(text(value))
    if str(symbol) != value:
        raise ValueError(f"{value[:40]!r} is not how a range of sizes is written")
    return symbol


def steps_to_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The form that manifests have."""
    return [{"kernel": step.kernel, "source": step.source} for step in steps]


def step_from_json(data: Any) -> Step:
    """Read a step from untrusted data; raises ValueError."""
    return Step(whole(data["kernel"]), text(data["source"]))
