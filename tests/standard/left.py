"""The list of cases that do not pass, each with its reason: ``name: reason`` in each line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

LEFT = Path(__file__).parent / "left.txt"

# Those whose expected output is not what the text says, and ONNX Runtime computes; or was
# drawn by a generator that the standard does not name.
CONTRADICTED: Mapping[str, str] = {
    **{
        f"node/test_resize_downsample_scales_{mode}_align_corners": (
            "wrong: it divides by the unrounded length where the text says the length of the result"
        )
        for mode in ("linear", "cubic")
    },
    **{
        f"node/test_bernoulli{kind}{form}": "wrong: NumPy's generator drew what is expected"
        for kind in ("", "_double", "_seed")
        for form in ("", "_expanded")
    },
    **{
        f"node/test_training_dropout{ratio}{mask}": "wrong: NumPy's generator drew what is expected"
        for ratio in ("", "_default")
        for mask in ("", "_mask")
    },
}


def read_left() -> dict[str, str]:
    """The reasons by name."""
    lines = LEFT.read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)


def write_left(why: Mapping[str, str]) -> None:
    """Those of all cases that have a reason; what others contradict has its own."""
    found = {n: CONTRADICTED.get(n, reason) for n, reason in why.items() if reason}
    LEFT.write_text("".join(f"{name}: {found[name]}\n" for name in sorted(found)))


def counts(
    operators: Mapping[str, Sequence[str]], left: Mapping[str, str]
) -> dict[str, tuple[int, int]]:
    """By operator, in order, how many of the cases in which it occurs pass, of how many."""
    every = Counter(op for names in operators.values() for op in names)
    failed = Counter(op for name, ops in operators.items() if name in left for op in ops)
    return {op: (every[op] - failed[op], every[op]) for op in sorted(every)}
