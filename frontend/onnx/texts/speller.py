"""What spelling a node needs: what stands for its texts, what is known of the rest, and where its
own nodes are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import UnsupportedOperator

from ...graph import Array
from ..ml.domain import is_ml
from ..opset import attributes_of, is_onnx, node_label
from .domain import DOMAIN
from .values import Lookup, Numbers, Rows, Texts, table

Value: TypeAlias = "Numbers | Rows"
Types: TypeAlias = "Mapping[str, onnx.TypeProto]"


@dataclass
class Speller:
    """Writes ``nodes`` and constants of a model's ``graph`` anew.

    ``values`` is what stands for the texts of the model, by name, and ``names`` what that is called
    where it is not as the text. ``ranks`` are those of what is made of texts, ``types`` those of
    the model's other values, as far as they are known, and ``constants`` the arrays without texts.
    The graph is in so many ``loops``.
    """

    model: onnx.ModelProto
    graph: onnx.GraphProto
    opset: int
    types: Types
    constants: Mapping[str, onnx.TensorProto]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    loops: int = 0
    _rows: dict[tuple[str, int], str] = field(default_factory=dict)

    def inside(self, graph: onnx.GraphProto, types: Types) -> Speller:
        """What writes a graph of a node, which sees what is around it."""
        tensors = {t.name: t for t in graph.initializer if t.data_type != TensorProto.STRING}
        tensors |= listed_constants(graph)
        return Speller(
            self.model,
            graph,
            self.opset,
            types,
            {**self.constants, **tensors},
            values=dict(self.values),
            names=dict(self.names),
            ranks=dict(self.ranks),
            loops=self.loops,
            _rows=dict(self._rows),
        )

    def constant(self, name: str, array: Array) -> str:
        """A new array; gives its name."""
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def import_ml(self, least: int) -> None:
        """Let the model have operators of this set of ONNX-ML."""
        for opset in self.model.opset_import:
            if is_ml(opset.domain):
                opset.version = max(opset.version, least)

    def rows(self, name: str, width: int) -> str:
        """What is called so a text's rows are, of this width; from numbers by the list's rows."""
        value = self.values[name]
        made = self._rows.get((name, width))
        if made is not None:
            return made
        if isinstance(value, Rows):
            if value.width == width:
                return self.names.get(name, name)
            given = self.names.get(name, name)
        else:
            whole = self.constant(f"{name}/list of texts {width}", table(value.texts))
            given = f"{name}/rows of {width}"
            self.nodes.append(helper.make_node("Gather", [whole, name], [given], axis=0))
        if self.width(name) < width:
            wide = f"{name}/{width} bytes wide"
            self.nodes.append(
                helper.make_node("Widen", [given], [wide], domain=DOMAIN, width=width)
            )
            given = wide
        self._rows[name, width] = given
        return given

    def width(self, name: str) -> int:
        """Of a text's rows."""
        value = self.values[name]
        return value.width if isinstance(value, Rows) else int(table(value.texts).shape[1])


def listed_constants(graph: onnx.GraphProto) -> dict[str, TensorProto]:
    """What a graph's nodes ``Constant`` give, texts aside."""
    found: dict[str, TensorProto] = {}
    for node in graph.node:
        if is_onnx(node.domain) and node.op_type == "Constant":
            found.update((node.output[0], tensor) for tensor in _constants(node))
    return found


def _constants(node: onnx.NodeProto) -> list[TensorProto]:
    found = []
    for attribute in node.attribute:
        if attribute.name == "value" and attribute.t.data_type != TensorProto.STRING:
            found.append(attribute.t)
        if attribute.name == "value_ints":
            found.append(numpy_helper.from_array(np.asarray(attribute.ints, np.int64)))
        if attribute.name == "value_int":
            found.append(numpy_helper.from_array(np.asarray(attribute.i, np.int64)))
    return found


