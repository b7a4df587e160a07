"""Nodes whose shape or attributes values decide that a run computes or is given.

Where the model declares the shape of what comes out, that decides, and the run asks whether the
values agree. Else what they say is a size that the run finds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import onnx
from onnx import helper

from luthier.schedules import UnsupportedOperator

from ..graph import Array
from ..onnx.operators import BUILD_TIME
from ..onnx.opset import is_onnx, node_label
from ..onnx.scopes import reads
from ..program import Step
from . import images_by_values as images
from . import places_by_values as places
from . import shapes_by_values as shapes
from . import signals_by_values as signals
from .assembly import Assembly
from .computing import computed as computed_by_run
from .decision import Decision
from .decisive import decisive
from .declared import Dims, Known
from .decoding import decoded, warped
from .dropping import dropped
from .found_sizes import FoundSizes
from .origins import moved_from
from .parts import Parts, Scope
from .resizing import resized
from .settling import settle, settled
from .stages import is_by_rule, is_cut, is_finder
from .varying import is_cut_short, varying_axes

_REDUCTIONS = [name for name in BUILD_TIME if name.startswith("Reduce")]
_RULES: Mapping[str, Callable[[Decision], None]] = {
    "AffineGrid": images.affine_grid,
    "Col2Im": images.of_columns,
    **dict.fromkeys(("BlackmanWindow", "HammingWindow", "HannWindow"), shapes.window),
    "CenterCropPad": shapes.cropped,
    "CumProd": shapes.cumulative,
    "CumSum": shapes.cumulative,
    "ConstantOfShape": shapes.constant_of_shape,
    "DFT": signals.transformed,
    "Dropout": dropped,
    "DynamicTimeWarping": warped,
    "Expand": shapes.expand,
    "ImageDecoder": decoded,
    "MaxUnpool": images.unpooled,
    "MelWeightMatrix": signals.mel_weights,
    "OneHot": shapes.one_hot,
    "Pad": places.pad,
    "Range": places.counted,
    "Reshape": shapes.reshape,
    "Resize": resized,
    "STFT": signals.framed,
    "Slice": places.sliced,
    "Split": places.split,
    "Squeeze": shapes.squeeze,
    "Tile": shapes.tile,
    "TopK": places.top,
    "Unsqueeze": shapes.unsqueeze,
    "Upsample": resized,
    **dict.fromkeys(_REDUCTIONS, shapes.reduce),
}
# Results of these are known where the shapes of their operands are.
_OF_SHAPES = frozenset({"Shape", "Size"})


def decided(
    nodes: Sequence[onnx.NodeProto],
    scope: Scope,
    known: Collection[str],
    computed: Collection[str] = (),
) -> set[str]:
    """The first results of those of the nodes, in order, which such values decide, or which are
    ``computed`` by runs.

    ``known`` are the names in ``scope`` whose numbers are.
    """
    unknown = {name for name in scope if name not in known}
    found = set()
    for node in nodes:
        deciding = [node.input[i] for i in decisive(node) if i < len(node.input)]
        is_computed = node.output[0] in computed
        if is_computed or not unknown.isdisjoint(deciding):
            found.add(node.output[0])
        varies = is_computed or is_cut(node) or not unknown.isdisjoint(reads(node))
        if varies and not (node.op_type in _OF_SHAPES and is_onnx(node.domain)):
            unknown.update(node.output)
    return found


class Deciding:
    """The steps of such nodes."""

    def __init__(self, parts: Parts, assembly: Assembly, sizes: FoundSizes) -> None:
        self._parts, self._assembly, self._sizes = parts, assembly, sizes
        self._short: set[str] = set()
        self._asked: dict[str, Dims] = {}

    def cut_short(self, nodes: Sequence[onnx.NodeProto], scope: Scope) -> set[str]:
        """The first results of those of the main graph's nodes, in order, that take some of what a
        run finds, or pad it to a size; ``steps`` makes theirs, too.
        """
        if len(scope.maps) > 2 or not any(map(is_finder, nodes)):
            return set()
        model, _ = self._parts.model_of(nodes, scope)
        fixed = self._sizes.fixed
        varying = {
            name: found._replace(
                axes=tuple(v and i not in fixed.get(name, ()) for i, v in enumerate(found.axes))
            )
            for name, found in varying_axes(model).items()
        }
        known = partial(self._numbers, scope)
        short = {n.output[0] for n in nodes if is_cut_short(n, varying, known)}
        self._sizes.short |= short
        self._short = set() if self._sizes.plain else short
        return self._short

    def settle_inside(
        self,
        nodes: Sequence[onnx.NodeProto],
        scope: Scope,
        cut: Collection[str],
        declared: Mapping[str, Dims],
        known: Known,
    ) -> tuple[set[str], set[str]]:
        """The same in a loop or branch that finds sizes, and those that are declared to have others
        than it finds, which ``steps`` asks for; and where the numbers come from that decide sizes.
        ``cut`` are the first results of nodes which these decide, and ``known`` tells numbers."""
        sized = {*cut} | {name for node in nodes if is_cut(node) for name in node.output}
        model, _ = self._parts.model_of(nodes, scope, without_sequences=True)
        short, asked = settled(model, sized, declared, known)
        self._short |= short
        self._asked |= asked
        made = {name: node for node in nodes for name in node.output if name}
        told = (n.input[i] for n in nodes if n.output[0] in cut for i in decisive(n) if n.input[i:])
        cuts = short | {n.output[0] for n in nodes if not asked.keys().isdisjoint(n.output)}
        return cuts, moved_from(told, made)

    def _settled(self, node: onnx.NodeProto, scope: Scope) -> Sequence[Step]:
        """The steps that let results of a node have the sizes that they are declared to have."""
        steps = list[Step]()
        for name in node.output if self._sizes.inside else ():
            if name in self._asked:
                same = helper.make_node("Identity", [name], [name], node.name or name)
                own = Decision(same, scope, self._parts, self._assembly, self._sizes, {}, {})
                settle(own, self._asked[name])
                steps += own.steps
        return steps

    def _numbers(self, scope: Scope, name: str) -> Array | None:
        if name not in scope:
            return None
        return self._assembly.known(self._parts.value(name, scope, name))

    def steps(
        self,
        node: onnx.NodeProto,
        scope: Scope,
        declared: Mapping[str, Dims],
        made: Mapping[str, onnx.NodeProto],
    ) -> Sequence[Step]:
        """The steps of one; its results go into ``scope``.


        ``declared`` are the shapes that its graph declares, and ``made`` the nodes that give its
        values, by name.
        """
        decision = Decision(node, scope, self._parts, self._assembly, self._sizes, declared, made)
        open_ = [i for i in decisive(node) if decision.has(i) and decision.known(i) is None]
        if not open_ and node.output[0] in self._sizes.computed:
            return computed_by_run(node, scope, self._parts, self._assembly, self._sizes)
        is_short = bool(self._sizes.symbols) and node.output[0] in self._short
        if not open_ and not is_short and not is_by_rule(node):
            decision.straight({})
            return [*decision.steps, *self._settled(node, scope)]
        rule = _RULES.get(node.op_type)
        if rule is None:
            raise UnsupportedOperator(
                f"{node_label(node)}: its input '{node.input[open_[0]]}' depends on the model's "
                "inputs, but must be known at build time"
            )
        rule(decision)
        return decision.steps
