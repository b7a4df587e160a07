"""What the importer works on: a model without weights and functions, checked, shapes computed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import ModelError, UnsupportedOperator
from luthier.schedules.ir.dtype import DTYPES

from ..graph import Array
from ..graph.emitter import MOST_IN_TABLE
from ..messages import one_line
from .branches import without_decided_branches
from .element_types import dtype_name
from .fold_shapes import FOLDABLE, fold_shapes
from .functions import all_spelled, local_functions_expanded, operators_expanded
from .microsoft.expansion import microsoft_expanded, without_spelled
from .ml.domain import import_domain
from .notes import PartNotes
from .operators import BUILD_TIME, SUPPORTED
from .opset import attributes_of, is_onnx, node_label, opset_of
from .shapes import UNTYPED, with_stand_ins
from .texts import domain as texts
from .unsupported import check_operators

# Larger initializers become inputs of what is left; smaller ones may be shapes, axes, ...
WEIGHT = 1024
_NARROW = ("int8", "uint8")  # of weights, and never of shapes
# What onnx's shape inference says of a node, and operators of which it refuses what is valid.
_INFERENCE_ERROR = re.compile(r"\(op_type:(\w+), node name: (.*?)\): (?:\[\w+\] )?(.*)")
_CHECKED_NODE = re.compile(r"Bad node spec for node\. Name: (.*) OpType: ")
_CHOICES = {
    ("BitShift", "direction"): (b"LEFT", b"RIGHT"),
    ("DepthToSpace", "mode"): (b"DCR", b"CRD"),
    ("Gelu", "approximate"): (b"none", b"tanh"),
    ("GridSample", "mode"): (b"linear", b"bilinear", b"nearest", b"cubic", b"bicubic"),
    ("GridSample", "padding_mode"): (b"zeros", b"border", b"reflection"),
    ("ScatterElements", "reduction"): (b"none", b"add", b"mul", b"max", b"min"),
    ("ScatterND", "reduction"): (b"none", b"add", b"mul", b"max", b"min"),
    ("SpaceToDepth", "mode"): (b"DCR", b"CRD"),
}
_SHORT = frozenset(
    """
        axis axes batch_axis batch_dims blocksize dilations group kernel_shape keepdims num_groups
        output_padding output_shape perm size strides to
    """.split()
)
_FINITE = frozenset("alpha beta bias cubic_coeff_a epsilon gamma lambd".split())
# Inference refuses dimensions of '...' that are stretched, and gives what comes after no types.
_UNSURE, _NO_TYPE = "Einsum", "to have type but instead is null"


class DependsOnDataError(UnsupportedOperator):
    """What must be known at build time, of a straight model at least, depends on its inputs."""


class NeverValidError(ModelError):
    """What breaks the standard's rules, whatever the sizes are."""


def strip_weights(
    model: onnx.ModelProto,
    given: Mapping[str, Array] = MappingProxyType({}),
    notes: PartNotes | None = None,
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A copy of a read model whose large initializers are inputs, and their arrays by name.

    Inputs that are ``given`` are constants, too. Its nodes are named for people, its functions and
    operators of ONNX Runtime's expanded, its shape arithmetic done, and so are branches that it
    decides. ``notes`` get what was known of it. Raises ModelError or UnsupportedOperator.
    """
    model = without_decided_branches(model, stripped, notes)
    light, weights = _without_weights(model, local_functions_expanded(model))
    light = _with_single_numbers(_without_old_group_norms(light))
    spelled = all_spelled(light)
    check_operators(without_spelled(light), SUPPORTED | spelled, FOLDABLE)
    light = microsoft_expanded(light, weights, given)
    _check_equations(light)
    _check_attributes(light)
    try:
        _check(light, says_opset=any(is_onnx(o.domain) for o in model.opset_import))
    except ModelError:
        check_operators(light, SUPPORTED | spelled)  # says more, of what cannot be folded
        raise
    _open_outputs(light.graph)
    light = _expanded(light, notes)
    check_operators(light, SUPPORTED, FOLDABLE)
    light = fold_shapes(light, notes)
    check_operators(light, SUPPORTED)
    _name_nodes(light)
    _check_build_time(light)
    _check_ranges(light)
    return light, weights


def stripped(model: onnx.ModelProto, notes: PartNotes) -> onnx.ModelProto:
    """A model, such as one of conditions, as ``strip_weights`` leaves it."""
    return strip_weights(model, notes=notes)[0]


@dataclass(frozen=True)
class Known:
    """The same of models in which no values that are ``left`` to runs count as known; raises
    UnsupportedOperator for others."""

    left: frozenset[str] = frozenset()

    def __call__(self, model: onnx.ModelProto, notes: PartNotes) -> onnx.ModelProto:
        """A model, such as one of conditions."""
        if any(not self.left.isdisjoint(node.output) for node in model.graph.node):
            raise UnsupportedOperator("a run computes it")
        return stripped(model, notes)


def _expanded(model: onnx.ModelProto, notes: PartNotes | None) -> onnx.ModelProto:
    """Without operators that the standard spells by others, and branches in these that are decided
    by now."""
    model = operators_expanded(model, SUPPORTED)
    if any(node.op_type == "If" and is_onnx(node.domain) for node in model.graph.node):
        model = without_decided_branches(model, stripped, notes)
    return operators_expanded(model, SUPPORTED)


def _without_weights(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The model with these nodes in place of its own."""
    light = onnx.ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import)
    if not any(is_onnx(o.domain) for o in model.opset_import):
        light.opset_import.add(version=opset_of(model))
    graph = light.graph
    graph.name = model.graph.name or "model"
    graph.node.extend(n for n in nodes if constant_tensor(n) is None)
    import_domain(light)
    texts.import_domain(light)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    weights: dict[str, Array] = {}
    names = {i.name for i in model.graph.input}
    named = [(t.name, t) for t in model.graph.initializer]
    named += [(n.output[0], t) for n in nodes if (t := constant_tensor(n)) is not None]
    for name, tensor in named:
        if not name or name in names:
            raise ModelError(f"two values of the model have the same name '{name}'")
        names.add(name)
        what = f"initializer '{name}'"
        dtype = dtype_name(tensor.data_type, what)
        array = array_of(tensor, what)
        if array.size > WEIGHT and (DTYPES[dtype].is_float or dtype in _NARROW):
            weights[name] = array
            graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
        else:
            graph.initializer.append(tensor)
            graph.initializer[-1].name = name
    _open_outputs(graph, typed=True)  # on which onnx's checker insists
    return light, weights


