"""Estimators and pipelines of scikit-learn as ONNX models, through skl2onnx.

Boosters inside of them are read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from luthier.deploy.maps import SEPARATOR
from luthier.frontend.boosters.booster import ROWS
from luthier.frontend.messages import one_line
from luthier.schedules.errors import LuthierError, ModelError, UnsupportedOperator, UsageError

from .quiet import quiet
from .renaming import rename, rename_outputs
from .table_objects import matrix

_Made = Callable[[Sequence[tuple[str, Any]]], onnx.ModelProto]
_OPSETS = {"": 18, "ai.onnx.ml": 3}
_TENSORS = {
    "float32": "FloatTensorType", "float64": "DoubleTensorType", "int32": "Int32TensorType",
    "int64": "Int64TensorType", "bool": "BooleanTensorType", "str": "StringTensorType",
}  # fmt: skip


def converted(model: Any, example_inputs: Any) -> onnx.ModelProto:
    """The ONNX model of an estimator or a pipeline that is fitted.

    Raises UsageError without skl2onnx, ModelError where the estimator is not fitted, and
    UnsupportedOperator, with the step's name, for what skl2onnx does not take.
    """
    try:
        import skl2onnx  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise UsageError(
            f"scikit-learn's {type(model).__name__} needs skl2onnx: pip install 'luthier[sklearn]'"
        ) from error
    if not hasattr(model, "predict") and not hasattr(model, "transform"):
        raise UsageError(f"{_what(model)} neither predicts nor transforms: it is not a model")
    types = _types(model, example_inputs, skl2onnx.common.data_types)
    from .sklearn_converters import registered  # noqa: PLC0415 - imports skl2onnx

    def made(types: Sequence[tuple[str, Any]]) -> onnx.ModelProto:
        found: onnx.ModelProto = skl2onnx.convert_sklearn(
            model, type(model).__name__, types, target_opset=_OPSETS, options=_options(model)
        )
        return found

    with quiet(), registered([each for _, each in steps(model)]):
        try:
            proto = made(types)
        except LuthierError:
            raise
        except Exception as error:
            proto = _in_float32(made, types, skl2onnx.common.data_types)
            if proto is None:
                raise _refusal(model, error) from error
        if not _is_typed(proto):
            proto = _in_float32(made, types, skl2onnx.common.data_types) or proto
    for value in (*proto.graph.input, *proto.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].dim_value:
            dims[0].dim_param = ROWS
    return rename_outputs(proto, _outputs(model, len(proto.graph.output)))


def _is_typed(proto: onnx.ModelProto) -> bool:
    """Whether the types of a model go together, of whose rows nothing is known yet."""
    try:
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
    except Exception as error:
        return re.search("inconsistent type|elem type .*differs|has type", str(error)) is None
    return True


def _in_float32(made: _Made, types: Sequence[tuple[str, Any]], kinds: Any) -> Any:
    """The model over rows in float64 that are rounded first, which skl2onnx takes where it does not
    take others; None where it does not either, or there are no such rows."""
    double, single = kinds.DoubleTensorType, kinds.FloatTensorType
    if not any(isinstance(kind, double) for _, kind in types):
        return None
    rounded = [(n, single(k.shape) if isinstance(k, double) else k) for n, k in types]
    try:
        proto = made(rounded)
    except Exception:
        return None
    wide = {name for name, kind in types if isinstance(kind, double)}
    rename(proto.graph, {name: f"{name}_in_float32" for name in wide})
    for value in proto.graph.input:
        name = value.name.removesuffix("_in_float32")
        if name in wide:
            cast = onnx.helper.make_node("Cast", [name], [value.name], to=TensorProto.FLOAT)
            proto.graph.node.insert(0, cast)
            value.name, value.type.tensor_type.elem_type = name, TensorProto.DOUBLE
    return proto


def _what(model: Any) -> str:
    return f"scikit-learn's {type(model).__name__}"


def _options(model: Any) -> dict[int, dict[str, bool]] | None:
    """Probabilities of classes as an array; those of a mixture's parts are one."""
    has_classes = hasattr(model, "predict_proba") and hasattr(model, "classes_")
    return {id(model): {"zipmap": False}} if has_classes else None


def _outputs(model: Any, count: int) -> Sequence[str]:
    """What the results are called, as far as they have a name of their own."""
    if count == 1:
        chooses = hasattr(model, "get_support")  # columns, whatever else it predicts by them
        return ["prediction" if hasattr(model, "predict") and not chooses else "transformed"]
    return ["label", "probabilities"] if count == 2 and hasattr(model, "predict_proba") else []


