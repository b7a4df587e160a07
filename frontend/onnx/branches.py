"""``If`` nodes whose condition is known at build time: the branch that runs takes their place.

A condition may follow from constants and from sizes, which are fixed by now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import LuthierError

from .given import leading_to, read_by
from .notes import PartNotes
from .opset import is_onnx
from .scopes import renamed

Fold = Callable[[onnx.ModelProto, PartNotes], onnx.ModelProto]
_ROUNDS = 64  # of those that others decide, or that are in others
_KEPT, _SMALL = 64, 1 << 20  # models of conditions, and the bytes of one
_ONE_BY_ONE = 16  # conditions that are asked for by themselves where some cannot be known


def without_decided_branches(
    model: onnx.ModelProto, fold: Fold, notes: PartNotes | None = None
) -> onnx.ModelProto:
    """The model, or a copy whose decided ``If`` nodes are the nodes of a branch.

    ``fold`` computes what it can of a model: what is known then is among its initializers.
    ``notes`` get what was known of conditions.
    """
    given, conditions = model, [] if notes is None else notes.conditions
    for _ in range(_ROUNDS):
        decided = _decided(model, fold, conditions)
        if not decided:
            break
        if model is given:
            model = onnx.ModelProto()
            model.CopyFrom(given)
        graph = model.graph
        nodes = [n for node in graph.node for n in _resolved(graph, node, decided)]
        del graph.node[:]
        graph.node.extend(nodes)
    return model


def _decided(model: onnx.ModelProto, fold: Fold, conditions: list[PartNotes]) -> dict[str, bool]:
    """The conditions that are known, by the value's name."""
    wanted = dict.fromkeys(n.input[0] for n in model.graph.node if _is_if(n) and n.input)
    if not wanted:
        return {}
    found = _folded(model, list(wanted), fold, conditions)
    if found is None:
        some = list(wanted)[:_ONE_BY_ONE]
        each = (_folded(model, [name], fold, conditions) or {} for name in some)
        found = {name: value for one in each for name, value in one.items()}
    return found


def _is_if(node: onnx.NodeProto) -> bool:
    return node.op_type == "If" and is_onnx(node.domain)


def _folded(
    model: onnx.ModelProto, names: Sequence[str], fold: Fold, conditions: list[PartNotes]
) -> dict[str, bool] | None:
    """Those of the values that are known; None where what leads to them cannot be computed."""
    made = {o for node in model.graph.node for o in node.output}
    constants = {t.name: t for t in model.graph.initializer}
    found = {n: constants[n] for n in names if n in constants}
    asked = [name for name in names if name in made]
    small = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    small.functions.extend(model.functions)
    small.graph.name = "conditions"
    small.graph.node.extend(leading_to(model.graph.node, asked))
    if asked and not any(_is_if(node) for node in small.graph.node):
        read = read_by(small.graph.node)
        small.graph.input.extend(i for i in model.graph.input if i.name in read)
        small.graph.initializer.extend(t for n, t in constants.items() if n in read)
        small.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.BOOL, None) for name in asked
        )
        text = small.SerializeToString(deterministic=True)
        folded = (_known if len(text) <= _SMALL else _known.__wrapped__)(text, fold)
        if folded is None:
            return None
        known, noted = folded
        conditions.append(noted)
        found |= {t.name: t for t in known if t.name in asked}
    truths = {name: _truth(tensor) for name, tensor in found.items()}
    return {name: truth for name, truth in truths.items() if truth is not None}


@lru_cache(maxsize=_KEPT)
def _known(text: bytes, fold: Fold) -> tuple[tuple[TensorProto, ...], PartNotes] | None:
    """What is known in a model of conditions, and of its nodes; one that is imported at several
    sizes has the same ones each time."""
    notes = PartNotes()
    try:
        return tuple(fold(onnx.ModelProto.FromString(text), notes).graph.initializer), notes
    except LuthierError:
        return None


def _truth(tensor: TensorProto) -> bool | None:
    """None where it is not one: the importer says what is wrong with it."""
    with suppress(Exception):
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.bool_ and array.size == 1:
            return bool(array.item())
    return None


def _resolved(
    graph: onnx.GraphProto, node: onnx.NodeProto, decided: Mapping[str, bool]
) -> Iterator[onnx.NodeProto]:
    """The node; of an ``If`` that is decided the nodes of its branch, under names of their own."""
    if not (_is_if(node) and node.input and node.input[0] in decided):
        yield node
        return
    chosen = "then_branch" if decided[node.input[0]] else "else_branch"
    branch = next((a.g for a in node.attribute if a.name == chosen), onnx.GraphProto())
    stem = next((o for o in node.output if o), node.name)
    made = [o for inner in branch.node for o in inner.output if o]
    names = {name: f"{stem}/{name}" for name in (*made, *(t.name for t in branch.initializer))}
    for tensor in branch.initializer:
        graph.initializer.add().CopyFrom(tensor)
        graph.initializer[-1].name = names[tensor.name]
    for inner in branch.node:
        yield renamed(inner, names)
    for output, value in zip(node.output, branch.output, strict=False):
        if output:
            yield helper.make_node("Identity", [names.get(value.name, value.name)], [output])
