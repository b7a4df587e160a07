"""Nodes of ONNX Runtime's own domain, and optimisers, replaced by those that spell them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import onnx
from onnx import helper

from luthier.schedules import LuthierError, UnsupportedOperator

from ...graph import Array
from ...messages import one_line
from ..opset import is_onnx, node_label, opset_of
from ..optimizers import DOMAIN as TRAINING
from ..optimizers import OPERATORS as OPTIMIZERS
from .operators import DOMAIN, OLD_NORMS, SPELLED
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
    opset = opset_of(model)
    numbers = itertools.count(1)
    left = sum(_spelled(node, opset) is not None for node in model.graph.node)
    while left:
        reason = _expand_once(
            model, ValueTypes(model, opset, {**given, **weights}), numbers, weights
        )
        now = sum(_spelled(node, opset) is not None for node in model.graph.node)
        if now == left:
            raise UnsupportedOperator(str(reason))
        left = now
    return model


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
        return OPTIMIZERS.get(node.op_type)
    since = OLD_NORMS.get(node.op_type, 0) if is_onnx(node.domain) else 0
    return SPELLED[node.op_type] if opset < since else None


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
        call = Spelling(node, opset, types, stem)
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
