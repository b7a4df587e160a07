"""Models of tables, trained on seeded random rows, as their converters write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bench.architectures import SEED

ROWS = 4_000  # to train on
FEATURES, TREES = 28, 500
NUMBERS, KINDS = 12, (3, 12, 40, 7)  # columns of numbers; how many categories others have

Array = NDArray[Any]


def forest_pipeline() -> onnx.ModelProto:
    """scikit-learn's: columns of numbers scaled, columns of categories one-hot, and a random forest
    of 100 trees for three classes. Raises ImportError without skl2onnx."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rng = np.random.default_rng(SEED)
    numbers = rng.standard_normal((ROWS, NUMBERS)).astype(np.float32)
    columns = kinds(ROWS, rng)
    said = numbers[:, 0] + np.sin(columns[:, 2]) + (columns[:, 0] == 1) + rng.normal(0, 0.3, ROWS)
    wide = NUMBERS + len(KINDS)
    prepared = make_column_transformer(
        (StandardScaler(), list(range(NUMBERS))),
        (OneHotEncoder(handle_unknown="ignore"), list(range(NUMBERS, wide))),
    )
    forest = RandomForestClassifier(100, max_depth=12, random_state=SEED)
    pipeline = make_pipeline(prepared, forest)
    pipeline.fit(np.hstack([numbers, columns]), np.digitize(said, [-0.5, 1]))
    types = [
        ("numbers", FloatTensorType([None, NUMBERS])),
        ("kinds", Int64TensorType([None, len(KINDS)])),
    ]
    made = to_onnx(pipeline, initial_types=types, target_opset=15, options={"zipmap": False})
    return with_rows(made)


def with_rows(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a name for how many rows there are, which converters leave open without."""
    for info in model.graph.input:
        info.type.tensor_type.shape.dim[0].dim_param = "rows"
    return model


def kinds(rows: int, rng: np.random.Generator) -> Array:
    """Categories for columns of ``KINDS``, some of which no training had."""
    drawn = [rng.integers(0, most, rows) for most in KINDS]
    return np.stack(drawn, 1).astype(np.int64)


def lightgbm_trees() -> onnx.ModelProto:
    """LightGBM's regression of 500 trees, with numbers that are missing. Raises ImportError without
    lightgbm and onnxmltools."""
    import lightgbm
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = lightgbm.LGBMRegressor(n_estimators=TREES, num_leaves=31, random_state=SEED, n_jobs=1,
                                   deterministic=True, verbose=-1)  # fmt: skip
    model.fit(*regression())
    types = [("x", FloatTensorType([None, FEATURES]))]
    return with_rows(convert_lightgbm(model, "lightgbm", types, target_opset=15, zipmap=False))


def xgboost_trees(trees: int = TREES) -> onnx.ModelProto:
    """XGBoost's regression of 500 trees of depth 6, with numbers that are missing."""
    import xgboost

    from bench.trees import exported

    options = {"max_depth": 6, "eta": 0.05, "tree_method": "hist", "base_score": 0.5,
               "nthread": 1, "seed": SEED}  # fmt: skip
    x, y = regression()
    return exported(xgboost.train(options, xgboost.DMatrix(x, y), trees), "rows")


def regression() -> tuple[Array, Array]:
    """Rows and what is to be learnt of them; some numbers are missing."""
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((ROWS, FEATURES)).astype(np.float32)
    y = np.sin(x[:, 0] * x[:, 1]) + x[:, 2:8].sum(axis=1) + rng.standard_normal(ROWS)
    x[rng.random(x.shape) < 0.02] = np.nan
    return x, y
