"""Steps of scikit-learn's pipelines that are translated here, not by skl2onnx.

Boosters are, whoever trained them, and what skl2onnx rounds to float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common import _registration, data_types

from luthier.frontend.boosters.booster import Input
from luthier.frontend.onnx.opset import attributes_of
from luthier.schedules import UnsupportedOperator

from .renaming import rename
from .sklearn_steps import STEPS, Writer, widths
from .table_objects import Trained, is_booster, model_of, trained_booster

_POOLS = (
    sklearn_operator_name_map,
    _registration._converter_pool,
    _registration._shape_calculator_pool,
)
_DTYPES = {
    data_types.DoubleTensorType: "float64",
    data_types.FloatTensorType: "float32",
    data_types.Int32TensorType: "int32",
    data_types.Int64TensorType: "int64",
}
_OPTIONS = {"zipmap": [True, False], "nocl": [True, False], "raw_scores": [False]}


@contextmanager
def registered(estimators: list[Any]) -> Iterator[None]:
    """While skl2onnx knows the boosters among estimators; then it knows what it knew."""
    before = [dict(pool) for pool in _POOLS]
    try:
        for kind in {type(each) for each in estimators if is_booster(each)}:
            update_registered_converter(
                kind, f"Luthier{kind.__name__}", _set_types, _convert, options=_OPTIONS
            )  # fmt: skip
        converters, shapes = _POOLS[1:]
        for each in {type(each) for each in estimators}:
            ours = _write if each.__name__ in STEPS else _OURS.get(each.__name__)
            if ours is None:
                continue
            alias = sklearn_operator_name_map[each]
            theirs = converters[alias]
            converters[alias] = _registration.RegisteredConverter(
                partial(ours, theirs), theirs._options
            )
            if ours is _write:
                shapes[alias] = partial(_set_width, shapes[alias])
        yield
    finally:
        for pool, content in zip(_POOLS, before, strict=True):
            pool.clear()
            pool.update(content)


def _set_types(operator: Any) -> None:
    """Of an operator's results: those of a classifier are labels and probabilities."""
    trained, given = trained_booster(operator.raw_operator), operator.inputs[0].type
    rows, targets = given.shape[0], trained.booster.targets
    kind = data_types.DoubleTensorType if _is_double(operator) else data_types.FloatTensorType
    if trained.classes is None:
        operator.outputs[0].type = kind([rows, targets])
        return
    is_text = isinstance(trained.classes[0], str)
    labels = data_types.StringTensorType if is_text else data_types.Int64TensorType
    operator.outputs[0].type = labels([rows])
    operator.outputs[1].type = kind([rows, max(targets, 2)])


