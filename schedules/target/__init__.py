"""What a kernel is compiled for."""

from .machine import (
    available_cores,
    check_cores,
    check_measurable,
    host,
    host_cpu,
    host_features,
    host_level,
)
from .named import names, parse
from .target import ACCURACIES, DEFAULT_ACCURACY, Target

__all__ = [
    "ACCURACIES",
    "DEFAULT_ACCURACY",
    "Target",
    "available_cores",
    "check_cores",
    "check_measurable",
    "host",
    "host_cpu",
    "host_features",
    "host_level",
    "names",
    "parse",
]
