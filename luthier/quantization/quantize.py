"""Makes a model of fewer bits, and keeps in float what that would make too wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import onnx

from luthier.frontend import Source, source_of
from luthier.frontend.onnx.old_sets import converted
from luthier.schedules.errors import InputError, LuthierError, ModelError, UsageError
from luthier.schedules.files import whole_file
from luthier.schedules.redaction import shown
from luthier.schedules.temporary import TemporaryFolder

from ..arguments import validated
from ..inputs.arrays import load_arrays
from . import layers as each_layer
from .drop import ERROR, METRICS, Metric, drop_from, most_by_default
from .engine import line_of, onnxruntime, opened
from .guard import Trial, guarded
from .layers import Layer
from .method import Method, Prepared, Ranges, Settings, calibrated, prepare
from .samples import Data, Run, runs_of

FilePath = str | Path
T = TypeVar("T")

METADATA = "luthier.quantize"
"""The key of the model's metadata that says what was done, as JSON."""
_MOST_BYTES = 2**31 - 1  # that protobuf can write
_OLDEST = 13  # operator set that knows scales for each channel


@dataclass(frozen=True)
class Step:
    """What is being done, and how much of the work that is known is over, 0 to 1."""

    doing: str
    fraction: float


@dataclass(frozen=True)
class QuantizeReport:
    """What became of a model.

    ``layers`` are those that could be quantised, the worst first, with what each adds of noise by
    itself where there was data; those that were ``kept`` are in float. ``drop`` is by how much the
    model is worse on the data by ``metric`` (NaN without data) and ``max_drop`` what it might be;
    ``bytes_before`` and ``bytes_after`` are the files' sizes.
    """

    path: Path
    method: str
    metric: str
    drop: float
    max_drop: float
    samples: int
    layers: tuple[Layer, ...]
    bytes_before: int
    bytes_after: int

    @property
    def kept(self) -> int:
        """How many layers are in float for the sake of accuracy."""
        return sum(layer.kept for layer in self.layers)


