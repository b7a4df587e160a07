"""The ground: workloads, targets, spaces, and what a kernel may look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import (
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
from .late import late_names

if TYPE_CHECKING:
    from .ir.kernel import ALIGNMENT, Kernel, Packing, Phase
    from .ir.space import Knob, Schedule, Space
    from .ir.workload import Node, Tensor, Workload, node
    from .target import Target

__all__ = [
    "ALIGNMENT",
    "AccuracyError",
    "ArtifactError",
    "InputError",
    "Kernel",
    "Knob",
    "LogError",
    "LuthierError",
    "ModelError",
    "ModelWarning",
    "Node",
    "Packing",
    "Phase",
    "Schedule",
    "ScheduleError",
    "Space",
    "Target",
    "TargetError",
    "Tensor",
    "ToolchainError",
    "UnsupportedOperator",
    "UsageError",
    "Workload",
    "node",
]

__getattr__ = late_names(
    __name__,
    {
        ".ir.kernel": ("ALIGNMENT", "Kernel", "Packing", "Phase"),
        ".ir.space": ("Knob", "Schedule", "Space"),
        ".target": ("Target",),
        ".ir.workload": ("Node", "Tensor", "Workload", "node"),
    },
)
