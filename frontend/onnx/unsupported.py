"""Operators that Luthier does not compile: reported all at once, with what to do about them."""

from __future__ import annotations

from collections.abc import Collection

import onnx

from luthier.schedules import UnsupportedOperator

from .ml.domain import DOMAIN, is_ml
from .operators import operator_of
from .opset import operator_name
from .optimizers import DOMAIN as TRAINING
from .texts.domain import is_text

# As many are listed in the message; the error's field has them all.
_LISTED = 8

_OF_SHAPES = ("Shape", "Size")
_TRAINING = "export for inference"
_FUSED = "export without ONNX Runtime's fusions"
_DOMAIN = "give functions for what is of another domain, or export by ONNX's own operators"
_OTHERS = "express them by other operators when exporting"


def check_operators(
    model: onnx.ModelProto, known: Collection[str], foldable: Collection[str] = ()
) -> None:
    """Raise UnsupportedOperator for all that are not the default domain's ``known`` ones.

    Others that are ``foldable`` are not a reason for it, but are reported too where they work on
    values of run time.
    """
    if not all(_is_known(n, {*known, *foldable}) for n in model.graph.node):
        _refuse(model, known, _constants(model, {*known, *foldable}))


def _is_known(node: onnx.NodeProto, known: Collection[str]) -> bool:
    """One of ``known`` of the default domain, or of ONNX-ML's and our own that are imported."""
    if is_ml(node.domain) or is_text(node.domain):
        return operator_of(node) is not None
    return operator_name(node) in known


def _constants(model: onnx.ModelProto, operators: Collection[str]) -> frozenset[str]:
    """The values that are known at build time, by the operators that these come of."""
    found = {"", *(t.name for t in model.graph.initializer)}
    for node in model.graph.node:
        if operator_name(node) in operators and (
            node.op_type in _OF_SHAPES or found.issuperset(node.input)
        ):
            found.update(node.output)
    return frozenset(found)


def _refuse(model: onnx.ModelProto, known: Collection[str], constants: frozenset[str]) -> None:
    missing: dict[str, list[str]] = {}
    for node in model.graph.node:
        if constants.issuperset(node.output):
            continue
        name = operator_name(node)
        if not _is_known(node, known):
            label = node.name or next((o for o in node.output if o), "")
            missing.setdefault(name, []).append(label)
    listed = [_listed(name, nodes) for name, nodes in list(missing.items())[:_LISTED]]
    rest = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
    plural = "operators are" if len(missing) > 1 else "operator is"
    advice = "; ".join(dict.fromkeys(map(_advice, missing)))
    raise UnsupportedOperator(
        f"{len(missing)} {plural} not supported: {', '.join(listed)}{rest}: {advice}",
        {name: tuple(nodes) for name, nodes in missing.items()},
    )


def _listed(name: str, nodes: list[str]) -> str:
    count = "1 node," if len(nodes) == 1 else f"{len(nodes)} nodes, first"
    return f"{name} ({count} '{nodes[0]}')"


def _advice(operator: str) -> str:
    domain, _, _ = operator.rpartition(".")
    if domain == TRAINING:
        return _TRAINING
    if domain == DOMAIN:
        return _OTHERS
    if domain.startswith("com.microsoft"):
        return _FUSED
    return _DOMAIN if domain else _OTHERS
