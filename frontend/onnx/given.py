"""What a user fixes of a model at build time: values of inputs, and where it ends."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from luthier.schedules import ModelError
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.ir.size import Size

from ..graph import Array
from .element_types import dtype_name
from .scopes import inner_graphs
from .shapes import with_stand_ins

_SMALL = 64  # elements of a list of sizes
Values = Mapping[str, Any]  # by input: a number, a sequence of them, or an array


def arrays_of(
    model: onnx.ModelProto,
    values: Values,
    shapes: Mapping[str, Sequence[int]],
    varying: Collection[str] = (),
) -> dict[str, Array]:
    """Arrays of the inputs' element types; raises ModelError for what these do not hold.

    Where an input's sizes are known, from ``shapes`` or the model, one number fills it, and so does
    a flat sequence of as many numbers as it has elements. Of inputs whose sizes are ``varying`` it
    is the one number that fills them.
    """
    inputs = {i.name: i.type.tensor_type for i in model.graph.input}
    unknown = next((name for name in values if name not in inputs), None)
    if unknown is not None:
        known = ", ".join(f"'{name}'" for name in inputs) or "none"
        raise ModelError(f"a value is given for '{unknown}', but the model's inputs are: {known}")
    found = {}
    for name, value in values.items():
        sizes = None if name in varying else shapes.get(name) or _sizes(inputs[name])
        found[name] = _array(name, inputs[name], value, sizes)
        if name in varying and found[name].ndim:
            raise ModelError(
                f"the value of input '{name}' has a shape, but the input's sizes are open: give "
                "one number, which fills it, or exact sizes"
            )
    return found


def _sizes(tensor: onnx.TypeProto.Tensor) -> list[int] | None:
    """None where some are open."""
    sizes = [d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim]
    return sizes if tensor.HasField("shape") and min(sizes, default=0) >= 0 else None


def _array(
    name: str, tensor: onnx.TypeProto.Tensor, value: Any, sizes: Sequence[int] | None
) -> Array:
    what = f"the value of input '{name}'"
    if tensor.elem_type == onnx.TensorProto.STRING:
        return _texts(what, value, sizes)
    dtype = dtype_name(tensor.elem_type, f"input '{name}'")
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise ModelError(f"{what} is not an array: its rows differ in length") from error
    if given.dtype.kind not in "iufb":
        raise ModelError(f"{what} is not made of numbers")
    with np.errstate(all="ignore"):
        found = given.astype(DTYPES[dtype].numpy)
        same = (found == given) | ((found != found) & (given != given))
    if not (same.all() or (DTYPES[dtype].is_float and given.dtype.kind == "f")):
        raise ModelError(f"{what} holds {given[~same].flat[0]}, which is not {_kind(dtype)}")
    if sizes is not None and found.ndim == 0:
        return np.broadcast_to(found, sizes)
    if sizes is not None and found.ndim == 1 and found.size == math.prod(sizes):
        return found.reshape(sizes)
    return found


def _texts(what: str, value: Any, sizes: Sequence[int] | None) -> Array:
    """One text fills the input, too."""
    found = np.asarray(value, object)
    if not all(isinstance(each, str) for each in found.flat):
        raise ModelError(f"{what} is not made of texts")
    if sizes is not None and found.ndim == 0:
        return np.broadcast_to(found, sizes)
    return found


def _kind(dtype: str) -> str:
    return {"bool": "true or false (1 or 0)"}.get(dtype, f"a number of type {dtype}")


def make_constants(model: onnx.ModelProto, values: Mapping[str, Array]) -> None:
    """Make initializers of the inputs that have values."""
    kept = [i for i in model.graph.input if i.name not in values]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        for name, array in values.items()
    )
    model.ir_version = max(model.ir_version, 4)  # since when initializers need not be inputs


def fill(
    model: onnx.ModelProto, name: str, value: Array, inputs: Mapping[str, Sequence[int | Size]]
) -> None:
    """Make an input, whose sizes are open, a constant of one number and as large as others say.

    ``inputs`` has all inputs' dimensions. Raises ModelError where no other input has a size of it.
    """
    others = [i.name for i in model.graph.input if i.name != name]
    places = {str(d): (n, i) for n in others for i, d in enumerate(inputs[n])}
    nodes, parts = [], []
    for index, size in enumerate(inputs[name]):
        parts.append(f"{name}/size {index}")
        if isinstance(size, int):
            nodes.append(helper.make_node("Constant", [], parts[-1:], value_ints=[size]))
            continue
        if str(size) not in places:
            raise ModelError(
                f"a value fills input '{name}', but its size '{size}' is not another input's: give "
                f"the size, such as --shape {min(size.names)}=8"
            )
        other, axis = places[str(size)]
        shape, at = f"{name}/shape {index}", f"{name}/axis {index}"
        nodes.append(helper.make_node("Shape", [other], [shape]))
        nodes.append(helper.make_node("Constant", [], [at], value_ints=[axis]))
        nodes.append(helper.make_node("Gather", [shape, at], parts[-1:]))
    whole = f"{name}/shape"
    nodes.append(helper.make_node("Concat", parts, [whole], axis=0))
    number = numpy_helper.from_array(value.reshape(1))
    nodes.append(helper.make_node("ConstantOfShape", [whole], [name], value=number))
    graph = model.graph
    later, kept = list(graph.node), [i for i in graph.input if i.name != name]
    for field, items in ((graph.node, [*nodes, *later]), (graph.input, kept)):
        del field[:]
        field.extend(items)


def cut(model: onnx.ModelProto, outputs: Sequence[str]) -> None:
    """End the model at these values, any that it computes, in this order; raises ModelError.

    Nodes that none of them needs go, and so do inputs that only such nodes read.
    """
    graph = model.graph
    made = {name for node in graph.node for name in node.output if name}
    known = {o.name: o for o in graph.output}
    types = _element_types(model) if any(name not in known for name in outputs) else {}
    twice = next((name for i, name in enumerate(outputs) if name in outputs[:i]), None)
    if twice is not None:
        raise ModelError(f"the output '{twice}' is asked for twice")
    for name in outputs:
        if name not in made and name not in known:
            names = ", ".join(f"'{o.name}'" for o in graph.output)
            raise ModelError(f"the model computes no value '{name}'; its outputs are: {names}")
    before = read_by(graph.node)
    kept = leading_to(graph.node, outputs)
    needed = {*outputs, *read_by(kept)}
    wanted = [known.get(name) or _output(name, types) for name in outputs]
    inputs = [i for i in graph.input if i.name in needed or i.name not in before]
    weights = [t for t in graph.initializer if t.name in needed]
    for field, items in (
        (graph.node, kept),
        (graph.output, wanted),
        (graph.input, inputs),
        (graph.initializer, weights),
    ):
        del field[:]
        field.extend(items)


def _output(name: str, types: Mapping[str, int]) -> onnx.ValueInfoProto:
    if name not in types:
        raise ModelError(f"ONNX does not tell the type of '{name}': end the model elsewhere")
    return helper.make_tensor_value_info(name, types[name], None)


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Of all values whose type onnx's inference knows."""
    found = ((name, kind.tensor_type.elem_type) for name, kind in light_types(model).items())
    return {name: elem_type for name, elem_type in found if elem_type}


def light_types(model: onnx.ModelProto, *, declared: bool = True) -> dict[str, onnx.TypeProto]:
    """The types of all values that onnx's inference knows; large weights are told by theirs.

    Of the others, those that are ``declared`` in the model count.
    """
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _SMALL:  # which may be a shape
            light.graph.initializer.append(tensor)
        else:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            light.graph.input.append(info)
    if declared:
        light.graph.value_info.extend(model.graph.value_info)
    with suppress(Exception):  # of a model that is wrong, which the import says better
        light = onnx.shape_inference.infer_shapes(with_stand_ins(light))
    return {v.name: v.type for v in (*light.graph.input, *light.graph.value_info)}


def leading_to(nodes: Sequence[onnx.NodeProto], values: Sequence[str]) -> list[onnx.NodeProto]:
    """Those of the nodes, which are in order, that these values need."""
    needed, kept = set(values), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= read_by([node])
    return kept[::-1]


def read_by(nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """All values that nodes read, those of graphs inside of them too."""
    found = {name for node in nodes for name in node.input if name}
    for node in nodes:
        for inner in inner_graphs(node):
            found |= read_by(inner.node) | {o.name for o in inner.output}
    return found
