"""Other engines that compute a model's true outputs: ONNX Runtime, else onnx's own evaluator."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from luthier.schedules.errors import ModelError

Array = NDArray[Any]


@dataclass(frozen=True)
class Reference:
    """An engine by its name, and the model in it: arrays by input name to arrays by output name."""

    engine: str
    run: Callable[[Mapping[str, Array]], dict[str, Array]]


def reference(model: onnx.ModelProto) -> Reference:
    """The best engine that is installed and takes ``model``; raises ModelError where none does."""
    if importlib.util.find_spec("onnxruntime"):
        # An operator or opset that ONNX Runtime has not: onnx itself may have it.
        with suppress(Exception):
            return _onnxruntime(model)
    return _onnx_evaluator(model)


def _onnxruntime(model: onnx.ModelProto) -> Reference:
    import onnxruntime  # noqa: PLC0415 - optional

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with tempfile.TemporaryDirectory(prefix="luthier-") as folder:
        source = _session_source(model, Path(folder))
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return Reference(f"onnxruntime {onnxruntime.__version__}", _guarded("onnxruntime", run))


def _session_source(model: onnx.ModelProto, folder: Path) -> bytes | str:
    """A serialised model; above protobuf's 2 GB, a file with the weights beside it."""
    if model.ByteSize() < 2**31:
        return bytes(model.SerializeToString())
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    path = folder / "model.onnx"
    onnx.save_model(copy, path, save_as_external_data=True, location="weights")
    return str(path)


def _onnx_evaluator(model: onnx.ModelProto) -> Reference:
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - slow to import

    try:
        evaluator = ReferenceEvaluator(model)
    except Exception as error:
        raise ModelError(f"onnx's reference evaluator refuses the model: {_line(error)}") from error
    names = list(evaluator.output_names)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = evaluator.run(names, dict(inputs))
        return {n: np.asarray(o) for n, o in zip(names, outputs, strict=True)}

    return Reference(f"onnx {onnx.__version__}", _guarded("onnx's reference evaluator", run))


def _guarded(
    engine: str, run: Callable[[Mapping[str, Array]], dict[str, Array]]
) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    def guarded(inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            return run(inputs)
        except Exception as error:
            raise ModelError(f"{engine} cannot run the model: {_line(error)}") from error

    return guarded


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
