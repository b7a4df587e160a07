"""A model with its inputs and how it is built: what a find is, on disk too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .values import Array

IR_VERSION = 10


@dataclass(frozen=True)
class Setting:
    """How a case is built; ``schedules`` seeds the choice of schedules, 0 takes the defaults."""

    level: str = "x86-64-v2"
    threads: int = 1
    accuracy: str = "strict"
    schedules: int = 0


@dataclass(frozen=True)
class Port:
    """An output as the model declares it."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """``nodes`` in order; ``inputs`` at run time and ``constants``, by name; ``seed`` names it."""

    nodes: tuple[onnx.NodeProto, ...]
    inputs: Mapping[str, Array]
    constants: Mapping[str, Array]
    outputs: Mapping[str, Port]
    opset: int
    seed: str = ""
    setting: Setting = field(default_factory=Setting)

    @property
    def model(self) -> onnx.ModelProto:
        """The model, which declares every shape."""
        graph = helper.make_graph(
            list(self.nodes),
            "fuzz",
            [_info(n, Port(str(a.dtype), a.shape)) for n, a in self.inputs.items()],
            [_info(n, p) for n, p in self.outputs.items()],
            [numpy_helper.from_array(a, n) for n, a in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)

    @property
    def operators(self) -> list[str]:
        """Names, one for each node."""
        return [node.op_type for node in self.nodes]

    def save(self, folder: Path) -> None:
        """As ``model.onnx``, ``inputs.npz`` and ``case.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(self.model, folder / "model.onnx")
        np.savez(folder / "inputs.npz", **dict(self.inputs))  # type: ignore[arg-type]
        text = json.dumps({"seed": self.seed, **asdict(self.setting)}, indent=1)
        (folder / "case.json").write_text(text + "\n")

    @staticmethod
    def load(folder: Path) -> Case:
        """What ``save`` wrote."""
        model = onnx.load(folder / "model.onnx")
        with np.load(folder / "inputs.npz") as arrays:
            inputs = {i.name: arrays[i.name] for i in model.graph.input}
        known = json.loads((folder / "case.json").read_text())
        return Case(
            nodes=tuple(model.graph.node),
            inputs=inputs,
            constants={i.name: numpy_helper.to_array(i) for i in model.graph.initializer},
            outputs={o.name: _port(o) for o in model.graph.output},
            opset=next(o.version for o in model.opset_import if not o.domain),
            seed=known.pop("seed"),
            setting=Setting(**known),
        )


def _info(name: str, port: Port) -> onnx.ValueInfoProto:
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    return helper.make_tensor_value_info(name, dtype, port.shape)


def _port(info: onnx.ValueInfoProto) -> Port:
    tensor = info.type.tensor_type
    dtype = str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return Port(dtype, tuple(d.dim_value for d in tensor.shape.dim))
