"""A model with its inputs and how it is built: what a find is, on disk too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .values import Array

IR_VERSION = 10

MICROSOFT = "com.microsoft"
FINDERS = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})

Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Setting:
    """How a case is built; ``schedules`` seeds the choice of schedules, 0 takes the defaults.

    ``apart``: as an entry point of its own, not as a part of one that has all of a batch.
    """

    level: str = "x86-64-v2"
    threads: int = 1
    accuracy: str = "strict"
    schedules: int = 0
    apart: bool = False


@dataclass(frozen=True)
class Port:
    """An output as the model declares it."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """``nodes`` in order; ``inputs`` at run time and ``constants``, by name; ``seed`` names it.

    ``sizes`` are named: ``1..8`` or ``1,4,8`` by name. By input ``dims`` has the name of each
    dimension, empty where it has none; its size in ``inputs`` is one of those.
    """

    nodes: tuple[onnx.NodeProto, ...]
    inputs: Mapping[str, Array]
    constants: Mapping[str, Array]
    outputs: Mapping[str, Port]
    opset: int
    seed: str = ""
    setting: Setting = field(default_factory=Setting)
    sizes: Mapping[str, str] = field(default_factory=dict)
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def at(self, sizes: Sizes) -> Case:
        """The case where named sizes are these: inputs have their elements again and again."""
        inputs = dict(self.inputs)
        for name, dims in self.dims.items():
            for axis, size in ((a, sizes[d]) for a, d in enumerate(dims) if d):
                array = inputs[name]
                inputs[name] = np.take(array, np.arange(size) % array.shape[axis], axis)
        return replace(self, inputs=inputs, sizes={}, dims={})

    @property
    def model(self) -> onnx.ModelProto:
        """The model, which declares every shape, up to sizes that are named."""
        graph = helper.make_graph(
            list(self.nodes),
            "fuzz",
            [_info(n, str(a.dtype), self._dims(n, a)) for n, a in self.inputs.items()],
            [
                _info(n, p.dtype, [None] * len(p.shape) if self.sizes or self.finds else p.shape)
                for n, p in self.outputs.items()
            ],
            [numpy_helper.from_array(a, n) for n, a in self.constants.items()],
        )
        opsets = opsets_of(self.nodes, self.opset)
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)

    def _dims(self, name: str, array: Array) -> list[int | str]:
        names = self.dims.get(name, ("",) * array.ndim)
        return [each or size for each, size in zip(names, array.shape, strict=True)]

    @property
    def operators(self) -> list[str]:
        """Names, one for each node, those of graphs inside of nodes, too."""
        return [operator_name(node) for node in every(self.nodes)]

    @property
    def finds(self) -> bool:
        """Whether a run may find how large something is, such as what a loop keeps."""
        return not (FINDERS | {"Loop"}).isdisjoint(self.operators)

    def save(self, folder: Path) -> None:
        """As ``model.onnx``, ``inputs.npz`` and ``case.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(self.model, folder / "model.onnx")
        np.savez(folder / "inputs.npz", **dict(self.inputs))  # type: ignore[arg-type]
        known = {"seed": self.seed, **asdict(self.setting)}
        if self.sizes:
            known |= {"sizes": dict(self.sizes), "dims": dict(self.dims)}
        text = json.dumps(known, indent=1)
        (folder / "case.json").write_text(text + "\n")

    @staticmethod
    def load(folder: Path) -> Case:
        """What ``save`` wrote."""
        model = onnx.load(folder / "model.onnx")
        with np.load(folder / "inputs.npz") as arrays:
            inputs = {i.name: arrays[i.name] for i in model.graph.input}
        known = json.loads((folder / "case.json").read_text())
        dims = {name: tuple(each) for name, each in known.pop("dims", {}).items()}
        return Case(
            nodes=tuple(model.graph.node),
            inputs=inputs,
            constants={i.name: numpy_helper.to_array(i) for i in model.graph.initializer},
            outputs={o.name: _port(o) for o in model.graph.output},
            opset=next(o.version for o in model.opset_import if not o.domain),
            seed=known.pop("seed"),
            sizes=known.pop("sizes", {}),
            dims=dims,
            setting=Setting(**known),
        )


def every(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """All nodes, those of graphs inside of nodes, too."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from every(attribute.g.node)


def operator_name(node: onnx.NodeProto) -> str:
    """With its domain, where that is not the standard's."""
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def opsets_of(nodes: Iterable[onnx.NodeProto], opset: int) -> list[onnx.OperatorSetIdProto]:
    """Of all domains that nodes have."""
    domains = {node.domain for node in every(nodes)} - {""}
    others = [helper.make_opsetid(domain, 1) for domain in sorted(domains)]
    return [helper.make_opsetid("", opset), *others]


def reads(node: onnx.NodeProto) -> list[str]:
    """The names of its inputs, '' of those that are left out, and then of what graphs inside of it
    read from around."""
    around = (n for a in node.attribute if a.type == a.GRAPH for n in _around(a.g))
    return [*node.input, *dict.fromkeys(n for n in around if n not in node.input)]


def _around(graph: onnx.GraphProto) -> list[str]:
    own = {"", *(i.name for i in graph.input), *(t.name for t in graph.initializer)}
    found = []
    for node in graph.node:
        found += [name for name in reads(node) if name not in own]
        own.update(node.output)
    return found + [output.name for output in graph.output if output.name not in own]


def _info(name: str, dtype: str, dims: Sequence[int | str | None]) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, element, dims)


def _port(info: onnx.ValueInfoProto) -> Port:
    tensor = info.type.tensor_type
    dtype = str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return Port(dtype, tuple(d.dim_value for d in tensor.shape.dim))
