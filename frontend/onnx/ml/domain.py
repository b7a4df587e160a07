"""The domain ai.onnx.ml: its versions, and what of it is taken away when a model is read."""

from __future__ import annotations

import math

import onnx

from ..scopes import every_node

DOMAIN = "ai.onnx.ml"
# Its operator sets: the newest, and the last one that has ensembles of the older kind.
_NEWEST, _OLDER = 5, 3
_OF_OLDER = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
_NAN_KEYS = 4  # since this operator set NaN is a key as any other
_CLASSIFIERS = ("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier")


def is_ml(domain: str) -> bool:
    """Whether an operator is of this domain."""
    return domain == DOMAIN


def import_domain(model: onnx.ModelProto) -> None:
    """Let a model that uses the domain import it: the newest set that has its operators."""
    used = {node.op_type for node in model.graph.node if is_ml(node.domain)}
    if used and not any(is_ml(o.domain) for o in model.opset_import):
        older = used.intersection(_OF_OLDER)
        model.opset_import.add(domain=DOMAIN, version=_OLDER if older else _NEWEST)


def without_wrong_shapes(model: onnx.ModelProto) -> None:
    """Exporters declare one label, however many rows there are: forget that it is one."""
    labels = set()
    for node in model.graph.node:
        if is_ml(node.domain) and node.op_type in _CLASSIFIERS and node.output:
            labels.add(node.output[0])
        elif node.op_type in ("Cast", "Identity") and labels.intersection(node.input):
            labels.update(node.output)
    for output in model.graph.output:
        dims = output.type.tensor_type.shape.dim
        if output.name in labels and [d.dim_value for d in dims] == [1]:
            output.type.tensor_type.ClearField("shape")


def without_keys_never_met(model: onnx.ModelProto) -> None:
    """In older operator sets no element is equal to a key that is NaN: leave it out of encoders."""
    for body, imports in (
        (model.graph, model.opset_import),
        *((function, function.opset_import) for function in model.functions),
    ):
        if not any(is_ml(o.domain) and o.version >= _NAN_KEYS for o in imports):
            for node in every_node(body.node):
                if is_ml(node.domain) and node.op_type == "LabelEncoder":
                    _leave_out_nan(node)


def _leave_out_nan(encoder: onnx.NodeProto) -> None:
    lists = [a for a in encoder.attribute if a.name.startswith(("keys_", "values_"))]
    keys = next((a.floats for a in lists if a.name == "keys_floats"), ())
    met = [i for i, key in enumerate(keys) if not math.isnan(key)]
    if 0 < len(met) < len(keys):
        for each in (a.floats or a.ints or a.strings for a in lists):
            each[:] = [each[i] for i in met if i < len(each)]
