"""Steps of scikit-learn's pipelines that are translated here, not by skl2onnx.

Boosters are, whoever trained them, and what skl2onnx rounds to float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common import _registration, data_types

from luthier.frontend.boosters.booster import Input

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
        for each in {type(each) for each in estimators if type(each).__name__ in _OURS}:
            alias = sklearn_operator_name_map[each]
            convert = partial(_OURS[each.__name__], _registration._converter_pool[alias])
            _registration._converter_pool[alias] = _registration.RegisteredConverter(convert, None)
        for each in {type(each) for each in estimators if type(each).__name__ in STEPS}:
            alias = sklearn_operator_name_map[each]
            converters, shapes = _POOLS[1:]
            convert = partial(_write, converters[alias])
            converters[alias] = _registration.RegisteredConverter(convert, None)
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
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
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
    if not _is_written(operator):
        otherwise(scope, operator, container)
        return
    model, source = operator.raw_operator, operator.inputs[0]
    write = Writer(scope, container, _DTYPES[type(source.type)])
    found = STEPS[type(model).__name__][0](write, model, source.full_name)
    container.add_node(
        "Identity", found, operator.outputs[0].full_name,
        name=scope.get_unique_operator_name("Written"),
    )  # fmt: skip


def _impute(
    otherwise: Callable[[Any, Any, Any], None], scope: Any, operator: Any, container: Any
) -> None:
    """Numbers in place of NaN, in the input's type: ONNX-ML's operator has float32 alone."""
    model, source = operator.raw_operator, operator.inputs[0]
    dtype = _DTYPES.get(type(source.type), "")
    values = np.asarray(model.statistics_)
    is_plain = values.dtype.kind == "f" and not np.isnan(values).any() and not model.add_indicator
    if not (dtype.startswith("float") and is_plain and _is_nan(model.missing_values)):
        otherwise(scope, operator, container)
        return
    given, missing = (scope.get_unique_variable_name(name) for name in ("imputed", "is_missing"))
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    container.add_initializer(given, element, list(values.shape), values.astype(dtype))
    container.add_node(
        "IsNaN", source.full_name, missing, name=scope.get_unique_operator_name("IsNaN")
    )
    container.add_node(
        "Where", [missing, given, source.full_name], operator.outputs[0].full_name,
        name=scope.get_unique_operator_name("Imputed"),
    )  # fmt: skip


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


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and np.isnan(value).item()


_OURS = {"DictVectorizer": _vectorize, "SimpleImputer": _impute}
