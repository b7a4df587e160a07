"""What a model is told of how many keys its caches have must agree with what its states hold.

A state that grows holds all that there is before the new rows; a run that is told otherwise ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from luthier.schedules import Tensor

from ..onnx.microsoft.caches import is_growing, last_keys
from ..onnx.opset import node_label
from ..program import Expect, Program

_ASKED = "luthier.asked "  # begins the names of outputs that must be 0, before what is said of them
_SAYS = "its keys differ in number from those of its state and its new rows by"


def asking(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with an output for each length that its caches, which grow, are told: how far it is
    from what the states hold."""
    growing = {last_keys(node)[:2]: node for node in model.graph.node if is_growing(node)}
    if not growing:
        return model
    own = onnx.ModelProto()
    own.CopyFrom(model)
    for number, node in enumerate(growing.values()):
        output = f"{_ASKED}{node_label(node)}: {_SAYS}"
        own.graph.node.extend(_apart(node, output, f"{_ASKED}{number} "))
        own.graph.output.append(helper.make_tensor_value_info(output, TensorProto.INT64, ()))
    return own


def _apart(node: NodeProto, output: str, stem: str) -> Iterator[NodeProto]:
    def made(op: str, *inputs: str, result: str = "", **attrs: Any) -> NodeProto:
        names.append(result or f"{stem}{len(names)}")
        return helper.make_node(op, inputs, names[-1:], f"{stem}{op} {len(names)}", **attrs)

    last, past, rows = last_keys(node)
    names: list[str] = []
    for number in (2, 1):  # the dimensions of rows in the past, and in what is new
        place = numpy_helper.from_array(np.array(number))
        yield made("Constant", value=place)
        yield made("Shape", past if number == 2 else rows)
        yield made("Gather", names[-1], names[-2])
    yield made("Add", names[2], names[5])
    yield made("Constant", value=numpy_helper.from_array(np.array(1)))
    yield made("Sub", names[6], names[7])
    yield made("Cast", last, to=TensorProto.INT64)
    yield made("Sub", names[9], names[8])
    yield made("Abs", names[10])
    yield made("ReduceMax", names[11], result=output, keepdims=0)


def expecting(program: Program) -> Program:
    """The program that ends a run, before anything else is done, where such an output is not 0."""
    asked = [(name, value) for name, value in program.outputs if name.startswith(_ASKED)]
    if not asked:
        return program
    zero = len(program.values)
    needed = {value for _, value in asked}
    by_result = {value: step for step in program.steps for value in step.defines}
    waiting = list(needed)
    while waiting:
        for value in program.made_of(waiting.pop()):
            if value in by_result:
                more = set(by_result[value].reads) - needed
                needed |= {value, *more}
                waiting += more
    first = [step for step in program.steps if not needed.isdisjoint(step.defines)]
    expects = (Expect(value, zero, name.removeprefix(_ASKED)) for name, value in asked)
    return replace(
        program,
        values=(*program.values, Tensor((), "int64")),
        constants={**program.constants, zero: np.array(0)},
        outputs=tuple(each for each in program.outputs if each not in asked),
        steps=(*first, *expects, *(step for step in program.steps if step not in first)),
    )
