"""Versions of ONNX's operators, and what nodes are called."""

from __future__ import annotations

from typing import Any

import onnx

# Operator sets whose meaning is known here: older ones broadcast otherwise, newer ones may differ.
OLDEST, NEWEST = 7, 28


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard's operators; 0 where the model imports no operators at all.

    A model that imports those of other domains alone has the version of its functions, or else the
    newest, as in ONNX Runtime.
    """
    imports = [*model.opset_import, *(o for f in model.functions for o in f.opset_import)]
    versions = [int(o.version) for o in imports if is_onnx(o.domain)]
    return versions[0] if versions else NEWEST if imports else 0


def is_onnx(domain: str) -> bool:
    """Whether an operator is of the standard's default domain."""
    return domain in ("", "ai.onnx")


def operator_name(node: onnx.NodeProto) -> str:
    """A node's operator, after its domain and a dot where that is not the standard's default."""
    return node.op_type if is_onnx(node.domain) else f"{node.domain}.{node.op_type}"


def node_label(node: onnx.NodeProto) -> str:
    """What a node is called for people: its operator, and its name or else its first result's."""
    return f"{node.op_type} '{node.name or next((o for o in node.output if o), '')}'"


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """What a node's attributes are, by name."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