def _types(model: Any, example: Any, kinds: Any) -> list[tuple[str, Any]]:
    """Name and skl2onnx's type of each input."""
    vectorizer = _of_maps(model)
    if vectorizer is None:
        return [
            (name, getattr(kinds, _TENSORS[dtype])([None, columns]))
            for name, dtype, columns in _inputs(model, example)
        ]
    names = getattr(vectorizer, "feature_names_", ())
    if not names:
        raise ModelError(f"{_what(vectorizer)} is not fitted: call fit before")
    whole = [isinstance(each, Integral) for each in names]
    if any(whole) and not all(whole):
        raise UnsupportedOperator(
            f"{_what(vectorizer)} has keys that are neither all texts nor all whole numbers"
        )
    if vectorizer.separator != SEPARATOR:
        raise UnsupportedOperator(
            f"{_what(vectorizer)} has the separator {vectorizer.separator!r:.40}, and "
            f"{SEPARATOR!r} alone is supported"
        )
    key = kinds.Int64TensorType([1]) if all(whole) else kinds.StringTensorType([1])
    return [("x", kinds.DictionaryType(key, kinds.FloatTensorType([1])))]


def _of_maps(model: Any) -> Any:
    """The step that takes maps first, if one does; None where there is none."""
    if type(model).__name__ == "DictVectorizer":
        return model
    inner = [each for _, each in getattr(model, "steps", ())[:1]]
    inner += [each[1] for each in getattr(model, "transformer_list", ())]
    return next((found for each in inner if (found := _of_maps(each)) is not None), None)


def _inputs(model: Any, example: Any) -> list[tuple[str, str, int]]:
    """Name, type and number of columns of each input."""
    columns: Any = getattr(example, "columns", None)
    names = [str(each) for each in getattr(model, "feature_names_in_", ())]
    if isinstance(example, Mapping) or (columns is not None and _by_columns(model)):
        keys = list(example) if isinstance(example, Mapping) else list(columns)
        return [_column(str(key), example[key]) for key in keys]
    if _by_columns(model):
        if example is not None or not names:
            raise UsageError(
                f"{_what(model)} takes columns by their names: example_inputs must be a DataFrame "
                "or a mapping of names to columns"
            )
        return [(name, "float32", 1) for name in names]
    count = getattr(model, "n_features_in_", None)
    if example is None:
        if count is None:
            raise ModelError(
                f"{_what(model)} does not say how many columns it takes: fit it, or give "
                "example_inputs"
            )
        return [("x", "float32", int(count))]
    array = matrix(example)
    if count is not None and array.shape[1] != count:
        raise UsageError(f"example_inputs have {array.shape[1]} columns, and the model {count}")
    return [("x", str(array.dtype), array.shape[1])]


def _column(name: str, values: Any) -> tuple[str, str, int]:
    array = np.asarray(values)
    if array.ndim not in (1, 2):
        raise UsageError(f"column '{name}' of example_inputs has {array.ndim} dimensions")
    is_text = array.dtype.kind in "OUST" and all(isinstance(each, str) for each in array.flat)
    dtype = "str" if is_text else str(array.dtype)
    if dtype not in _TENSORS:
        raise UsageError(
            f"column '{name}' of example_inputs is {dtype}; {', '.join(_TENSORS)} can be given"
        )
    return name, dtype, 1 if array.ndim == 1 else array.shape[1]


def steps(model: Any) -> Iterator[tuple[str, Any]]:
    """The estimators that a model is made of, with their names in ``get_params``, itself first."""
    yield "", model
    parameters = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    fitted = getattr(model, "best_estimator_", None)
    if fitted is not None:
        yield from steps(fitted)
    for name, each in parameters.items():
        if hasattr(each, "get_params") and not isinstance(each, type):
            yield name, each


def _by_columns(model: Any) -> bool:
    """Whether some step chooses columns by names."""
    chosen = [
        columns
        for _, each in steps(model)
        if type(each).__name__ == "ColumnTransformer"
        for _, _, columns in getattr(each, "transformers_", each.transformers)
    ]
    each_one = [
        c for columns in chosen for c in (columns if isinstance(columns, list) else [columns])
    ]
    return any(isinstance(each, str) or callable(each) for each in each_one)


def _refusal(model: Any, error: Exception) -> LuthierError:
    """What skl2onnx says, with the estimator that it is about."""
    said = one_line(error)
    if not _is_fitted(model):
        return ModelError(f"{_what(model)} is not fitted: call fit before")
    about = (
        (name, each) for name, each in steps(model) if name and type(each).__name__ in str(error)
    )
    name, found = next(about, ("", model))
    place = f" (step '{name}')" if name else ""
    return UnsupportedOperator(
        f"skl2onnx cannot take {_what(found)}{place}: {said}; leave it out, or do its work before "
        "the model"
    )


def _is_fitted(model: Any) -> bool:
    from sklearn.exceptions import NotFittedError  # noqa: PLC0415 - there, since the object is
    from sklearn.utils.validation import check_is_fitted  # noqa: PLC0415

    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    return True