def _open_outputs(graph: onnx.GraphProto, typed: bool = False) -> None:
    """Forget the types of outputs, but of those that are inputs or constants."""
    types = {i.name: i.type for i in graph.input}
    for tensor in graph.initializer:
        types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    for output in graph.output:
        if output.name in types:
            output.type.CopyFrom(types[output.name])
        elif output.type.HasField("tensor_type"):  # what is declared is compared at the end
            output.type.tensor_type.ClearField("shape")
            if not typed:
                output.type.tensor_type.ClearField("elem_type")


def constant_tensor(node: onnx.NodeProto) -> TensorProto | None:
    """The tensor in a Constant node."""
    if node.op_type != "Constant" or not is_onnx(node.domain) or len(node.output) != 1:
        return None
    return next((a.t for a in node.attribute if a.name == "value" and a.HasField("t")), None)


def listed_constant(node: onnx.NodeProto) -> Array | None:
    """The whole numbers in a Constant node that has no tensor."""
    found = next((a for a in node.attribute if a.name in ("value_int", "value_ints")), None)
    return None if found is None else np.array(helper.get_attribute_value(found), np.int64)


def array_of(tensor: TensorProto, what: str) -> Array:
    """A tensor's array; raises ModelError, which says ``what`` it is."""
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:
        raise ModelError(f"{what} has data that does not fit its shape") from error


def _with_single_numbers(model: onnx.ModelProto) -> onnx.ModelProto:
    """A ``Range`` between numbers, in place of lists of one, which onnx refuses where it knows
    them and ONNX Runtime takes."""
    lists = {t.name: t for t in model.graph.initializer if list(t.dims) == [1]}
    read = dict[str, None]()
    for node in model.graph.node:
        if node.op_type == "Range" and is_onnx(node.domain):
            for i, name in enumerate(node.input):
                if name in lists:
                    node.input[i] = f"{name}/number"
                    read[name] = None
    for name in read:
        number = model.graph.initializer.add()
        number.CopyFrom(lists[name])
        number.name = f"{name}/number"
        del number.dims[:]
    return model


def _without_old_group_norms(model: onnx.ModelProto) -> onnx.ModelProto:
    """GroupNormalization of operator sets 18 to 20, which the checker calls deprecated, is an
    instance normalisation of groups: it has a scale and a shift for each."""
    if opset_of(model) >= 21:
        return model
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for number, node in enumerate(nodes):
        whole = len(node.input) == 3 and len(node.output) == 1
        if node.op_type == "GroupNormalization" and is_onnx(node.domain) and whole:
            model.graph.node.extend(_as_instances(node, f"{node.output[0]}/{number}"))
        else:
            model.graph.node.append(node)
    return model


def _as_instances(node: onnx.NodeProto, stem: str) -> list[onnx.NodeProto]:
    attrs = attributes_of(node)
    x, scale, shift = node.input
    sizes = [0, int(attrs.pop("num_groups", 1)), -1]
    split, shape, groups, even = (f"{stem}/{name}" for name in ("split", "shape", "groups", "even"))
    return [
        helper.make_node("Constant", [], [split], value_ints=sizes),
        helper.make_node("Shape", [x], [shape]),
        helper.make_node("Reshape", [x, split], [groups]),
        helper.make_node("InstanceNormalization", [groups, scale, shift], [even], **attrs),
        helper.make_node("Reshape", [even, shape], [node.output[0]], name=node.name),
    ]


