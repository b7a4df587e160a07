"""Nodes of ONNX Runtime's own domain, and of training's, replaced by those that spell them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import onnx
from onnx import helper, numpy_helper

from luthier.schedules import LuthierError, UnsupportedOperator

from ...graph import Array
from ...messages import one_line
from ..fold_shapes import fold_shapes
from ..gradients import OPERATORS as GRADIENTS
from ..opset import node_label, opset_of
from ..optimizers import DOMAIN as TRAINING
from ..optimizers import OPERATORS as OPTIMIZERS
from .domain import DOMAIN
from .operators import EARLY, SPELLED, is_runtimes_alone
from .spelling import Spelled, Spelling
from .types import UnknownTypeError, ValueTypes

# Of what is made of weights that are packed; a library holds no more.
_MOST_BYTES = 1984 << 20


def microsoft_expanded(
    model: onnx.ModelProto, weights: dict[str, Array], given: Mapping[str, Array]
) -> onnx.ModelProto:
    """The model, changed in place, without what can be spelled by ONNX's own operators.

    Inputs that ``weights`` or ``given`` name are constants; new ones go into ``weights``.

    Some spellings need types, which onnx's inference finds once what comes before is spelled; so
    this goes on while there is something new. Raises ModelError or UnsupportedOperator.
    """
    return _expanded(model, weights, given, lambda each: True)


def cuts_expanded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what is spelled by control flow, or by what finds sizes.

    What else can be spelled is, too, since its types may be needed. Raises as above.
    """
    opset = opset_of(model)
    if not any(each.cuts for node in model.graph.node if (each := _spelled(node, opset))):
        return model
    own, weights = onnx.ModelProto(), dict[str, Array]()
    own.CopyFrom(model)
    _expanded(own, weights, {}, lambda each: each.cuts)
    kept = [info for info in own.graph.input if info.name not in weights]
    del own.graph.input[:]
    own.graph.input.extend(kept)
    own.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
    return own


def _expanded(
    model: onnx.ModelProto,
    weights: dict[str, Array],
    given: Mapping[str, Array],
    must: Callable[[Spelled], bool],
) -> onnx.ModelProto:
    """Raises UnknownTypeError where one that ``must`` be spelled is left."""
    opset, numbers = opset_of(model), itertools.count(1)
    left, before, reason, folded = _left(model, opset), 0, None, False
    while any(map(must, left)):
        if len(left) == before:
            if folded:
                raise UnknownTypeError(str(reason))
            model, folded = fold_shapes(model), True  # which may tell types that are needed
        types = ValueTypes(model, opset, {**given, **weights})
        reason = _expand_once(model, types, numbers, weights)
        left, before = _left(model, opset), len(left)
    return model


def _left(model: onnx.ModelProto, opset: int) -> list[Spelled]:
    return [each for node in model.graph.node if (each := _spelled(node, opset)) is not None]


def without_spelled(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the other nodes alone."""
    opset = opset_of(model)
    other = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    other.graph.initializer.extend(model.graph.initializer)
    other.graph.node.extend(n for n in model.graph.node if _spelled(n, opset) is None)
    return other


def _spelled(node: onnx.NodeProto, opset: int) -> Spelled | None:
    if node.domain == DOMAIN:
        return SPELLED.get(node.op_type)
    if node.domain == TRAINING:
        return OPTIMIZERS.get(node.op_type) or GRADIENTS.get(node.op_type)
    if not is_runtimes_alone(node, opset):
        return None
    return EARLY.get(node.op_type) or SPELLED[node.op_type]


def _expand_once(
    model: onnx.ModelProto,
    types: ValueTypes,
    numbers: itertools.count[int],
    weights: dict[str, Array],
) -> UnsupportedOperator | None:
    """Each node that can be; why the first one that stays does."""
    opset, first = opset_of(model), None
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        spelled = _spelled(node, opset)
        if spelled is None:
            types.follow(node)
            nodes.append(node)
            continue
        stem = f"{node.output[0] if node.output else node.op_type}/{next(numbers)}"
        call = Spelling(node, opset, types, stem, nodes)
        try:
            nodes += spelled.spell(call)
        except UnknownTypeError as error:
            said = f"{node_label(node)}: {error}, which it needs"
            first = first or UnsupportedOperator(said)
            nodes.append(node)
        except LuthierError:
            raise
        except Exception as error:
            said = f"{node_label(node)}: it cannot be converted ({one_line(error)})"
            raise UnsupportedOperator(said) from error
        else:
            _take(model, call.weights, weights)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return first


def _take(model: onnx.ModelProto, made: Mapping[str, Array], weights: dict[str, Array]) -> None:
    """Constants that a node was given become the model's."""
    for name, array in made.items():
        weights[name] = array
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        model.graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    if made and sum(array.nbytes for array in weights.values()) > _MOST_BYTES:
        raise UnsupportedOperator(
            f"weights of more than {_MOST_BYTES >> 20} MiB, once unpacked, are not supported"
        )