@dataclass
class Site:
    """One node of a model, for which others are written."""

    speller: Speller
    node: onnx.NodeProto
    _made: int = 0

    @cached_property
    def attrs(self) -> Mapping[str, Any]:
        """Its attributes."""
        return attributes_of(self.node)

    @property
    def label(self) -> str:
        """What it is called for people."""
        return node_label(self.node)

    def refuse(self, what: str) -> UnsupportedOperator:
        """The error for something that is not supported."""
        return UnsupportedOperator(f"{self.label}: {what} is not supported")

    # ---- its inputs ----

    def name(self, index: int) -> str:
        """Of an input; "" where it is left out."""
        return str(self.node.input[index]) if index < len(self.node.input) else ""

    def text(self, index: int) -> Value | None:
        """What stands for an input that is a text; None where it is none."""
        return self.speller.values.get(self.name(index))

    @property
    def texts(self) -> list[int]:
        """The inputs that are texts."""
        return [i for i, name in enumerate(self.node.input) if name in self.speller.values]

    def rows(self, index: int, width: int | None = None) -> str:
        """The rows of an input that is a text, as wide as it is or wider."""
        wide = self.width(index)
        return self.speller.rows(self.name(index), wide if width is None else width)

    def width(self, *indices: int) -> int:
        """Of the widest of some inputs, which must be texts."""
        other = next((i for i in indices if self.text(i) is None), None)
        if other is not None:
            raise self.refuse(f"an input {other} that is not a text")
        return max(self.speller.width(self.name(i)) for i in indices)

    def rank(self, index: int) -> int:
        """Dimensions of an input, of a text without its bytes."""
        value = self.text(index)
        if value is None and self.name(index) in self.speller.ranks:
            return self.speller.ranks[self.name(index)]
        shape = self.shape(index) if value is None else None
        found = value.rank if value is not None else None if shape is None else len(shape)
        if found is None:
            raise self.refuse(f"texts beside '{self.name(index)}', whose rank is not known,")
        return found

    def shape(self, index: int) -> list[int | None] | None:
        """The sizes of an input that is not a text, as far as they are known."""
        known = self.known(index)
        return self.declared(index) if known is None else list(known.shape)

    def declared(self, index: int) -> list[int | None] | None:
        """The same of any input, as ONNX's inference has it."""
        kind = self.speller.types.get(self.name(index))
        if kind is None or not kind.tensor_type.HasField("shape"):
            return None
        dims = kind.tensor_type.shape.dim
        return [d.dim_value if d.HasField("dim_value") else None for d in dims]

    def kind(self, index: int) -> int:
        """ONNX's element type of an input that is not a text; 0 where it is not known."""
        tensor = self.speller.constants.get(self.name(index))
        if tensor is not None:
            return int(tensor.data_type)
        kind = self.speller.types.get(self.name(index))
        return 0 if kind is None else int(kind.tensor_type.elem_type)

    def known(self, index: int) -> Array | None:
        """The array of an input that is a constant."""
        tensor = self.speller.constants.get(self.name(index))
        return None if tensor is None else numpy_helper.to_array(tensor)

    # ---- what is written ----

    def constant(self, array: Array) -> str:
        """A new array; gives its name."""
        return self.speller.constant(self._fresh(), array)

    def numbers(self, *numbers: int) -> str:
        """A new list of whole numbers."""
        return self.constant(np.array(numbers, np.int64))

    def emit(
        self, op: str, inputs: Sequence[str], output: str = "", *, domain: str = "", **attrs: Any
    ) -> str:
        """A new node with one result; gives its name."""
        found = output or self._fresh()
        self.speller.nodes.append(
            helper.make_node(op, inputs, [found], self.node.name, domain=domain, **attrs)
        )
        return found

    def text_op(self, op: str, inputs: Sequence[str], output: str = "", **attrs: Any) -> str:
        """One of our own operators."""
        return self.emit(op, inputs, output, domain=DOMAIN, **attrs)

    def copy(self, inputs: Sequence[str], **changed: Any) -> None:
        """The node itself with other inputs and attributes, None for those that it has no more."""
        made = onnx.NodeProto()
        made.CopyFrom(self.node)
        del made.input[:]
        made.input.extend(inputs)
        kept = [a for a in self.node.attribute if a.name not in changed]
        del made.attribute[:]
        made.attribute.extend(kept)
        for name, value in changed.items():
            if value is not None:
                made.attribute.append(helper.make_attribute(name, value))
        self.speller.nodes.append(made)

    def gives(self, index: int, value: Value) -> None:
        """A result is a text."""
        self.speller.values[self.node.output[index]] = value

    def unsqueezed(self, name: str, axis: int) -> str:
        """With a dimension of one more, counted from the start."""
        if self.speller.opset < 13:
            return self.emit("Unsqueeze", [name], axes=[axis])
        return self.emit("Unsqueeze", [name, self.numbers(axis)])

    def sum_of_last(self, name: str, axis: int) -> str:
        """Over the last dimension, which is this one."""
        if self.speller.opset < 13:
            return self.emit("ReduceSum", [name], axes=[axis], keepdims=0)
        return self.emit("ReduceSum", [name, self.numbers(axis)], keepdims=0)

    def place(self, index: int, keys: Texts) -> str:
        """Of each text of an input the number of the first key that it is, or -1."""
        return self.chosen(index, keys, np.arange(len(keys)), np.int64(-1))

    def chosen(self, index: int, keys: Texts, targets: Array, other: Any, output: str = "") -> str:
        """Of each text of an input the target of the first key that it is, or else ``other``."""
        value, whole = self.text(index), np.append(targets, [other]).astype(targets.dtype)
        if output and value is not None and value.rank is not None:
            self.speller.ranks[output] = value.rank
        if isinstance(value, Numbers):
            places = {text: place for place, text in reversed(list(enumerate(keys)))}
            each = whole[[places.get(text, -1) for text in value.texts] or [-1]]
            name = self.speller.names.get(self.name(index), self.name(index))
            return self.emit("Gather", [self.constant(each), name], output, axis=0)
        return self.found(self.rows(index), self.width(index), keys, whole, output)

    def found(self, rows: str, width: int, keys: Texts, whole: Array, output: str = "") -> str:
        """The same of rows; ``whole`` are the targets and what is taken for no key."""
        lookup = Lookup.of(keys, width)
        parts = (lookup.keys, lookup.hashes, lookup.multipliers)
        place = self.text_op("Place", [rows, *map(self.constant, parts)])
        # What is not found is at -1, which is the last.
        order = np.append(lookup.order, -1)
        return self.emit("Gather", [self.constant(whole[order]), place], output, axis=0)

    def _fresh(self) -> str:
        self._made += 1
        return f"{next((o for o in self.node.output if o), '')}/text {self._made}"
