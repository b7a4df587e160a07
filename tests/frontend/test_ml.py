"""ONNX-ML's other operators mean what ONNX Runtime makes of them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ml_models import FLOAT, INT64, ML, grown, ml_model, ml_node, rows, weighed
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx_models import TARGET, agree, compute, floats, positive

from luthier.frontend import import_model
from luthier.frontend.onnx.ml.operators import OPERATORS
from luthier.schedules import ModelError

N = helper.make_node
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")
X = rows(23, 5)
WEIGHTS = floats(4, 5).reshape(-1).tolist()


def one(
    op: str,
    *arrays: np.ndarray,
    outputs: dict[str, int] | None = None,
    version: int = 3,
    constants: tuple[int, ...] = (),
    **attrs: Any,
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model of one node and its inputs."""
    named = {f"x{i}": a for i, a in enumerate(arrays)}
    known = {f"x{i}": named[f"x{i}"] for i in constants}
    inputs = {n: a for n, a in named.items() if n not in known}
    results = outputs or {"y": FLOAT}
    node = ml_node(op, list(named), list(results), **attrs)
    return ml_model([node], inputs, results, known, version), inputs


def right(made: tuple[onnx.ModelProto, dict[str, np.ndarray]], rtol: float = 1e-5) -> None:
    agree(*made, rtol=rtol, atol=1e-5)


BOTH = {"label": INT64, "scores": FLOAT}
LABELS = {"classlabels_ints": [5, 6, 9, -2]}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_a_linear_classifier(transform: str, dtype: str) -> None:
    x = rows(23, 5, dtype=dtype)
    x = np.clip(x, -3, 3)
    given = {"coefficients": WEIGHTS, "intercepts": [0.5, -0.25, 0.0, 1.0], **LABELS}
    right(one("LinearClassifier", x, outputs=BOTH, post_transform=transform, **given))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_linear_classifier_of_one_row(transform: str) -> None:
    x = np.clip(X, -3, 3)
    given = {"coefficients": WEIGHTS[:5], "intercepts": [0.5], "classlabels_ints": [3, 8]}
    right(one("LinearClassifier", x, outputs=BOTH, post_transform=transform, **given))


@pytest.mark.parametrize("transform", [*TRANSFORMS, "PROBIT"])
@pytest.mark.parametrize("targets", [1, 4])
def test_a_linear_regressor(transform: str, targets: int) -> None:
    x, weights = np.clip(X, -3, 3), np.asarray(WEIGHTS[: 5 * targets])
    terms = [0.5, -0.25, 0.0, 1.0][:targets]
    if transform == "PROBIT":
        x, weights, terms = positive(23, 5), np.full(5 * targets, 0.05), [0.1] * targets
    given = {"coefficients": weights.tolist(), "intercepts": terms, "targets": targets}
    right(one("LinearRegressor", x, post_transform=transform, **given), 1e-4)


KERNELS = [
    ("LINEAR", [0.0, 0.0, 0.0]),
    ("POLY", [0.25, 0.5, 2.0]),
    ("POLY", [0.25, 0.5, 3.0]),
    ("RBF", [0.3, 0.0, 0.0]),
    ("SIGMOID", [0.1, 0.2, 0.0]),
]


@pytest.mark.parametrize(("kind", "numbers"), KERNELS)
@pytest.mark.parametrize("one_class", [0, 1])
def test_support_vectors_for_regression(kind: str, numbers: list[float], one_class: int) -> None:
    given = {
        "coefficients": floats(7).tolist(),
        "support_vectors": floats(7, 5).reshape(-1).tolist(),
        "n_supports": 7,
        "rho": [0.25],
        "kernel_type": kind,
        "kernel_params": numbers,
        "one_class": one_class,
    }
    right(one("SVMRegressor", floats(23, 5, seed=3), **given), 1e-4)


def test_a_plane_for_regression() -> None:
    given = {"coefficients": WEIGHTS[:5], "rho": [0.25], "kernel_params": [0.0, 0.0, 0.0]}
    right(one("SVMRegressor", floats(23, 5), n_supports=0, **given))


