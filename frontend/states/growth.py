"""States that grow: a run appends to what they hold, in place.

Where a model concatenates what it is given of the past with what is new, a program has room for all
that the state may hold, and reads its beginning; what is new is written behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import helper

from luthier.schedules import ModelError, Tensor, UnsupportedOperator
from luthier.schedules.ir.size import Size

from ..graph import Array, Graph, Rewriter
from ..onnx.open_shapes import OpenShapes


@dataclass(frozen=True)
class Growth:
    """The state that the input ``name`` is: along ``axis`` it holds as much as the size ``length``
    says; there is room for ``capacity``."""

    name: str
    becomes: str
    axis: int
    length: str
    capacity: int = 0


def growths(pairs: Mapping[str, str], opened: OpenShapes | None) -> tuple[Growth, ...]:
    """Those of the states whose shape is open; raises UnsupportedOperator where that is otherwise
    than along one axis, by a size of their own."""
    found = []
    for name, becomes in pairs.items() if opened else ():
        assert opened is not None
        dims = opened.inputs[name]
        open_ = [(axis, size) for axis, size in enumerate(dims) if isinstance(size, Size)]
        if not open_:
            continue
        axis, size = open_[0]
        if len(open_) > 1 or size.operands:
            shape = ",".join(map(str, dims))
            raise UnsupportedOperator(
                f"the state '{name}' has the shape {shape}: a state may grow along one axis, by a "
                "size that has a name, and its other sizes must be given"
            )
        if 0 in dims:
            raise UnsupportedOperator(
                f"the state '{name}' has the shape {','.join(map(str, dims))}, which never has "
                "elements: leave it out of the states"
            )
        found.append(Growth(name, becomes, axis, size.operation))
    return tuple(found)


def with_capacities(
    found: Sequence[Growth],
    graph: Graph,
    inputs: Mapping[str, Sequence[int]],
    known: Mapping[str, int],
) -> tuple[Growth, ...]:
    """With room for what the model gives with its largest sizes, whose graph and ``inputs`` these
    are, and for as much as ``known`` says by name; raises ModelError where that is not longer."""
    outputs, complete = dict(graph.outputs), []
    for growth in found:
        after, axis = graph.values[outputs[growth.becomes]], growth.axis
        before = Tensor(tuple(inputs[growth.name]), after.dtype)
        capacity = after.shape[axis] if len(after.shape) == len(before.shape) else 0
        if capacity <= before.shape[axis] or _along(before, axis, capacity) != after:
            raise ModelError(
                f"the state '{growth.name}' is {before} and becomes '{growth.becomes}', which is "
                f"{after}: one that grows becomes longer along axis {axis}, and is else the same"
            )
        complete.append(replace(growth, capacity=max(capacity, known.get(growth.name, 0))))
    return tuple(complete)


def grown(graph: Graph, found: Sequence[Growth]) -> Graph:
    """The graph over states with their whole room; what is appended is the output instead.

    Who reads the past, or the past with what is new, reads that much of the state. An empty past is
    no input of ``graph``. Raises
    UnsupportedOperator where what a state becomes is not a concatenation of it.
    """
    if not found:
        return graph
    inputs, outputs = dict(graph.inputs), dict(graph.outputs)
    appended = {growth.becomes: _new(graph, growth) for growth in found}
    presents = {outputs[growth.becomes]: growth for growth in found}
    names = {growth.name for growth in found}
    others = tuple((name, value) for name, value in graph.inputs if name not in names)
    rewriter = Rewriter(replace(graph, inputs=others))
    states = {}
    for growth in found:
        new = graph.values[appended[growth.becomes]]
        room = _along(new, growth.axis, growth.capacity)
        states[growth.name] = rewriter.input(growth.name, room)
        if growth.name in inputs:
            past = inputs[growth.name]
            rewriter.at[past] = _beginning(rewriter, states[growth.name], graph.values[past])
    for op in graph.ops:
        rewriter.source = op.source
        grows = presents.get(op.result)
        if grows is None or op.result == appended[grows.becomes]:
            rewriter.at[op.result] = rewriter.add(op.node.over(rewriter.at))
        else:
            present = graph.values[op.result]
            rewriter.at[op.result] = _beginning(rewriter, states[grows.name], present)
    ends = ((name, appended.get(name, value)) for name, value in graph.outputs)
    return rewriter.finish([(name, rewriter.at[value]) for name, value in ends])


def empty_pasts(model: onnx.ModelProto, found: Sequence[Growth]) -> dict[str, Array]:
    """Arrays for the inputs of a model with fixed sizes that are states without elements."""
    names = {growth.name for growth in found}
    empty = {}
    for info in model.graph.input:
        shape = tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
        if info.name in names and 0 in shape:
            dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
            empty[info.name] = np.zeros(shape, dtype)
    return empty


def _along(tensor: Tensor, axis: int, size: int) -> Tensor:
    return Tensor((*tensor.shape[:axis], size, *tensor.shape[axis + 1 :]), tensor.dtype)


def _beginning(rewriter: Rewriter, state: int, tensor: Tensor) -> int:
    begin, steps = (0,) * len(tensor.shape), (1,) * len(tensor.shape)
    return rewriter.emit("slice", state, out=tensor, begin=begin, steps=steps)


def _new(graph: Graph, growth: Growth) -> int:
    """The value that is appended."""
    past, present = dict(graph.inputs).get(growth.name), dict(graph.outputs)[growth.becomes]
    if past is None:
        return present  # a concatenation with nothing is none
    op = graph.producer.get(present)
    if op is not None and op.node.op == "concat" and op.node.args[0] == past:
        axis, pieces = op.node.attr("axis"), op.node.args
        if len(pieces) == 2 and axis == growth.axis and pieces[1] != past:
            return pieces[1]
    raise UnsupportedOperator(
        f"the state '{growth.name}' becomes '{growth.becomes}', which is not the concatenation of "
        f"it and of what is new, along axis {growth.axis}: no other way to grow is supported"
    )
