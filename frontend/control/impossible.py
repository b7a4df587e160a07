"""Branches that cannot be at the sizes of a model: a run ends that takes one.

ONNX Runtime looks at the shapes of a branch when it runs, so that models have a branch for each
length of an input, and take the one that its length is for.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypeGuard

from luthier.schedules import ModelError, ModelWarning, UnsupportedOperator

from ..onnx.strip_weights import NeverValidError
from ..program import Step
from .parts import Parts

BRANCHES = ("then_branch", "else_branch")


def is_impossible(side: object) -> TypeGuard[ModelError]:
    """Whether what a branch became is the error of sizes that do not go together in it."""
    others = (UnsupportedOperator, NeverValidError)
    return isinstance(side, ModelError) and not isinstance(side, others)


def asked(parts: Parts, condition: int, place: int, label: str, error: object) -> Sequence[Step]:
    """Let the run end that takes the branch at a place, which cannot be for this error."""
    says = f"its {BRANCHES[place]} cannot be at these sizes"
    warning = ModelWarning(f"{label}: {says}, so a run ends that takes it: {error}")
    warnings.warn(warning, stacklevel=2)
    return parts.expect(condition, place, f"{says}; its condition is", label)


def said(error: ModelError, label: str, inputs: Sequence[str]) -> ModelError:
    """The error of a branch where no other can be, with what to do; the condition follows from
    these of the model's inputs."""
    if not is_impossible(error) or not inputs:
        return error
    values = " ".join(f"--value {name}=.." for name in inputs)
    told = f"this is in a branch of {label}: if it never runs, say so by {values}"
    found = ModelError(f"{error}; {told}")
    found.__cause__ = error
    return found