def machine(classes: int, kind: str, numbers: list[float], **attrs: Any) -> dict[str, Any]:
    each = [3, 4, 2, 5][:classes]
    total, pairs = sum(each), classes * (classes - 1) // 2
    return {
        "coefficients": floats(classes - 1, total, seed=1).reshape(-1).tolist(),
        "support_vectors": floats(total, 5, seed=2).reshape(-1).tolist(),
        "vectors_per_class": each,
        "rho": floats(pairs, seed=3).tolist(),
        "kernel_type": kind,
        "kernel_params": numbers,
        "classlabels_ints": [4, 1, 7, 2][:classes],
        **attrs,
    }


@pytest.mark.parametrize(("kind", "numbers"), KERNELS)
@pytest.mark.parametrize("classes", [2, 4])
def test_support_vectors_for_classes(kind: str, numbers: list[float], classes: int) -> None:
    x = floats(40, 5, seed=5)
    right(one("SVMClassifier", x, outputs=BOTH, **machine(classes, kind, numbers)), 1e-4)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("classes", [2, 3])
def test_transforms_of_support_vectors(transform: str, classes: int) -> None:
    x = floats(40, 5, seed=5)
    given = machine(classes, "RBF", [0.2, 0.0, 0.0], post_transform=transform)
    right(one("SVMClassifier", x, outputs=BOTH, **given), 1e-4)


@pytest.mark.parametrize(("classes", "transform"), [(2, "NONE"), (3, "NONE"), (4, "SOFTMAX")])
def test_probabilities(classes: int, transform: str) -> None:
    pairs = classes * (classes - 1) // 2
    shares = {"prob_a": (-positive(pairs)).tolist(), "prob_b": floats(pairs, seed=9).tolist()}
    given = machine(classes, "RBF", [0.2, 0.0, 0.0], post_transform=transform, **shares)
    x = floats(200, 5, seed=5) * 3
    x[0, 0] = np.nan if classes > 2 else 0
    right(one("SVMClassifier", x, outputs=BOTH, **given), 1e-4)


@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX"])
def test_planes_for_classes(classes: int, transform: str) -> None:
    given = {
        "coefficients": WEIGHTS[: 5 * classes],
        "rho": [-0.25],
        "kernel_params": [0.0, 0.0, 0.0],
        "classlabels_ints": [4, 1, 7, 2][:classes],
        "post_transform": transform,
    }
    right(one("SVMClassifier", floats(40, 5), outputs=BOTH, **given))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
@pytest.mark.parametrize("count", [1, 5])
def test_a_scaler(dtype: str, count: int) -> None:
    x = rows(23, 5, dtype=dtype)
    given = {"offset": floats(count).tolist(), "scale": positive(count).tolist()}
    right(one("Scaler", x, **given))


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_a_normalizer(norm: str, dtype: str) -> None:
    x = np.clip(rows(23, 5, dtype=dtype), -3, 3)
    x[3] = 0
    right(one("Normalizer", x, norm=norm))


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("missing", [float("nan"), 0.25])
def test_an_imputer_of_floats(count: int, missing: float) -> None:
    x = rows(23, 5, nan=True)
    given = {"imputed_value_floats": floats(count).tolist(), "replaced_value_float": missing}
    right(one("Imputer", x, **given))


def test_an_imputer_of_integers() -> None:
    x = rows(23, 5, dtype="int64")
    given = {"imputed_value_int64s": [7, 8, 9, 10, 11], "replaced_value_int64": 2}
    right(one("Imputer", x, outputs={"y": INT64}, **given))


def test_a_binarizer() -> None:
    right(one("Binarizer", rows(23, 5), threshold=0.25))


def test_columns_beside_one_another() -> None:
    given = {"inputdimensions": [5, 2, 1]}
    arrays = (rows(9, 5), rows(9, 2, dtype="float32"), rows(9, 1))
    right(one("FeatureVectorizer", *arrays, version=1, **given))


@pytest.mark.parametrize("shape", [(7,), (4, 7), (2, 3, 7)])
@pytest.mark.parametrize("constants", [(), (1,)])
def test_chosen_columns(shape: tuple[int, ...], constants: tuple[int, ...]) -> None:
    indices = np.array([[0, 6, 3]])
    right(one("ArrayFeatureExtractor", floats(*shape), indices, constants=constants))


