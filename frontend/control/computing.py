"""Numbers that follow from sizes, by other rules where these are few than where they are many, such
as the smaller of a size and a number: computed by runs, as other data is."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence

import numpy as np
import onnx

from ..graph import Array
from ..onnx.opset import node_label
from ..onnx.single import run_node
from ..program import Step
from .assembly import Assembly
from .decisive import decisive
from .found_sizes import Computed, FoundSizes
from .origins import Element
from .parts import Parts, Scope

_FEW = 16  # elements


def computed(
    node: onnx.NodeProto, scope: Scope, parts: Parts, assembly: Assembly, sizes: FoundSizes
) -> Sequence[Step]:
    """The steps of a node that could be done now; its results go into ``scope``.

    What it reads are numbers that follow from sizes by rules that are known.
    """
    label, known, inner = node_label(node), dict[str, Array](), dict[str, int]()
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    asked = decisive(node)
    for i, name in enumerate(node.input):
        if not name:
            continue
        value = parts.value(name, scope, label)
        array = assembly.known(value)
        alone.input[i] = given = f"input {i}"
        few = array is not None and array.dtype.kind in "iu" and array.size <= _FEW
        inner[given] = value
        if array is not None and few and i not in asked:
            inner[given] = assembly.table(f"{node.output[0]}/{i} of {value}", array)
        array = sizes.results.get(value) if array is None else array
        if array is not None:
            known[given] = array
    own: Scope = ChainMap({}, {}, dict(inner))
    steps = parts.steps([alone], [o for o in node.output if o], own)
    results = {}
    if len(known) == len(inner):
        model = onnx.ModelProto()
        model.opset_import.add(version=parts.opset)
        results = run_node(model, alone, known) or {}
    for name in filter(None, node.output):
        scope[name] = value = parts.value(name, own, label)
        if name in results:
            sizes.results[value] = results[name]
            _tell(name, value, results[name], sizes)
    return steps


def _tell(name: str, value: int, result: Array, sizes: FoundSizes) -> None:
    """What the numbers of a result are."""
    if result.dtype.kind in "iu" and result.ndim < 2 and result.size <= _FEW:
        for i, number in enumerate(np.atleast_1d(result).tolist()):
            room = max(sizes.computed[name], number) if name in sizes.computed else number
            sizes.numbers[Element(name, i).apart(value)] = Computed(number, room)