def _is_double(operator: Any) -> bool:
    return isinstance(operator.inputs[0].type, data_types.DoubleTensorType)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Put the booster's nodes between an operator's input and its results."""
    source = operator.inputs[0]
    trained = trained_booster(operator.raw_operator)
    dtype = _DTYPES[type(source.type)]
    graph = model_of(trained, Input(source.full_name, dtype, trained.missing)).graph
    _shape_as_others(graph, trained, is_double=_is_double(operator))
    new = {
        value.name: result.full_name
        for value, result in zip(graph.output, operator.outputs, strict=True)
    }
    inner = [
        *(name for node in graph.node for name in node.output),
        *(t.name for t in graph.initializer),
    ]
    for name in inner:
        new.setdefault(name, scope.get_unique_variable_name(f"booster_{name}"))
    rename(graph, new)
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        container.add_initializer(tensor.name, tensor.data_type, list(values.shape), values.ravel())
    for node in graph.node:
        attributes = attributes_of(node)
        container.add_node(
            node.op_type, list(node.input), list(node.output), op_domain=node.domain,
            name=scope.get_unique_operator_name("Booster"), **attributes,
        )  # fmt: skip


def _shape_as_others(graph: onnx.GraphProto, trained: Trained, *, is_double: bool) -> None:
    """Scores have the type of what comes in, and predictions a column for each target."""
    score = graph.node[-1].input[0]
    if trained.classes is None:
        shape = numpy_helper.from_array(
            np.array([-1, trained.booster.targets], np.int64), "columns"
        )
        graph.initializer.append(shape)
        graph.node.insert(
            len(graph.node) - 1, helper.make_node("Reshape", [score, "columns"], ["in_columns"])
        )
        score = "in_columns"
    if is_double:
        cast = helper.make_node("Cast", [score], ["in_double"], to=TensorProto.DOUBLE)
        graph.node.insert(len(graph.node) - 1, cast)
        score = "in_double"
    graph.node[-1].input[0] = score


def _is_written(operator: Any) -> bool:
    """Whether a step is one of ours, of floats."""
    model = operator.raw_operator
    is_float = _DTYPES.get(type(operator.inputs[0].type), "").startswith("float")
    return is_float and STEPS[type(model).__name__][1](model)


def _set_width(otherwise: Callable[[Any], None], operator: Any) -> None:
    """Of the result of a step that is written here: it has the type of what comes in."""
    if not _is_written(operator):
        otherwise(operator)
        return
    given = operator.inputs[0].type
    operator.outputs[0].type = type(given)([given.shape[0], widths(operator.raw_operator)])


def _write(
    otherwise: Callable[[Any, Any, Any], None], scope: Any, operator: Any, container: Any
) -> None:
    """A step that is written here, and others as skl2onnx does them."""
    model, source = operator.raw_operator, operator.inputs[0]
    if not _is_written(operator):
        if getattr(model, "add_indicator", False):
            raise UnsupportedOperator(
                f"scikit-learn's {type(model).__name__} with add_indicator takes floats, of which "
                "NaN are missing, and no column that is missing in all rows"
            )
        otherwise(scope, operator, container)
        return
    write = Writer(scope, container, _DTYPES[type(source.type)])
    write.into(
        operator.outputs[0].full_name,
        STEPS[type(model).__name__][0](write, model, source.full_name),
    )


def _threshold(
    otherwise: Callable[[Any, Any, Any], None], scope: Any, operator: Any, container: Any
) -> None:
    """The class whose probability reaches the threshold, which skl2onnx leaves out."""
    model, (label, shares) = operator.raw_operator, operator.outputs
    if "predict_proba" not in model._get_response_method():
        raise UnsupportedOperator(
            "scikit-learn's TunedThresholdClassifierCV has a threshold of decision_function, and "
            "of predict_proba alone is supported"
        )
    first = SimpleNamespace(full_name=scope.get_unique_variable_name("untuned"), type=label.type)
    inner = SimpleNamespace(
        raw_operator=model, inputs=operator.inputs, outputs=[first, shares],
        input_full_names=operator.input_full_names,
    )  # fmt: skip
    otherwise(scope, inner, container)
    write = Writer(scope, container, "float64")
    classes = list(model.classes_)
    positive = model._curve_scorer._get_pos_label()
    place = 1 if positive is None else classes.index(positive)
    share = write("Gather", shares.full_name, write.constant(place, "int64"), axis=1)
    limit = write.constant(model.best_threshold_)
    reached = write("GreaterOrEqual", write.cast(share, "float64"), limit)
    names = [write.labels([classes[i]]) for i in (place, 1 - place)]
    write.into(label.full_name, write("Where", reached, *names))


def _vectorize(
    otherwise: Callable[[Any, Any, Any], None], scope: Any, operator: Any, container: Any
) -> None:
    """Maps to rows, also where all features are of texts, each a key of its own with its value."""
    names = operator.raw_operator.feature_names_
    is_text = isinstance(names[0], str)
    listed = {"string_vocabulary": list(names)} if is_text else {"int64_vocabulary": list(names)}
    container.add_node(
        "DictVectorizer", operator.input_full_names, operator.output_full_names,
        op_domain="ai.onnx.ml", name=scope.get_unique_operator_name("DictVectorizer"), **listed,
    )  # fmt: skip


_OURS = {"DictVectorizer": _vectorize, "TunedThresholdClassifierCV": _threshold}