@pytest.mark.parametrize("dtype", ["int64", "float32", "float64", "int32"])
@pytest.mark.parametrize("shape", [(9, 1), (9,), (4, 3)])
def test_a_one_hot_encoder(dtype: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 6, shape).astype(dtype)
    right(one("OneHotEncoder", x, cats_int64s=[0, 4, 2, 3], zeros=1, version=1))


PAIRS = [
    ("int64", {"keys_int64s": [1, 2, 5]}),
    ("float32", {"keys_floats": [1.0, 2.5, float("nan")]}),
]
VALUES = [
    (INT64, {"values_int64s": [7, 8, 9], "default_int64": 3}),
    (FLOAT, {"values_floats": [0.5, 1.5, -2.5], "default_float": 0.25}),
]


@pytest.mark.parametrize(("dtype", "keys"), PAIRS)
@pytest.mark.parametrize(("kind", "values"), VALUES)
@pytest.mark.parametrize("version", [2, 4])
def test_a_label_encoder(
    dtype: str, keys: dict[str, Any], kind: int, values: dict[str, Any], version: int
) -> None:
    """NaN is a key since operator set 4; before, it is equal to none."""
    x = np.array([[1, 2, 5], [2, 2.5, np.nan]]) if dtype == "float32" else np.array([[1, 5, 4]])
    made = one("LabelEncoder", x.astype(dtype), outputs={"y": kind}, version=version,
               **keys, **values)  # fmt: skip
    right(made)


def test_an_older_label_encoder_in_a_function() -> None:
    encoder = {"keys_floats": [1.0, np.nan, 2.0], "values_int64s": [10, 20, 30]}
    x = np.array([np.nan, 1, 2, 3], np.float32)
    made, inputs = one("LabelEncoder", x, outputs={"y": INT64}, **encoder)
    nodes, imports = list(made.graph.node), list(made.opset_import)
    made.functions.append(helper.make_function("own", "Encoder", ["x0"], ["y"], nodes, imports))
    made.graph.node[0].CopyFrom(N("Encoder", ["x0"], ["y"], domain="own"))
    made.opset_import.append(helper.make_opsetid("own", 1))
    right((made, inputs))


def test_a_label_encoder_of_tensors() -> None:
    tensor = helper.make_tensor
    given = {
        "keys_tensor": tensor("keys", TensorProto.DOUBLE, (3,), [1.0, 2.5, -3.0]),
        "values_tensor": tensor("values", TensorProto.DOUBLE, (3,), [0.5, 1e300, -2.5]),
        "default_tensor": tensor("default", TensorProto.DOUBLE, (1,), [0.125]),
    }
    x = np.array([[2.5, -3.0], [0.0, 1.0]])
    right(one("LabelEncoder", x, outputs={"y": TensorProto.DOUBLE}, version=4, **given))


def test_a_pipeline() -> None:
    """As skl2onnx writes one: scaled, classified, with probabilities as a map."""
    x = floats(20, 6)
    nodes = grown(3, trees=10, depth=4)
    weights = weighed(nodes, "class", 3, dense=True, positive=True)
    made = ml_model(
        [
            ml_node("Scaler", ["x"], ["scaled"], offset=[0.5], scale=[2.0]),
            ml_node(
                "TreeEnsembleClassifier",
                ["scaled"],
                ["label", "shares"],
                classlabels_int64s=[0, 1, 2],
                **nodes,
                **weights,
            ),
            N("Cast", ["label"], ["output_label"], to=INT64),
            ml_node("ZipMap", ["shares"], ["output_probability"], classlabels_int64s=[0, 1, 2]),
        ],
        {"x": x},
        {"output_label": INT64},
    )
    kind = helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, ()))
    made.graph.output.append(
        helper.make_value_info("output_probability", helper.make_sequence_type_proto(kind))
    )
    plain = ml_model(made.graph.node[:3], {"x": x}, {"output_label": INT64, "shares": FLOAT})
    ours = compute(import_model(made, TARGET), {"x": x})
    assert list(ours) == ["output_label", "output_probability"]
    theirs = compute(import_model(plain, TARGET), {"x": x})
    np.testing.assert_array_equal(ours["output_probability"], theirs["shares"])
    agree(plain, {"x": x})