def _check_equations(model: onnx.ModelProto) -> None:
    """Einsum's, on some of which onnx's shape inference never ends."""
    term = rb"[A-Za-z]*(\.\.\.)?[A-Za-z]*"
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Einsum" and attribute.name == "equation":
                equation = attribute.s.replace(b" ", b"")
                if not re.fullmatch(rb"%b(,%b)*(->%b)?" % (term, term, term), equation):
                    raise UnsupportedOperator(
                        f"{node_label(node)}: the equation {str(attribute.s)[1:]} is not supported"
                    )


def _check_attributes(model: onnx.ModelProto) -> None:
    """Those that neither onnx nor TVM check, or that end the process in onnx's inference."""
    for node in model.graph.node:
        label = node_label(node)
        for attribute in node.attribute:
            name, numbers = attribute.name, (attribute.i, *attribute.ints)
            if name in _SHORT and max(map(abs, numbers)) >= 2**31:
                raise NeverValidError(f"{label}: its attribute '{name}' is out of all bounds")
            if attribute.s not in _CHOICES.get((node.op_type, name), (attribute.s,)):
                said = f"its attribute '{name}' is '{attribute.s.decode(errors='replace')}'"
                raise NeverValidError(f"{label}: {said}")
            if name in _FINITE and not math.isfinite(attribute.f):
                raise NeverValidError(f"{label}: its attribute '{name}' is {attribute.f}")
            if node.op_type == "Split" and name == "num_outputs" and numbers[0] != len(node.output):
                said = f"it says {numbers[0]} outputs, but has {len(node.output)}"
                raise NeverValidError(f"{label}: {said}")


def _check(model: onnx.ModelProto, says_opset: bool) -> None:
    """Raise ModelError for what breaks the standard's rules on operators, types and shapes."""
    checked = deepcopy(model)
    _name_nodes(checked)
    for output in checked.graph.output:
        if output.type.HasField("tensor_type"):  # the checker insists on a shape, others do not
            output.type.tensor_type.shape.SetInParent()
    taken = f" of operator set {opset_of(model)}, which it does not say but which was taken"
    broken = f"the model is not valid ONNX{'' if says_opset else taken}"
    try:
        onnx.checker.check_model(checked)
    except Exception as error:
        named = _CHECKED_NODE.search(str(error))
        where = f"{named[1]}: " if named else ""
        raise NeverValidError(f"{where}{broken} ({one_line(error)})") from error
    _open_outputs(checked.graph)
    typed = with_stand_ins(checked, UNTYPED)
    try:
        onnx.shape_inference.infer_shapes(typed, check_type=True, strict_mode=True)
    except Exception as error:
        found = _INFERENCE_ERROR.findall(str(error)) or _errors_of_nodes(typed)
        unsure = any(node.op_type == _UNSURE for node in checked.graph.node)
        for op, label, said in found:
            if op != _UNSURE and not (unsure and _NO_TYPE in said):
                raise ModelError(f"{label}: {broken} ({said})") from error
        if not found and not unsure:
            raise ModelError(f"{broken} ({one_line(error)})") from error


def _errors_of_nodes(model: onnx.ModelProto) -> list[tuple[str, str, str]]:
    """What onnx's inference says of nodes where outputs are not the first that it names."""
    inner = onnx.ModelProto()
    inner.CopyFrom(model)
    del inner.graph.output[:]
    try:
        onnx.shape_inference.infer_shapes(inner, check_type=True, strict_mode=True)
    except Exception as error:
        return _INFERENCE_ERROR.findall(str(error))
    return []


def _name_nodes(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.name = node_label(node)


def _check_ranges(model: onnx.ModelProto) -> None:
    """Those that are left are made while building."""
    sizes = {
        v.name: v.type.tensor_type.shape.dim for v in (*model.graph.value_info, *model.graph.output)
    }
    for node in model.graph.node:
        count = math.prod(d.dim_value for d in sizes.get(node.output[0], ()))
        if node.op_type == "Range" and count > MOST_IN_TABLE:
            raise UnsupportedOperator(f"{node.name}: {count} elements are not supported")


def _check_build_time(model: onnx.ModelProto) -> None:
    known = {"", *(t.name for t in model.graph.initializer)}
    for node in model.graph.node:
        for index in BUILD_TIME.get(node.op_type, ()):
            if index < len(node.input) and node.input[index] not in known:
                raise DependsOnDataError(
                    f"{node.name}: its input '{node.input[index]}' depends on the model's inputs, "
                    "but must be known at build time"
                )
