"""Transformers of scikit-learn written by ONNX's operators, as scikit-learn computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

Array = NDArray[Any]
Step = Callable[["Writer", Any, str], str]
"""Writes what a fitted transformer does with a value; gives the result's name."""


@dataclass(frozen=True)
class Writer:
    """Puts nodes into skl2onnx's ``container``; ``dtype`` is that of the step's input."""

    scope: Any
    container: Any
    dtype: str

    def __call__(self, op: str, *inputs: str, **attrs: Any) -> str:
        """A node's first result."""
        result = self._name(op)
        count = 2 if op == "TopK" else 1
        outputs = [result, *(self._name(op) for _ in range(count - 1))]
        name = self.scope.get_unique_operator_name(op)
        self.container.add_node(op, list(inputs), outputs, name=name, **attrs)
        return outputs[-1]

    def constant(self, value: Any, dtype: str = "float64") -> str:
        """A constant."""
        array, name = np.asarray(value, dtype), self._name("constant")
        element = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.container.add_initializer(name, element, list(array.shape), array.ravel())
        return name

    def labels(self, classes: Any) -> str:
        """A constant of a classifier's labels: texts, or whole numbers."""
        array, name = np.asarray(classes), self._name("labels")
        if array.dtype.kind in "OU":
            texts = [str(each).encode() for each in array]
            self.container.add_initializer(name, TensorProto.STRING, [len(texts)], texts)
            return name
        return self.constant(array, "int64")

    def into(self, result: str, x: str) -> None:
        """Give a value a name that others know."""
        self.container.add_node(
            "Identity", [x], [result], name=self.scope.get_unique_operator_name("Written")
        )

    def cast(self, x: str, dtype: str) -> str:
        """In another type."""
        return self("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _name(self, stem: str) -> str:
        return str(self.scope.get_unique_variable_name(stem))


def polynomials(write: Writer, model: Any, x: str) -> str:
    """Each result is a product of some columns, multiplied from the left; ones take no part."""
    powers = np.asarray(model.powers_)
    columns = powers.shape[1]
    factors = [np.repeat(np.arange(columns), row) for row in powers]
    most = max(1, *(len(each) for each in factors))
    places = np.full((most, len(factors)), columns)
    for i, each in enumerate(factors):
        places[: len(each), i] = each
    wide = write("Concat", x, _ones(write, x), axis=1)
    result = ""
    for row in places:
        factor = write("Gather", wide, write.constant(row, "int64"), axis=1)
        result = write("Mul", result, factor) if result else factor
    return result


def _ones(write: Writer, x: str) -> str:
    """One for each row, [rows, 1], whatever that holds."""
    first = write("Gather", x, write.constant([0], "int64"), axis=1)
    missing = write.cast(write("IsNaN", first), write.dtype)
    none = write("Mul", missing, write.constant(0, write.dtype))
    return write("Add", none, write.constant(1, write.dtype))


def imputed_by_neighbours(write: Writer, model: Any, x: str) -> str:
    """What is missing is a mean over the nearest rows that have it, in float64."""
    fitted = np.asarray(model._fit_X, np.float64)
    gone = np.asarray(model._mask_fit_X, bool)
    missing = write("IsNaN", x)
    wide = write.cast(x, "float64")
    given = write("Where", missing, write.constant(0.0), wide)
    there = write.cast(write("Not", missing), "float64")
    known = np.where(gone, 0.0, fitted)
    columns = []
    for column in range(fitted.shape[1]):
        if gone[:, column].all():
            if model.keep_empty_features:
                own = write("Gather", given, write.constant([column], "int64"), axis=1)
                columns.append(own)
            continue
        donors = ~gone[:, column]
        apart = _distances(write, (given, there), known[donors], ~gone[donors])
        mean = _weighted(write, model, apart, fitted[donors, column])
        place = write.constant([column], "int64")
        hole = write("Gather", missing, place, axis=1)
        columns.append(write("Where", hole, mean, write("Gather", wide, place, axis=1)))
    columns += _indicators(write, model, missing, "float64")
    return write.cast(write("Concat", *columns, axis=1), write.dtype)


def _indicators(write: Writer, model: Any, missing: str, dtype: str) -> list[str]:
    """Columns that say what was missing, of those features that had that when it was fitted."""
    if not model.add_indicator or not model.indicator_.features_.size:
        return []
    places = write.constant(model.indicator_.features_, "int64")
    return [write.cast(write("Gather", missing, places, axis=1), dtype)]


def imputed(write: Writer, model: Any, x: str) -> str:
    """Numbers in place of NaN, in the input's type: ONNX-ML's operator has float32 alone."""
    missing = write("IsNaN", x)
    filled = write("Where", missing, write.constant(model.statistics_, write.dtype), x)
    more = _indicators(write, model, missing, write.dtype)
    return write("Concat", filled, *more, axis=1) if more else filled


def is_plain(model: Any) -> bool:
    """Whether NaN is what is missing, and each column has a number instead."""
    values = np.asarray(model.statistics_)
    return values.dtype.kind == "f" and not np.isnan(values).any() and _is_of_nan(model)


def by_largest(write: Writer, model: Any, x: str) -> str:
    """Rows by their largest absolute value; ONNX-ML's operator takes the largest."""
    norm = write("ReduceMax", write("Abs", x), write.constant([1], "int64"))
    least = write.constant(10 * np.finfo(write.dtype).eps, write.dtype)
    norm = write("Where", write("Less", norm, least), write.constant(1, write.dtype), norm)
    return write("Div", x, norm)


def _distances(write: Writer, rows: tuple[str, str], known: Array, there: Array) -> str:
    """Between rows and known ones, [rows, known], over the columns that both have, as if there were
    all; -1 where there are none. Squares."""
    given, present = rows
    have = there.T.astype(np.float64)
    squares = write("MatMul", write("Mul", given, given), write.constant(have))
    others = write("MatMul", present, write.constant((known**2).T))
    products = write("MatMul", given, write.constant(-2 * known.T))
    total = write("Add", write("Add", products, squares), others)
    total = write("Max", total, write.constant(0.0))
    count = write("MatMul", present, write.constant(have))
    none = write("Less", count, write.constant(0.5))
    count = write("Max", count, write.constant(1.0))
    scaled = write("Div", write("Mul", total, write.constant(float(known.shape[1]))), count)
    return write("Where", none, write.constant(-1.0), scaled)


def _weighted(write: Writer, model: Any, apart: str, values: Array) -> str:
    """The mean [rows, 1] of the nearest known ones' values; of all values where none is near."""
    nearest = min(model.n_neighbors, len(values))
    none = write("Less", apart, write.constant(0.0))
    far = write("Where", none, write.constant(np.inf), apart)
    places = write("TopK", far, write.constant([nearest], "int64"), axis=1, largest=0)
    chosen = write("Gather", write.constant(values), places, axis=0)
    near = write("GatherElements", far, places, axis=1)
    no_weight = write("IsInf", near)
    if model.weights == "distance":
        weight = write("Reciprocal", write("Sqrt", near))
        same = write("IsInf", weight)
        any_same = write("ReduceMax", write.cast(same, "float64"), write.constant([1], "int64"))
        exact = write("Greater", any_same, write.constant(0.5))
        weight = write("Where", exact, write.cast(same, "float64"), weight)
    else:
        weight = write.cast(write("Not", no_weight), "float64")
    axes = write.constant([1], "int64")
    total = write("ReduceSum", weight, axes)
    sums = write("ReduceSum", write("Mul", chosen, weight), axes)
    empty = write("Less", total, write.constant(np.finfo(np.float64).tiny))
    mean = write("Div", sums, write("Where", empty, write.constant(1.0), total))
    return write("Where", empty, write.constant(float(values.mean())), mean)


def is_imputed_here(model: Any) -> bool:
    """Whether NaN is what is missing, and weights and distances are scikit-learn's own."""
    own = model.metric == "nan_euclidean" and isinstance(model.weights, str)
    return own and _is_of_nan(model)


def _is_of_nan(model: Any) -> bool:
    return isinstance(model.missing_values, float) and bool(np.isnan(model.missing_values))


def widths(model: Any) -> int:
    """How many columns the result has."""
    return len(model.get_feature_names_out())


STEPS: Mapping[str, tuple[Step, Callable[[Any], bool]]] = {
    "KNNImputer": (imputed_by_neighbours, is_imputed_here),
    "Normalizer": (by_largest, lambda model: model.norm == "max"),
    "PolynomialFeatures": (polynomials, lambda model: True),
    "SimpleImputer": (imputed, is_plain),
}
"""By the transformer's name what writes it, and whether that is for such a one."""
