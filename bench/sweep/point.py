"""A point of the sweep: a small model of one kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference

from bench.turns import close, close_when_rounded

Array: TypeAlias = NDArray[Any]

_OPSET = 20


@dataclass(frozen=True)
class Point:
    """ONNX text that makes ``y`` of ``inputs`` (types by name, such as ``float[1,64]``).

    ``constants`` are weights by shape, drawn so that results neither grow nor vanish. Inputs are
    between 0 and 1 where they have to be ``positive``. ``rounded``: an engine may round inputs to 8
    bits, so that outputs differ by as much.
    """

    family: str
    name: str
    nodes: str
    inputs: Mapping[str, str]
    constants: Mapping[str, Sequence[int]] = field(default_factory=dict)
    output: str = "float"
    positive: bool = False
    rounded: bool = False

    def model(self) -> onnx.ModelProto:
        """Of fixed shapes, with seeded weights."""
        takes = ", ".join(f"{kind} {name}" for name, kind in self.inputs.items())
        head = f'<ir_version: 9, opset_import: ["": {_OPSET}]>'
        text = f"{head} point ({takes}) => ({self.output} y) {{ {self.nodes} }}"
        model = onnx.parser.parse_model(text)
        model.graph.output[0].type.tensor_type.ClearField("shape")  # inference knows it
        rng = np.random.default_rng(len(self.nodes))
        for name, shape in self.constants.items():
            terms = max(1, math.prod(shape[1:]) if len(shape) != 2 else shape[0])
            array = (rng.standard_normal(shape) * terms**-0.5).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred)
        return inferred

    def alike(self, some: Array, other: Array) -> bool:
        """Whether two engines' outputs are the same."""
        return (close_when_rounded if self.rounded else close)(some, other)


def floats(*shape: int) -> str:
    """The type of a float32 tensor in ONNX text."""
    return f"float[{','.join(map(str, shape))}]" if shape else "float"


def by(*sizes: int) -> str:
    """Sizes as names have them."""
    return "x".join(map(str, sizes))
