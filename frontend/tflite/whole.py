"""A TensorFlow Lite model as one ONNX model; what it keeps from run to run are states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx
from onnx import helper

from luthier.schedules import UnsupportedOperator

from ..onnx.scopes import every_node
from ..states.pairs import declare_states
from .graph import Graph, Writing, element
from .model import LiteModel, Operation
from .tensors import Tensor

OPSET, IR_VERSION = 21, 10
_BITS_OPSET = 26  # the first that has BitCast
_ML, _ML_OPSET = "ai.onnx.ml", 3


@dataclass(frozen=True)
class _State:
    """Something that is kept: ``after`` is what it holds at the end of a run."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    after: str


def whole(model: LiteModel, write: Callable[[Graph, Operation], None]) -> onnx.ModelProto:
    """The model, whose operations ``write`` writes; raises ModelError and UnsupportedOperator.

    A variable's state is called as it is, that of an operator like the tensor that holds it.
    """
    writing = Writing.of(model, write)
    lasting = writing.variables.lasting
    variables = {name: writing.fresh(name) for name in writing.variables.names}
    main = model.graph(model.main)
    tensors = main.tensors
    read = {number for each in main.operations for number in each.inputs}
    kept = {
        number: writing.fresh(tensor.name or f"tensor_{number}")
        for number, tensor in enumerate(tensors)
        if tensor.is_kept and number in read
    }
    given = {number: name for name, number in model.inputs.items()} | kept
    graph = Graph(writing, model.main, given, variables)
    graph.run()
    states = [_kept(model, tensors[n], name, graph.stored(n)) for n, name in kept.items()]
    for key, name in variables.items():
        if key in lasting:
            found = writing.variables.type(key)
            states.append(_State(name, found.dtype, found.shape, graph.variables[key]))
    if writing.began:
        states.append(_State(writing.began, "bool", (), graph.constant(True, "bool")))
    return _assembled(graph, states)


def _kept(model: LiteModel, tensor: Tensor, name: str, after: str) -> _State:
    sizes = tuple(size for size in tensor.shape if size is not None)
    if len(sizes) < len(tensor.shape):
        raise UnsupportedOperator(
            f"{model.where}: tensor '{tensor.name}' is kept from run to run, and its shape "
            f"{list(tensor.shape)} is open, which is not supported"
        )
    return _State(name, tensor.dtype, sizes, after)


def _assembled(graph: Graph, states: list[_State]) -> onnx.ModelProto:
    writing, model = graph.writing, graph.writing.model
    main = model.graph(model.main)
    inputs, outputs = list[onnx.ValueInfoProto](), list[onnx.ValueInfoProto]()
    for name, number in model.inputs.items():
        graph.check_plain(main.tensors[number])
        inputs.append(_input(name, main.tensors[number]))
    for name, number in model.outputs.items():
        kind = element(main.tensors[number].dtype)
        graph.nodes.append(helper.make_node("Identity", [graph.stored(number)], [name]))
        outputs.append(helper.make_tensor_value_info(name, kind, None))
    pairs: dict[str, str] = {}
    for state in states:
        pairs[state.name] = writing.fresh(f"{state.name}_next")
        graph.nodes.append(helper.make_node("Identity", [state.after], [pairs[state.name]]))
        kind = element(state.dtype)
        inputs.append(helper.make_tensor_value_info(state.name, kind, state.shape))
        outputs.append(helper.make_tensor_value_info(pairs[state.name], kind, state.shape))
    weights = list(writing.initializers.values())
    made = helper.make_graph(graph.nodes, "tflite", inputs, outputs, weights)
    has_bits = any(node.op_type == "BitCast" for node in every_node(graph.nodes))
    imports = [helper.make_opsetid("", _BITS_OPSET if has_bits else OPSET)]
    if writing.tables:
        imports.append(helper.make_opsetid(_ML, _ML_OPSET))
    whole = helper.make_model(made, opset_imports=imports, ir_version=IR_VERSION)
    declare_states(whole, pairs)
    return whole


def _input(name: str, tensor: Tensor) -> onnx.ValueInfoProto:
    """An input, whose first dimension is the batch where it is open."""
    names = ["batch", *(f"{name}_{i}" for i in range(1, len(tensor.shape)))]
    shape = [
        named if size is None else size for named, size in zip(names, tensor.shape, strict=False)
    ]
    return helper.make_tensor_value_info(name, element(tensor.dtype), shape)