@validated
def quantize(
    model: FilePath | onnx.ModelProto,
    out: FilePath,
    *,
    data: FilePath | Data | None = None,
    method: str = Method.STATIC.value,
    ranges: str = Ranges.MINMAX.value,
    activations: str = "uint8",
    block: int = 32,
    metric: str | Metric = ERROR,
    max_drop: float | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> QuantizeReport:
    """Quantise ``model`` by ONNX Runtime's quantiser and write it to ``out``, whole or not at all.

    ``method`` is ``static`` (weights by channel and activations in 8 bits, by the ranges that
    activations have on ``data``), ``dynamic`` (products alone, by the ranges of each run),
    ``weights8`` or ``weights4`` (the matrices of products, ``block`` weights to a scale), or
    ``bfloat16`` (the same as floats of 16 bits, which Luthier itself does). Static ranges are
    ``minmax``, ``entropy`` or ``percentile``; ``activations`` are uint8 or int8.

    ``data`` are inputs as in use, of which a hundred or so suffice: arrays by input name, with a
    row for each sample, in an .npz file or a mapping; or a mapping for each sample. With it, the
    layers' noise is measured one by one, and the worst are kept in float until the model is worse
    by at most ``max_drop``. What that means is ``metric``'s: ``error``, the relative error of the
    worst output (0.1 by default); ``agreement``, the share of rows whose largest element moves
    (0.01); or a function that is given each sample's outputs, in order, and says how good they are
    (0.01). What was done is in the written model's metadata, as ``luthier.quantize``.

    Raises UsageError, InputError where the data do not fit, ModelError where the model cannot be
    read or run, AccuracyError where no layer can have fewer bits within ``max_drop``.
    """
    settings = _settings(method, ranges, activations, block)
    if isinstance(metric, str) and metric not in METRICS:
        raise UsageError(f"metric must be a function or one of {', '.join(METRICS)}, not {metric}")
    onnxruntime()
    if data is None and settings.needs_data:
        raise UsageError("static quantisation needs inputs (data): arrays by input name")
    tell = on_step or (lambda step: None)
    tell(Step("reading the model", 0.0))
    source = source_of(model)
    most = most_by_default(metric) if max_drop is None else max_drop
    with TemporaryFolder() as folder:
        tell(Step("preparing", 0.05))
        prepared = _refusing("prepared", lambda: _prepared(source, settings, folder))
        runs = [] if data is None else runs_of(prepared, _loaded(data))
        tell(Step("measuring ranges", 0.1))
        found = _refusing("calibrated", lambda: _ranges(prepared, settings, runs, folder))
        made = Prepared(prepared, settings, found)
        result, layers = _guarded(made, runs, metric, most, tell)
    said = metric if isinstance(metric, str) else getattr(metric, "__name__", "metric")
    report_of = _Written(settings, said, result.drop, most, len(runs), layers)
    proto = _with_metadata(result.model, source, report_of)
    content = proto.SerializeToString()
    with whole_file(out) as file:
        file.write(content)
    return QuantizeReport(
        Path(out),
        settings.method.value,
        said,
        result.drop,
        most,
        len(runs),
        layers,
        source.proto.ByteSize(),
        len(content),
    )


@dataclass(frozen=True)
class _Written:
    """What the metadata say."""

    settings: Settings
    metric: str
    drop: float
    max_drop: float
    samples: int
    layers: tuple[Layer, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "method": self.settings.method.value,
            "ranges": self.settings.ranges.value,
            "activations": self.settings.activations,
            "block": self.settings.block,
            "samples": self.samples,
            **({"metric": self.metric, "drop": f"{self.drop:.6g}"} if self.samples else {}),
            "max_drop": f"{self.max_drop:.6g}",
            "in_float": [layer.name for layer in self.layers if layer.kept],
        }


def _settings(method: str, ranges: str, activations: str, block: int) -> Settings:
    if activations not in ("uint8", "int8"):
        raise UsageError(f"activations must be uint8 or int8, not {activations}")
    if block not in (16, 32, 64, 128, 256):
        raise UsageError(f"block must be 16, 32, 64, 128 or 256, not {block}")
    return Settings(
        _of(Method, "method", method), _of(Ranges, "ranges", ranges), activations, block
    )


def _of(kind: Any, name: str, value: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(each.value for each in kind)
        raise UsageError(f"{name} must be one of {known}, not {value}") from None


def _loaded(data: FilePath | Data) -> Data:
    return load_arrays(data) if isinstance(data, str | Path) else data


def _prepared(source: Source, settings: Settings, folder: Path) -> onnx.ModelProto:
    proto = source.proto
    if proto.ByteSize() > _MOST_BYTES:
        raise ModelError(f"{source.where}: models above 2 GB cannot be quantised")
    if source.opset < _OLDEST:
        proto = converted(proto, _OLDEST, source.where)
    return prepare(proto, settings, folder)


def _ranges(model: onnx.ModelProto, settings: Settings, runs: Sequence[Run], folder: Path) -> Any:
    if settings.method is not Method.STATIC:
        return None
    return calibrated(model, settings, runs, folder)


def _refusing(what: str, work: Callable[[], T]) -> T:
    """What ``work`` gives; what the quantiser raises, anything, becomes a ModelError."""
    try:
        return work()
    except (LuthierError, MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise ModelError(f"the model cannot be {what}: {line_of(error)}") from error


def _guarded(
    made: Prepared,
    runs: Sequence[Run],
    metric: str | Metric,
    most: float,
    tell: Callable[[Step], None],
) -> tuple[Trial, tuple[Layer, ...]]:
    """The quantised model, and its layers."""
    tell(Step("quantising", 0.3))
    first = _refusing("quantised", lambda: made.quantised(()))
    if not runs:
        return Trial(first, float("nan")), ()
    tell(Step("running the original", 0.4))
    worse = drop_from(metric, _outputs(made.model, runs))

    def judged(model: onnx.ModelProto) -> Trial:
        return Trial(model, worse(_outputs(model, runs)))

    def attempt(excluded: Sequence[str]) -> Trial:
        tell(Step(f"with {len(excluded)} layers in float", 0.8))
        return judged(_refusing("quantised", lambda: made.quantised(excluded)))

    trial = judged(first)
    tell(Step("measuring the layers", 0.6))
    layers = each_layer.measured(made.model, first, runs)
    if not layers:
        raise InputError(
            f"nothing in the model can be quantised by the method {made.settings.method.value}"
        )
    return guarded(trial, layers, attempt, most)


def _outputs(model: onnx.ModelProto, runs: Sequence[Run]) -> list[dict[str, Any]]:
    run = opened(model)
    return [run(each) for each in runs]


def _with_metadata(model: onnx.ModelProto, source: Source, written: _Written) -> onnx.ModelProto:
    """The model, which says what was done, and what the original said of itself."""
    del model.metadata_props[:]
    said = {p.key: p.value for p in source.proto.metadata_props}
    said[METADATA] = json.dumps({**written.to_json(), "original": source.digest})
    for key, value in said.items():
        model.metadata_props.add(key=key, value=value)
    if model.ByteSize() > _MOST_BYTES:
        raise ModelError(f"{shown(source.where)}: what became of it has more than 2 GB")
    return model
