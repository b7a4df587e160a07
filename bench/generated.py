"""The text of all kernels that the bench's models get by default, which no refactoring may change.

python -m bench.generated before                    every model, in a folder of texts
python -m bench.generated after --against before    with other code: what differs, exit code 1
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from bench.models import all_models, cache_folder
from luthier.frontend import import_model
from luthier.schedules import Kernel, Target
from luthier.schedules.target import parse
from luthier.schedules.templates.registry import default, instantiate

TARGETS = ("x86-64-v3", "x86-64-v4")  # fixed descriptions, the same on every machine
THREADS = 2


def text(model: Path, target: Target) -> str:
    """The model's calls in order, each kernel at its first."""
    program = import_model(model, target)
    parts, seen = [], set()
    for call in program.calls:
        parts.append(f"{call.result} = {call.workload} of {call.args} {call.placement}\n")
        if (call.workload, call.placement) not in seen:
            seen.add((call.workload, call.placement))
            schedule = default(call.workload, target)
            kernel = instantiate(call.workload, target, schedule, call.placement)
            parts.append(_kernel(kernel))
    return "\n".join(parts)


def _kernel(kernel: Kernel) -> str:
    packed = [packing.shape if packing else None for packing in kernel.packings]
    lines = [str(kernel.schedule), f"{packed} {kernel.temps} {kernel.scratch}"]
    lines += [f"{phase.chunks} chunks\n{phase.func.script()}" for phase in kernel.phases]
    return "\n".join(lines) + "\n"


def differences(folder: Path, other: Path) -> Iterator[str]:
    """The files that are not the same in both, with the first line that differs."""
    for name in sorted({p.name for p in (*folder.iterdir(), *other.iterdir())}):
        paths = folder / name, other / name
        if not all(path.exists() for path in paths):
            yield f"{name}: only in {next(p for p in paths if p.exists()).parent}"
            continue
        lines = [path.read_text().splitlines() for path in paths]
        if lines[0] != lines[1]:
            pairs = enumerate(zip(*lines, strict=False), 1)
            number = next((i for i, (a, b) in pairs if a != b), min(map(len, lines)) + 1)
            yield f"{name}: line {number} differs"


def main() -> int:
    """Write the texts; with ``--against``, 1 where they are not those of another folder."""
    parser = argparse.ArgumentParser(description="The text of all kernels of the bench's models.")
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument("models", nargs="*", help="names of bench.models (default: all)")
    parser.add_argument("--against", type=Path, help="a folder written before")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    models = all_models(cache_folder())
    for name in options.models or models:
        for target in TARGETS:
            written = text(models[name], parse(target, THREADS))
            (options.folder / f"{name}.{target}.txt").write_text(written)
    found = list(differences(options.folder, options.against)) if options.against else []
    print("\n".join(found))
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
