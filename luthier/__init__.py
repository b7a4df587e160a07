"""Luthier: tunes a trained model for your machine and builds one C library that needs no runtime.

luthier.tune("model.onnx", trials=500)           # measure, keep the records
luthier.build("model.onnx", "out/")              # best records -> a folder with the library
luthier.load("out/").run({"x": array})           # the library, from Python
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.schedules.late import late_names

if TYPE_CHECKING:
    from luthier.deploy import Artifact, load
    from luthier.frontend import Postprocess, Preprocess
    from luthier.schedules.errors import (
        AccuracyError,
        ArtifactError,
        InputError,
        LogError,
        LuthierError,
        ModelError,
        ModelWarning,
        ScheduleError,
        TargetError,
        ToolchainError,
        UnsupportedOperator,
        UsageError,
    )

    from .building.build import BuildReport, build, tune_and_build
    from .building.check import CheckReport, check
    from .inputs.points import EntryPoint
    from .machine.bench import BenchReport, bench
    from .machine.doctor import Finding, doctor
    from .machine.measured import Measured
    from .machine.target import Machine, target
    from .quantization.quantize import QuantizeReport, quantize
    from .records.sources import LayerHits
    from .tuning.explain import KernelExplanation, explain
    from .tuning.tune import TuneReport, tune

__version__ = "0.1.0"

__all__ = [
    "AccuracyError",
    "Artifact",
    "ArtifactError",
    "BenchReport",
    "BuildReport",
    "CheckReport",
    "EntryPoint",
    "Finding",
    "InputError",
    "KernelExplanation",
    "LayerHits",
    "LogError",
    "LuthierError",
    "Machine",
    "Measured",
    "ModelError",
    "ModelWarning",
    "Postprocess",
    "Preprocess",
    "QuantizeReport",
    "ScheduleError",
    "TargetError",
    "ToolchainError",
    "TuneReport",
    "UnsupportedOperator",
    "UsageError",
    "bench",
    "build",
    "check",
    "doctor",
    "explain",
    "load",
    "quantize",
    "target",
    "tune",
    "tune_and_build",
]

__getattr__ = late_names(
    __name__,
    {
        "luthier.building.build": ("BuildReport", "build", "tune_and_build"),
        "luthier.building.check": ("CheckReport", "check"),
        "luthier.deploy": ("Artifact", "load"),
        "luthier.frontend": ("Postprocess", "Preprocess"),
        "luthier.inputs.points": ("EntryPoint",),
        "luthier.machine.bench": ("BenchReport", "bench"),
        "luthier.machine.doctor": ("Finding", "doctor"),
        "luthier.machine.measured": ("Measured",),
        "luthier.machine.target": ("Machine", "target"),
        "luthier.quantization.quantize": ("QuantizeReport", "quantize"),
        "luthier.records.sources": ("LayerHits",),
        "luthier.tuning.explain": ("KernelExplanation", "explain"),
        "luthier.tuning.tune": ("TuneReport", "tune"),
        "luthier.schedules.errors": (
            "AccuracyError",
            "ArtifactError",
            "InputError",
            "LogError",
            "LuthierError",
            "ModelError",
            "ModelWarning",
            "ScheduleError",
            "TargetError",
            "ToolchainError",
            "UnsupportedOperator",
            "UsageError",
        ),
    },
)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
