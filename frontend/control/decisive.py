"""The operands that must be known before a node is compiled, or asked for when it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from ..onnx.operators import BUILD_TIME
from ..onnx.opset import is_onnx
from .stages import may_train

# Of operators that the standard spells by others: the operands that decide a shape.
SPELLED: Mapping[str, tuple[int, ...]] = {
    "BlackmanWindow": (0,),
    "CenterCropPad": (1,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
}
_TRAINING = (1, 2)  # operands of a Dropout that a run must ask for, though no shape follows


def decisive(node: onnx.NodeProto) -> Sequence[int]:
    """The operands that must be known, or asked for, before a node is compiled."""
    if may_train(node):
        return _TRAINING
    found = {**SPELLED, **BUILD_TIME}.get(node.op_type, ())
    return found if is_onnx(node.domain) else ()
