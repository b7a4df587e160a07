"""From an ONNX model with control flow to one program."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from copy import deepcopy

import onnx
from onnx import TensorProto

from luthier.schedules import ModelError, Tensor, UnsupportedOperator

from ..graph import Array
from ..onnx.declared import warn_declared
from ..onnx.element_types import dtype_name
from ..onnx.fold_shapes import FOLDABLE
from ..onnx.functions import all_spelled, local_functions_expanded, operators_expanded
from ..onnx.microsoft.expansion import cuts_expanded, without_spelled
from ..onnx.operators import SUPPORTED
from ..onnx.opset import operator_name, opset_of
from ..onnx.scopes import depth, every_node
from ..onnx.strip_weights import constant_tensor
from ..onnx.unsupported import check_operators
from ..program import Argument, Program
from .assembly import Assembly
from .decisive import SPELLED
from .found_sizes import FoundSizes
from .parts import Absent, Held, Listed, Maybe, Parts, Straight
from .regions import Regions
from .results import values_of
from .stages import is_cut

# Of nodes that are control flow: each part of a model takes its time to import.
_MOST, _DEEPEST = 1000, 16
_ROOM, _TIMES = 512 << 20, 8  # bytes of constants: this much, and so many times the model's


def import_regions(
    model: onnx.ModelProto, straight: Straight, sizes: FoundSizes, given: Mapping[str, Array]
) -> Program:
    """The program of a model with control flow; raises ModelError and UnsupportedOperator.

    ``straight`` imports a model without, some of whose inputs are constants; ``sizes`` are those
    that its runs find. Inputs that are ``given`` are constants: a part that reads these arrays in
    each of several imports is imported once.
    """
    whole = model
    if model.functions:
        whole = onnx.ModelProto()
        whole.CopyFrom(model)
        nodes = [deepcopy(node) for node in local_functions_expanded(model)]
        del whole.functions[:], whole.graph.node[:]
        whole.graph.node.extend(nodes)
    whole = _with_control_spelled(whole)
    _check_size(whole)
    try:
        return _program(whole, straight, sizes, given)
    except UnsupportedOperator as error:
        if error.operators:  # of one part: those of the others are reported, too
            _check_operators(whole, given)
        raise


def _with_control_spelled(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, without operators that are spelled by control flow; but with those whose shapes
    values decide."""
    model = cuts_expanded(model)
    known = SUPPORTED.union(SPELLED)
    names = all_spelled(model) - known
    if names.isdisjoint(map(operator_name, model.graph.node)):
        return model
    spelled = onnx.ModelProto()
    spelled.CopyFrom(model)
    return operators_expanded(spelled, known, lambda body: any(map(is_cut, body.node)))


def _program(
    model: onnx.ModelProto, straight: Straight, sizes: FoundSizes, given: Mapping[str, Array]
) -> Program:
    held = model.ByteSize() + sum(array.nbytes for array in given.values())
    graph, assembly = model.graph, Assembly(_ROOM + _TIMES * held)
    parts = Parts(model, straight, assembly, sizes)
    asked = (info for info in graph.input if info.name not in given)
    inputs = [(info.name, _input(info, assembly)) for info in asked]
    known = {name: assembly.constant(array) for name, array in given.items()}
    outputs = [output.name for output in graph.output]
    regions = Regions(parts, assembly, sizes, opset_of(model))
    steps, results = regions.region(graph, ChainMap(), outputs, dict(inputs) | known)
    gives, named = list[Argument](), list[tuple[str, int]]()
    for output, held in zip(graph.output, results, strict=True):
        if isinstance(held, int):
            gives.append(Argument(output.name))
            named.append((output.name, held))
            if output.name not in parts.compared and not sizes.symbols:
                warn_declared(output, assembly.type(held))
            continue
        where = f"output '{output.name}'"
        more, listed = regions.sequences.listed(held, output.name, where)
        steps += more
        gives.append(_argument(output.name, listed))
        named += zip(gives[-1].tensors, values_of(listed), strict=True)
    if not named:
        raise UnsupportedOperator("the model gives no tensor: its outputs are empty")
    if len(dict(named)) < len(named) and not all(each.is_tensor for each in gives):
        raise ModelError("a tensor of a sequence has the name of another output: rename one")
    arguments = () if all(each.is_tensor for each in gives) else tuple(gives)
    return assembly.finish(graph.name or "model", inputs, named, steps, arguments)


def _argument(name: str, held: Held) -> Argument:
    if isinstance(held, Absent):
        return Argument(name, absent=True)
    kept = held.held if isinstance(held, Maybe) else held
    count = len(kept.values) if isinstance(kept, Listed) else None
    return Argument(name, count, optional=isinstance(held, Maybe))


def _input(info: onnx.ValueInfoProto, assembly: Assembly) -> int:
    tensor, where = info.type.tensor_type, f"input '{info.name}'"
    shape = tuple(d.dim_value for d in tensor.shape.dim)
    return assembly.value(Tensor(shape, dtype_name(tensor.elem_type, where)), where)


def _check_operators(model: onnx.ModelProto, given: Mapping[str, Array]) -> None:
    flat = onnx.ModelProto(opset_import=model.opset_import)
    for node in every_node(model.graph.node):
        if constant_tensor(node) is not None:  # which may be large
            flat.graph.initializer.add(name=node.output[0])
        elif not is_cut(node):
            flat.graph.node.append(node)
    names = (*given, *(t.name for t in model.graph.initializer))
    flat.graph.initializer.extend(TensorProto(name=name) for name in names)
    check_operators(without_spelled(flat), SUPPORTED | all_spelled(model), FOLDABLE)


def _check_size(model: onnx.ModelProto) -> None:
    """A small file may ask for much work."""
    if depth(model.graph.node) > _DEEPEST:
        raise ModelError(f"the model's graphs are nested more than {_DEEPEST} deep")
    found = sum(map(is_cut, every_node(model.graph.node)))
    if found > _MOST:
        raise UnsupportedOperator(
            f"{found} nodes of control flow are not supported; a model may have {_MOST}"
        )
