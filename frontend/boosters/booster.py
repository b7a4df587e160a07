"""A model of gradient boosting, whichever library trained it, and the ONNX model that it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import ModelError

from .trees import DOMAIN, DOMAIN_VERSION, Tree, ensemble

OPSET, IR_VERSION = 18, 8
ROWS = "rows"  # what the number of rows is called

# What becomes of sums: LARGEST is the number of the largest, SQUARE has the sum's sign.
IDENTITY, SIGMOID, SOFTMAX, EXP = "identity", "sigmoid", "softmax", "exp"
LARGEST, STEP, SQUARE, SOFTPLUS = "largest", "step", "square", "softplus"


@dataclass(frozen=True)
class Booster:
    """Sums of trees in ``dtype``, for each of ``targets``, and what becomes of them.

    ``slope`` multiplies sums before a sigmoid; sums of ``averaged`` trees are divided by their
    number. ``where`` names the model for messages, ``producer`` the library. A linear booster has
    ``weights`` [features + 1, targets] instead of trees: its sums begin with the last row, and
    missing values add nothing.
    """

    trees: Sequence[Tree]
    features: int
    targets: int
    dtype: str
    transform: str
    where: str
    producer: str
    slope: float = 1.0
    averaged: int = 1
    weights: NDArray[Any] | None = None


@dataclass(frozen=True)
class Input:
    """What a booster's input is: its name, the type of its elements, and the value, if one beside
    NaN does, that stands for a missing one."""

    name: str = "x"
    dtype: str = "float32"
    missing: float = float("nan")


class _Graph:
    """Nodes that are written one after the other."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, value: Any, dtype: str) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def named(self, value: str, name: str) -> None:
        """Let a value be called ``name``, as an output."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))


def prediction(booster: Booster, given: Input) -> onnx.ModelProto:
    """The model of what the library's own booster predicts: ``prediction`` [rows] or, of several
    targets, [rows, targets], float32, of ``given`` [rows, features].

    Raises ModelError for trees that are none.
    """
    graph, sums = _sums(booster, given)
    y = _transformed(graph, sums, booster)
    shape: list[str | int] = [ROWS, booster.targets]
    if booster.targets == 1 or booster.transform == LARGEST:
        y = graph.add("Reshape", y, graph.constant([-1], "int64"))
        shape = shape[:1]
    graph.named(y, "prediction")
    outputs = [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, shape)]
    return _model(booster, given, graph, outputs)


def classification(
    booster: Booster, given: Input, classes: Sequence[int] | Sequence[str], *, exclusive: bool
) -> onnx.ModelProto:
    """The model of what a classifier predicts: the ``label`` [rows] among ``classes``, and
    ``probabilities`` [rows, classes], float32.

    A single target is the second class's. Several that are not ``exclusive`` are answers of their
    own: ``label`` [rows, targets] is 0 or 1 for each. Raises ModelError for trees that are none.
    """
    graph, sums = _sums(booster, given)
    shape: list[str | int] = [ROWS]
    if booster.targets > 1 and exclusive:
        if booster.transform == LARGEST:
            booster = replace(booster, transform=SOFTMAX)
        probabilities = _transformed(graph, sums, booster)
        label = _labels(graph, graph.add("ArgMax", sums, axis=1, keepdims=0), classes)
    else:
        probabilities = _transformed(graph, sums, booster)
        above = graph.add("Greater", probabilities, graph.constant(0.5, "float32"))
        label = graph.add("Cast", above, to=TensorProto.INT64)
        if booster.targets > 1:
            shape = [ROWS, booster.targets]
        else:
            label = graph.add("Reshape", label, graph.constant([-1], "int64"))
            label = _labels(graph, label, classes)
            first = graph.add("Sub", graph.constant(1, "float32"), probabilities)
            probabilities = graph.add("Concat", first, probabilities, axis=1)
    graph.named(label, "label")
    graph.named(probabilities, "probabilities")
    kind = TensorProto.STRING if isinstance(classes[0], str) else TensorProto.INT64
    outputs = [
        helper.make_tensor_value_info("label", kind, shape),
        helper.make_tensor_value_info(
            "probabilities", TensorProto.FLOAT, [ROWS, max(booster.targets, 2)]
        ),
    ]
    return _model(booster, given, graph, outputs)


def _sums(booster: Booster, given: Input) -> tuple[_Graph, str]:
    """A graph, and the sums [rows, targets] in it."""
    graph, x = _Graph(), given.name
    if not np.isnan(given.missing):
        is_missing = graph.add("Equal", x, graph.constant(given.missing, given.dtype))
        x = graph.add("Where", is_missing, graph.constant(np.nan, given.dtype), x)
    if given.dtype != booster.dtype:
        x = graph.add("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(booster.dtype)))
    if booster.weights is not None:
        return graph, _products(graph, x, booster.weights, booster.dtype)
    if not booster.trees:
        raise ModelError(f"{booster.where}: it has no trees: train it first")
    targets, sums = booster.targets, f"sums_{len(graph.nodes)}"
    graph.nodes.append(
        ensemble(booster.trees, targets, booster.features, booster.dtype, x, sums, booster.where)
    )
    if booster.averaged > 1:
        sums = graph.add("Div", sums, graph.constant(booster.averaged, "float32"))
    return graph, sums


def _products(graph: _Graph, x: str, weights: NDArray[Any], dtype: str) -> str:
    """The sums of a linear booster."""
    there = graph.add("Where", graph.add("IsNaN", x), graph.constant(0, dtype), x)
    return graph.add(
        "Gemm", there, graph.constant(weights[:-1], dtype), graph.constant(weights[-1], dtype)
    )


def _transformed(graph: _Graph, y: str, booster: Booster) -> str:
    """What becomes of sums [rows, targets]."""
    if booster.transform == SIGMOID and booster.slope != 1:
        y = graph.add("Mul", y, graph.constant(booster.slope, "float32"))
    return _TRANSFORMS[booster.transform](graph, y)


def _number_of_largest(graph: _Graph, y: str) -> str:
    found = graph.add("ArgMax", y, axis=1, keepdims=0)
    return graph.add("Cast", found, to=TensorProto.FLOAT)


def _step(graph: _Graph, y: str) -> str:
    above = graph.add("Greater", y, graph.constant(0, "float32"))
    return graph.add("Cast", above, to=TensorProto.FLOAT)


_TRANSFORMS: dict[str, Callable[[_Graph, str], str]] = {
    IDENTITY: lambda graph, y: y,
    SIGMOID: lambda graph, y: graph.add("Sigmoid", y),
    SOFTMAX: lambda graph, y: graph.add("Softmax", y, axis=1),
    EXP: lambda graph, y: graph.add("Exp", y),
    LARGEST: _number_of_largest,
    STEP: _step,
    SQUARE: lambda graph, y: graph.add("Mul", y, graph.add("Abs", y)),
    SOFTPLUS: lambda graph, y: graph.add("Softplus", y),
}


def _labels(graph: _Graph, index: str, classes: Sequence[int] | Sequence[str]) -> str:
    """Of places in ``classes`` what stands there."""
    if isinstance(classes[0], str):
        keys = list(range(len(classes)))
        return graph.add(
            "LabelEncoder", index, domain=DOMAIN, keys_int64s=keys, values_strings=list(classes)
        )
    if list(classes) == list(range(len(classes))):
        return index
    return graph.add("Gather", graph.constant(classes, "int64"), index)


def _model(
    booster: Booster, given: Input, graph: _Graph, outputs: Sequence[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(given.dtype))
    x = helper.make_tensor_value_info(given.name, element, [ROWS, booster.features])
    made = helper.make_graph(graph.nodes, booster.producer, [x], outputs, graph.constants)
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)]
    return helper.make_model(made, opset_imports=imports, ir_version=IR_VERSION)
