"""The cases: models with inputs and the outputs that they should give.

But for those of whole networks, of which only the random ones in ``test_light_models`` come with
onnx; the others would have to be fetched.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from luthier.frontend.onnx.scopes import every_node

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")


@dataclass(frozen=True)
class Run:
    """Inputs by name, and the outputs in the model's order: arrays, lists of arrays, or None."""

    inputs: Mapping[str, Any]
    outputs: Sequence[Any]


@dataclass(frozen=True)
class Case:
    """A case by its kind and name, ``node/test_abs``; ``made`` is onnx's."""

    name: str
    made: Any

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The model, as it comes."""
        if self.made.model is not None:
            found: onnx.ModelProto = self.made.model
            return found
        return onnx.load(Path(self.made.model_dir, "model.onnx"))

    @property
    def runs(self) -> list[Run]:
        """What is given and what is expected, some times."""
        weights = {tensor.name for tensor in self.model.graph.initializer}
        takes = [i for i in self.model.graph.input if i.name not in weights]
        sets = self.made.data_sets
        if sets is None:
            folders = sorted(Path(self.made.model_dir).glob("test_data_set*"))
            gives = self.model.graph.output
            sets = [(_read(f, "input", takes), _read(f, "output", gives)) for f in folders]
        names = [info.name for info in takes]
        return [
            Run(dict(zip(names, map(_array, given), strict=False)), [*map(_array, wanted)])
            for given, wanted in sets
        ]

    @property
    def operators(self) -> set[str]:
        """The names of its operators; of another domain with that before a dot."""
        domains = ((n.domain if n.domain != "ai.onnx" else "", n.op_type) for n in self._nodes)
        return {f"{domain}.{op}" if domain else op for domain, op in domains}

    @property
    def _nodes(self) -> Sequence[onnx.NodeProto]:
        return [*every_node(self.model.graph.node)]


def load_cases() -> dict[str, Case]:
    """All cases by name, in order: those of one operator follow one another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they overflow and divide by zero on purpose
        made = {f"{kind}/{c.name}": c for kind in KINDS for c in load_model_tests(kind=kind)}
    return {name: Case(name, made[name]) for name in sorted(made)}


def _array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _read(folder: Path, kind: str, infos: Sequence[onnx.ValueInfoProto]) -> list[Any]:
    """The values of all files of a kind, of the types of inputs or outputs."""
    count = len(list(folder.glob(f"{kind}_*.pb")))
    return [_parsed((folder / f"{kind}_{i}.pb").read_bytes(), infos[i].type) for i in range(count)]


def _parsed(data: bytes, kind: onnx.TypeProto) -> Any:
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return onnx.TensorProto.FromString(data)
