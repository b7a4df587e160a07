"""ONNX Runtime as what computes a model's outputs, without optimisations that change a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import onnx

from luthier.schedules.errors import ModelError, UsageError

from ..correctness.reference import quiet_onnxruntime
from .samples import Array, Run

ADVICE = "quantising needs ONNX Runtime's quantiser: pip install 'luthier[quantize]'"


def onnxruntime() -> ModuleType:
    """The module; raises UsageError where it is not installed."""
    try:
        return quiet_onnxruntime()
    except ImportError as error:
        raise UsageError(ADVICE) from error


def opened(
    model: onnx.ModelProto, names: Sequence[str] | None = None
) -> Callable[[Run], dict[str, Array]]:
    """What gives the outputs of these names, or all, of a run; raises ModelError."""
    library = onnxruntime()
    options = library.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = library.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = library.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # what its C++ raises has no common type
        raise ModelError(f"ONNX Runtime cannot run it: {line_of(error)}") from error
    wanted = list(names or (output.name for output in session.get_outputs()))

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            outputs: list[Any] = session.run(wanted, dict(inputs))
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot run it: {line_of(error)}") from error
        return dict(zip(wanted, outputs, strict=True))

    return run


def line_of(error: Exception) -> str:
    """What another library raises, in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