TEXTS = [
    ("OneHotEncoder", {"cats_strings": ["a", "b"]}),
    ("LabelEncoder", {"keys_strings": ["a", "b"], "values_int64s": [1, 2]}),
]


@pytest.mark.parametrize(("op", "attrs"), TEXTS)
def test_texts_do_not_name_numbers(op: str, attrs: dict[str, Any]) -> None:
    made, _ = one(op, np.array([[1], [2]]), **attrs, outputs={"y": FLOAT})
    said = rf"{op} 'y': (its input are|categories that are) (no )?texts"
    with pytest.raises(ModelError, match=said):
        import_model(made, TARGET)


def test_a_name_of_another_domain_is_no_operator() -> None:
    for domain, op in (("", "Scaler"), (ML, "Add"), (ML, "DictVectorizer")):
        made, _ = one("Scaler", X, offset=[0.0], scale=[1.0])
        made.graph.node[0].op_type, made.graph.node[0].domain = op, domain
        with pytest.raises(ModelError, match=op):
            import_model(made, TARGET)


WRONG = [
    ("Scaler", {"offset": [1.0, 2.0], "scale": [1.0]}, "'offset' has 2 numbers for 5 columns"),
    ("LinearRegressor", {"coefficients": [1.0] * 4}, "'coefficients' has 4 numbers, not 1 x 5"),
    ("LinearRegressor", {"coefficients": [1.0] * 5, "targets": -1}, "-1 targets"),
    ("SVMRegressor", {"coefficients": [1.0], "n_supports": 2, "rho": [1.0],
                      "support_vectors": [1.0]}, "'support_vectors' has 1 numbers, not 2 x 5"),
    ("SVMRegressor", {"coefficients": [1.0] * 5}, "no 'rho'"),
    ("SVMRegressor", {"coefficients": [1.0] * 5, "rho": [1.0], "kernel_params": [1.0],
                      "n_supports": 1, "support_vectors": [1.0] * 5}, "'kernel_params' has 1"),
    ("Normalizer", {"norm": "L3"}, "'norm' 'L3'"),
    ("Imputer", {}, "no values of float32"),
    ("OneHotEncoder", {}, "no categories|must be provided"),
    ("FeatureVectorizer", {"inputdimensions": [1, 2]}, "'inputdimensions' has 2 sizes"),
    ("LabelEncoder", {"keys_int64s": [1], "values_int64s": [1]}, "keys are int64|not valid"),
    ("TreeEnsembleRegressor", {}, "no nodes"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "attrs", "said"), WRONG)
def test_what_does_not_fit_is_refused_in_one_line(
    op: str, attrs: dict[str, Any], said: str
) -> None:
    made, _ = one(op, X, **attrs)
    with pytest.raises(ModelError, match=said) as refused:
        import_model(made, TARGET)
    assert "\n" not in str(refused.value)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    STANDARD = {
        case.name: case
        for case in load_model_tests(kind="node")
        if any(node.domain == ML for node in case.model.graph.node)
        and not any(
            i.type.tensor_type.elem_type == TensorProto.STRING for i in case.model.graph.input
        )  # see tests/standard
    }


@pytest.mark.parametrize("name", sorted(STANDARD))
def test_the_standards_cases(name: str) -> None:
    case = STANDARD[name]
    inputs, outputs = (
        [numpy_helper.to_array(a) if isinstance(a, TensorProto) else a for a in side]
        for side in case.data_sets[0]
    )
    given = dict(zip((i.name for i in case.model.graph.input), inputs, strict=True))
    ours = compute(import_model(case.model, TARGET), given)
    for got, want in zip(ours.values(), outputs, strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(got, want, 1e-5, 1e-6)


def test_every_operator_is_here() -> None:
    """By its name, as those of the standard are."""
    text = Path(__file__).read_text()
    assert [op for op in OPERATORS if op not in text] == []
