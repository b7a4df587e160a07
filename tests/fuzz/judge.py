"""Whether outputs are right: against one reference, then against another."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .case import Case, reads
from .flow import evaluate
from .noise import Value, exactly
from .reference import Engine
from .values import Array

_SPREADS = 16.0  # how much further than the replicas a right result may be
_STEPS = 2.0  # and how many units in the last place


class Verdict(enum.Enum):
    """What became of a graph; all but the first three are finds."""

    RIGHT = "right"
    REFUSED = "refused"
    DISAGREEMENT = "references disagree"
    UNDOCUMENTED = "refused without a word in the documentation"
    WRONG = "wrong"
    INTERNAL = "internal error"
    UNSTEADY = "unsteady"
    CRASH = "crash"
    HANG = "hang"

    @property
    def is_find(self) -> bool:
        """Whether it is a fault."""
        return self not in (Verdict.RIGHT, Verdict.REFUSED, Verdict.DISAGREEMENT)


@dataclass(frozen=True)
class Judgement:
    """``judged`` of ``elements`` could be judged right or wrong."""

    verdict: Verdict
    detail: str = ""
    judged: int = 0
    elements: int = 0


def truths(case: Case, first: Engine) -> dict[str, Value]:
    """Every value of the case; raises NoReferenceError."""
    digest = hashlib.sha256(case.model.SerializeToString(deterministic=True)).digest()
    rng = np.random.default_rng(list(digest[:8]))
    values = {n: exactly(a) for n, a in (*case.inputs.items(), *case.constants.items())}
    for node in case.nodes:
        args = [values[n] if n else None for n in reads(node)]
        results = evaluate(node, args, case.opset, rng, first, case.setting.accuracy)
        values.update(zip(node.output, results, strict=True))
    return values


def judge(case: Case, outputs: Mapping[str, Array]) -> Judgement:
    """Compare with ONNX Runtime's results; where they differ, with onnx's evaluator's too."""
    complaints, judged, elements = _compared(case, outputs, truths(case, Engine.ORT))
    if not complaints:
        return Judgement(Verdict.RIGHT, "", judged, elements)
    try:
        others, *_ = _compared(case, outputs, truths(case, Engine.ONNX))
    except Exception:  # onnx's evaluator has faults of its own
        others = complaints
    wrong = [name for name in complaints if name in others]
    verdict = Verdict.WRONG if wrong else Verdict.DISAGREEMENT
    return Judgement(verdict, complaints[(wrong or list(complaints))[0]], judged, elements)


def _compared(
    case: Case, outputs: Mapping[str, Array], values: Mapping[str, Value]
) -> tuple[dict[str, str], int, int]:
    """What is wrong by output, and how many elements could be judged, of how many."""
    judged = elements = 0
    complaints: dict[str, str] = {}
    for name in case.outputs:
        ours, value = outputs[name], values[name]
        want = value.array
        if (ours.dtype, ours.shape) != (want.dtype, want.shape):
            complaints[name] = f"{name} is {ours.dtype}{ours.shape}, not {want.dtype}{want.shape}"
            continue
        sure, right = elementwise(ours, value)
        judged += int(sure.sum())
        elements += ours.size
        bad = np.argwhere(sure & ~right)
        if len(bad):
            at = tuple(map(int, bad[0]))
            complaints[name] = (
                f"{name}{list(at)} is {ours[at]!r}, not {want[at]!r} ({len(bad)} such)"
            )
    return complaints, judged, elements


def elementwise(ours: Array, value: Value) -> tuple[Array, Array]:
    """Which elements the reference is sure of, and which are right."""
    want = value.array
    if want.dtype.kind != "f":
        sure = np.all([s == want for s in value.shaken], axis=0)
        return np.asarray(sure), np.asarray(ours == want)
    info = np.finfo(want.dtype)
    with np.errstate(all="ignore"):
        wide = [r.astype(np.float64) for r in value.replicas]
        same_kind = [_same_kind(w, wide[0]) for w in wide]
        sure = np.all(same_kind, axis=0)
        spread = np.max([np.abs(w - wide[0]) for w in wide], axis=0)
        allowed = (
            _SPREADS * spread + _STEPS * float(info.eps) * np.abs(wide[0]) + 4 * float(info.tiny)
        )
        off = np.abs(ours.astype(np.float64) - wide[0])
        same = (ours == want) | (np.isnan(ours) & np.isnan(want))
        return np.asarray(sure), np.asarray(same | (np.isfinite(wide[0]) & (off <= allowed)))


def _same_kind(a: Array, b: Array) -> Array:
    """Where both are finite, both NaN, or infinities of one sign."""
    return np.asarray(
        (np.isfinite(a) & np.isfinite(b)) | (np.isnan(a) & np.isnan(b)) | (np.isinf(a) & (a == b))
    )
