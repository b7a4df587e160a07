"""The activations that cells of recurrent layers may have, by ONNX's names in lower case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from .operator import Array


@dataclass(frozen=True)
class Activation:
    """``compute`` takes numbers, alpha and beta; these have defaults, None where it has no use."""

    compute: Callable[[Array, float, float], Array]
    alpha: float | None = None
    beta: float | None = None


def _elu(x: Array, alpha: float, beta: float) -> Array:
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "sigmoid": Activation(lambda x, a, b: 1 / (1 + np.exp(-x))),
        "tanh": Activation(lambda x, a, b: np.tanh(x)),
        "relu": Activation(lambda x, a, b: np.maximum(x, 0)),
        "affine": Activation(lambda x, a, b: a * x + b, 1.0, 0.0),
        "leakyrelu": Activation(lambda x, a, b: np.where(x < 0, a * x, x), 0.01),
        "thresholdedrelu": Activation(lambda x, a, b: np.where(x <= a, 0, x), 1.0),
        "scaledtanh": Activation(lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
        "hardsigmoid": Activation(lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
        "elu": Activation(_elu, 1.0),
        "softsign": Activation(lambda x, a, b: x / (1 + np.abs(x))),
        "softplus": Activation(lambda x, a, b: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
    }
)
