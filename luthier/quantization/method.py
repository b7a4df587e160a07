"""How a model's numbers become fewer bits; but for bfloat16 ONNX Runtime's quantiser does the work.

Raises what the quantiser raises: its callers say where.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import onnx

from luthier.schedules.errors import UsageError

from ..inputs.quiet import quiet
from .engine import ADVICE
from .halves import in_bfloat16
from .samples import Run


class Method(Enum):
    """What has fewer bits."""

    STATIC = "static"  # weights and activations, by the ranges that the data had
    DYNAMIC = "dynamic"  # the same of products, by the ranges that each run has
    WEIGHTS8 = "weights8"  # the matrices of products, in 8 bits by blocks
    WEIGHTS4 = "weights4"  # in 4
    BFLOAT16 = "bfloat16"  # the same as floats of 16 bits


class Ranges(Enum):
    """Which of an activation's numbers bound its steps; what is beyond them saturates."""

    MINMAX = "minmax"
    ENTROPY = "entropy"
    PERCENTILE = "percentile"  # 99.999


@dataclass(frozen=True)
class Settings:
    """A method with its choices; ``block`` is how many weights share a scale, in weights alone."""

    method: Method
    ranges: Ranges = Ranges.MINMAX
    activations: str = "uint8"
    block: int = 32

    @property
    def needs_data(self) -> bool:
        """Whether nothing can be quantised without inputs."""
        return self.method is Method.STATIC

    @property
    def kinds(self) -> tuple[str, ...]:
        """The operators that it may quantise; empty of all that the quantiser knows."""
        by_method = {
            Method.DYNAMIC: ("MatMul", "Gemm", "LSTM", "Gather", "EmbedLayerNormalization"),
            Method.WEIGHTS8: ("MatMul",),
            Method.WEIGHTS4: ("MatMul",),
            Method.BFLOAT16: ("MatMul", "Gemm"),
        }
        return by_method.get(self.method, ())


@dataclass(frozen=True)
class Prepared:
    """A model in float, ready to be quantised: each node has a name, batch normalisations are part
    of the weights before them. ``ranges`` are those of activations, where a method asks for them.
    """

    model: onnx.ModelProto
    settings: Settings
    ranges: Any = field(default=None, compare=False)

    def quantised(self, excluded: Collection[str]) -> onnx.ModelProto:
        """The model with all in fewer bits but the nodes of these names."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        with quiet():
            if self.settings.method is Method.STATIC:
                return self._static(copy, list(excluded))
            if self.settings.method is Method.DYNAMIC:
                return self._dynamic(copy, list(excluded))
            if self.settings.method is Method.BFLOAT16:
                return in_bfloat16(copy, excluded)
            return self._weights(copy, list(excluded))

    def _static(self, model: onnx.ModelProto, excluded: list[str]) -> onnx.ModelProto:
        from onnxruntime.quantization import QDQQuantizer, QuantType  # noqa: PLC0415 - optional

        activations = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
        kind = activations[self.settings.activations]
        per_channel, reduced = True, False
        quantizer = QDQQuantizer(
            model, per_channel, reduced, QuantType.QInt8, kind, self.ranges, [], excluded,
            _static_kinds(), {},
        )  # fmt: skip
        quantizer.quantize_model()
        return _proto(quantizer.model)

    def _dynamic(self, model: onnx.ModelProto, excluded: list[str]) -> onnx.ModelProto:
        from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

        from luthier.schedules.temporary import TemporaryFolder  # noqa: PLC0415

        with TemporaryFolder() as folder:
            result = folder / "quantised.onnx"
            quantize_dynamic(
                model, result, list(self.settings.kinds), per_channel=True,
                weight_type=QuantType.QInt8, nodes_to_exclude=excluded,
            )  # fmt: skip
            return onnx.load(result)

    def _weights(self, model: onnx.ModelProto, excluded: list[str]) -> onnx.ModelProto:
        try:
            from onnxruntime.quantization.matmul_nbits_quantizer import (  # noqa: PLC0415
                MatMulNBitsQuantizer,
            )
        except ImportError as error:  # it needs onnx_ir, which ONNX Runtime does not ask for
            raise UsageError(ADVICE) from error

        bits = 8 if self.settings.method is Method.WEIGHTS8 else 4
        quantizer = MatMulNBitsQuantizer(
            model, bits, self.settings.block, is_symmetric=True, nodes_to_exclude=excluded
        )
        quantizer.process()
        return _proto(quantizer.model)


def prepare(model: onnx.ModelProto, settings: Settings, folder: Path) -> onnx.ModelProto:
    """The model in float as ``Prepared`` has it, made in ``folder``."""
    from onnxruntime.quantization import quant_pre_process  # noqa: PLC0415 - optional

    before, after = folder / "float.onnx", folder / "prepared.onnx"
    onnx.save(model, before)
    with quiet():
        quant_pre_process(str(before), str(after), skip_symbolic_shape=True)
    prepared = onnx.load(after)
    taken = {node.name for node in prepared.graph.node}
    for number, node in enumerate(prepared.graph.node):
        if not node.name:
            node.name = _free(f"{node.op_type}_{number}", taken)
    return prepared


def calibrated(
    model: onnx.ModelProto, settings: Settings, runs: Sequence[Run], folder: Path
) -> Any:
    """The ranges of the activations in these runs, by the name of each; one run after the other, so
    that memory is that of one."""
    from onnxruntime.quantization import CalibrationMethod, create_calibrator  # noqa: PLC0415

    kinds = {
        Ranges.MINMAX: CalibrationMethod.MinMax,
        Ranges.ENTROPY: CalibrationMethod.Entropy,
        Ranges.PERCENTILE: CalibrationMethod.Percentile,
    }
    path = folder / "calibrated.onnx"
    onnx.save(model, path)
    with quiet():
        calibrator = create_calibrator(
            path,
            _static_kinds(),
            augmented_model_path=str(folder / "augmented.onnx"),
            calibrate_method=kinds[settings.ranges],
        )
        for run in runs:
            calibrator.collect_data(_Reader(run))
        return calibrator.compute_data()


class _Reader:
    """One run, as the quantiser's calibration reads it."""

    def __init__(self, run: Run) -> None:
        self._left = [dict(run)]

    def __iter__(self) -> _Reader:
        return self

    def __next__(self) -> Run:
        found = self.get_next()
        if found is None:
            raise StopIteration
        return found

    def get_next(self) -> Run | None:
        """The next run, or None after the last."""
        return self._left.pop() if self._left else None


def _static_kinds() -> list[str]:
    """What the quantiser can do on 8-bit numbers and from them."""
    from onnxruntime.quantization.registry import (  # noqa: PLC0415
        QDQRegistry,
        QLinearOpsRegistry,
    )

    return sorted({*QDQRegistry, *QLinearOpsRegistry})


def _proto(model: Any) -> onnx.ModelProto:
    """Of the quantiser's model, whose nodes it adds at the end."""
    model.topological_sort()
    proto = model.model
    assert isinstance(proto, onnx.ModelProto)
    return proto


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
