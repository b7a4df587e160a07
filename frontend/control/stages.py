"""A graph cut at its control flow: straight nodes, then control flow, then straight nodes, ..."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import onnx

from ..onnx.given import leading_to
from ..onnx.microsoft.operators import is_cut_when_spelled
from ..onnx.opset import is_onnx, operator_name
from ..onnx.optionals import OPTIONALS
from ..onnx.scopes import every_node, reads

LOOPS = frozenset({"Loop", "Scan"})
SEQUENCES = frozenset(
    """
        SequenceEmpty SequenceConstruct SequenceInsert SequenceAt SequenceErase SequenceLength
        ConcatFromSequence SplitToSequence
    """.split()
)
CONTROL = LOOPS | SEQUENCES | OPTIONALS | {"If"}
FINDERS = frozenset({"NonZero", "Compress", "NonMaxSuppression", "Unique"})
# By their names, with domains: what is found by rules of ``deciding``.
BY_RULES = frozenset({"ImageDecoder", "com.microsoft.DynamicTimeWarping"})


@dataclass(frozen=True)
class Stage:
    """Straight ``nodes`` that come before the nodes of ``control``.

    ``results`` are the values of the straight nodes that others read, ``used`` those of the other
    nodes that are.
    """

    nodes: tuple[onnx.NodeProto, ...]
    control: tuple[onnx.NodeProto, ...]
    results: tuple[str, ...]
    used: frozenset[str]


def is_control(node: onnx.NodeProto) -> bool:
    """Whether a node is control flow, at which a graph is always cut."""
    return node.op_type in CONTROL and is_onnx(node.domain)


def is_finder(node: onnx.NodeProto) -> bool:
    """Whether a result of a node has a size that runs find, unless all it reads is known."""
    return node.op_type in FINDERS and is_onnx(node.domain)


def is_by_rule(node: onnx.NodeProto) -> bool:
    """Whether how large a result is, is found in what the node is given, and ``deciding`` has the
    rule."""
    return operator_name(node) in BY_RULES


def is_cut(node: onnx.NodeProto, decided: Set[str] = frozenset()) -> bool:
    """Whether a graph with control flow or found sizes is cut at a node; so it is at those whose
    first result is among what values have ``decided``."""
    always = is_control(node) or is_finder(node) or is_by_rule(node)
    return always or not decided.isdisjoint(node.output[:1])


def has_control(model: onnx.ModelProto) -> bool:
    """Whether any node of a model is control flow, those of its functions and graphs too."""
    bodies = [model.graph.node, *(function.node for function in model.functions)]
    nodes = (node for body in bodies for node in every_node(body))
    return any(is_control(node) or is_cut_when_spelled(node) for node in nodes)


def may_train(node: onnx.NodeProto) -> bool:
    """Whether a node is a ``Dropout`` that is given a mode, which may be to train."""
    return node.op_type == "Dropout" and is_onnx(node.domain) and any(node.input[2:])


def has_asking(model: onnx.ModelProto) -> bool:
    """Whether a run must ask for a number that a straight model would take as it is: the ratio at
    which a ``Dropout`` drops that may be training, where it is not a constant."""
    nodes = [*model.graph.node, *(n for function in model.functions for n in function.node)]
    constants = {"", *(t.name for t in model.graph.initializer)}
    constants.update(o for node in nodes if node.op_type == "Constant" for o in node.output)
    return any(may_train(node) and node.input[1] not in constants for node in nodes)


def stages(
    nodes: Sequence[onnx.NodeProto], wanted: Sequence[str], decided: Set[str] = frozenset()
) -> Iterator[Stage]:
    """The nodes, in order, that ``wanted`` values need, in as few stages as there can be.

    They are cut at those with ``decided`` results, too.
    """
    level: dict[str, int] = {}  # the first stage whose straight nodes may read a value
    straight: dict[int, list[onnx.NodeProto]] = {}
    control: dict[int, list[onnx.NodeProto]] = {}
    for node in leading_to(nodes, wanted):
        at = max((level.get(name, 0) for name in reads(node)), default=0)
        cut = is_cut(node, decided)
        (control if cut else straight).setdefault(at, []).append(node)
        level |= dict.fromkeys(node.output, at + cut)
    last = max((*straight, *control), default=-1)
    read: dict[str, int] = {}  # when last: in stage i at 2 i by straight nodes, then by the others
    for at in range(last + 1):
        for time, some in ((2 * at, straight), (2 * at + 1, control)):
            for node in some.get(at, ()):
                read |= dict.fromkeys(reads(node), time)
    read |= dict.fromkeys(wanted, 2 * last + 2)
    for at in range(last + 1):
        own, others = straight.get(at, ()), control.get(at, ())
        results = (o for node in own for o in node.output if read.get(o, -1) > 2 * at)
        used = (o for node in others for o in node.output if read.get(o, -1) > 2 * at + 1)
        yield Stage(tuple(own), tuple(others), tuple(results), frozenset(used))
