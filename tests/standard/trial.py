"""Some cases, built into one library and run, in this process, which may not survive it."""

from __future__ import annotations

import re
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from luthier.deploy import build, load
from luthier.frontend import Entry, Library, import_entry
from luthier.frontend.onnx.read import read_model
from luthier.frontend.program.library import verify_library
from luthier.schedules import LuthierError, Target

from .cases import Case, Run
from .judge import fault

TARGET = Target("x86-64-v2", "x86-64-v2", 1)
_MOST_ASKED = 12  # bounds and numbers, one after the other

Note = Callable[[str, str], None]
"""Called with what is done now, and for which case: the last words of a process that crashes."""


def attempt(cases: Sequence[Case], note: Note) -> dict[str, str]:
    """By name why a case does not pass: why it is refused, or what is wrong; "" if it passes."""
    outcomes: dict[str, str] = {}
    ready: dict[str, Entry] = {}
    named = {case.name: case for case in cases}
    for case in cases:
        note("import", case.name)
        try:
            ready[case.name] = imported(case)
        except LuthierError as error:
            outcomes[case.name] = f"refused: {_line(str(error))}"
        except Exception as error:
            outcomes[case.name] = _internal(error)
    return outcomes | _tried({name: named[name] for name in ready}, ready, note)


def imported(case: Case) -> Entry:
    """What runs a case; sizes that its model leaves open, how many tensors sequences have, and
    bounds that it does not tell, are given as a user would give them."""
    first, bounds = case.runs[0], dict[str, int]()
    shapes = _shapes(case, first)
    names = [output.name for output in case.model.graph.output]
    lists = {n: v for n, v in zip(names, first.outputs, strict=False) if isinstance(v, list)}
    absent = {name: None for name, value in first.inputs.items() if value is None}
    for _ in range(_MOST_ASKED):
        try:
            return import_entry(read_model(case.model, shapes, absent, bounds=bounds), TARGET)
        except LuthierError as error:
            asked = re.search(r"--(bound|shape) ([\w.:/-]+)=\d+", str(error))
            if asked is None or asked[2] in bounds or asked[2] in shapes:
                raise
            if asked[1] == "bound":
                bounds[asked[2]] = _longest(first)
            elif asked[2] in lists:
                shapes[asked[2]] = len(lists[asked[2]])
            else:
                raise
    return import_entry(read_model(case.model, shapes, absent, bounds=bounds), TARGET)


def _shapes(case: Case, run: Run) -> dict[str, tuple[int, ...] | int]:
    """Of inputs that have no fixed shape in the model, and of the tensors of sequences."""
    found: dict[str, tuple[int, ...] | int] = {}
    for info in case.model.graph.input:
        tensor, value = info.type.tensor_type, run.inputs.get(info.name)
        fixed = tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim)
        if isinstance(value, list):
            found[info.name] = len(value)
            found |= {f"{info.name}_{i}": each.shape for i, each in enumerate(value)}
        elif info.type.HasField("tensor_type") and not fixed and hasattr(value, "shape"):
            found[info.name] = value.shape
    return found


def _longest(run: Run) -> int:
    sizes = [n for value in run.outputs if hasattr(value, "shape") for n in value.shape]
    return max([64, *sizes])


def _tried(cases: Mapping[str, Case], entries: Mapping[str, Entry], note: Note) -> dict[str, str]:
    """Where a library of several fails, it is split until it is known whose fault it is."""
    if not entries:
        return {}
    names = list(entries)
    note("build", " ".join(names))
    try:
        return _run(cases, entries, note)
    except Exception as error:
        if len(names) == 1:
            return {names[0]: _internal(error)}
    half = len(names) // 2
    found = {}
    for part in (names[:half], names[half:]):
        found |= _tried(cases, {name: entries[name] for name in part}, note)
    return found


def _run(cases: Mapping[str, Case], entries: Mapping[str, Entry], note: Note) -> dict[str, str]:
    library = Library("standard", {f"e{i}": entry for i, entry in enumerate(entries.values())})
    verify_library(library)
    outcomes = {}
    with tempfile.TemporaryDirectory(prefix="luthier-standard-") as folder:
        build(library, Path(folder, "built"), TARGET, {})
        with load(Path(folder, "built"), threads=1) as first:
            for i, name in enumerate(entries):
                note("run", name)
                with first.entry(f"e{i}") as artifact:
                    outcomes[name] = _judged(cases[name], artifact)
    return outcomes


def _judged(case: Case, artifact: Any) -> str:
    names = [output.name for output in case.model.graph.output]
    for run in case.runs:
        try:
            given = artifact.run({n: _input(value) for n, value in run.inputs.items()})
        except LuthierError as error:
            return f"refused when it runs: {_line(str(error))}"
        for name, wanted in zip(names, run.outputs, strict=False):
            said = fault(given[name], wanted)
            if said:
                return f"wrong: '{name}': {said}"
    return ""


def _input(value: Any) -> Any:
    """Lists and None as they are."""
    return value if isinstance(value, list) or value is None else np.asarray(value)


def _line(text: str) -> str:
    """Without a place of this run; what is not one line is shown as such."""
    return repr(text) if "\n" in text else re.sub(r"\S*/luthier-standard-\S+", "it", text)


def _internal(error: Exception) -> str:
    """What was raised, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if "/tests/" not in f.filename), frames[-1])
    at = f"{place.filename.rsplit('/', 1)[-1]}:{place.name}"
    return f"fault: {type(error).__name__}: {' '.join(str(error).split())[:200]} ({at})"
