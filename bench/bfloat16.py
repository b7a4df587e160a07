"""Float32 models in bfloat16 against OpenVINO's and against Luthier's float32, into RESULTS.md.

python -m bench.bfloat16                      every model, 1 and 2 threads
python -m bench.bfloat16 resnet50 --threads 1 --print

Ours are built with ``accuracy="bf16"``; OpenVINO's precision hint is ``bf16``. Both read the same
float32 file. *As float32* is the least correlation of our outputs with those of float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

import luthier
from bench.models import cache_folder
from bench.quantized import MODELS, alike
from bench.rounded import FLOAT, Form, Measured, arguments, built, correlation, run
from bench.turns import OURS, SEED, Entry, measure
from luthier.inputs.samples import random_inputs

PEER = "openvino_bf16"
FORM = Form(
    (PEER,),
    "as float32",
    """\
Milliseconds of Luthier in bfloat16 with default schedules, and times as fast as the others, medians
of {rounds} rounds in turns with their quartiles, through Python. *float32* is Luthier's own.
Against OpenVINO in bfloat16: {mean:.2f} in geometric mean, {least:.2f} at least; against float32:
{gain:.2f}.""",
)


def exactness(path: Path, ours: Path, plain: Path) -> float:
    """The least correlation of an output with that of float32."""
    inputs = random_inputs(onnx.load(path), SEED)
    with luthier.load(ours) as library, luthier.load(plain) as other:
        found, wanted = library.run(inputs), other.run(inputs)
    return min(correlation(found[name], wanted[name]) for name in wanted)


def measured(name: str, threads: int, rounds: int, folder: Path) -> Measured:
    """One model, its float32 beside it; ``folder`` keeps the libraries."""
    path = MODELS[name](cache_folder())
    ours, plain = (
        built(path, folder / f"{path.stem}.{accuracy}", accuracy)
        for accuracy in ("bf16", "standard")
    )
    entries = [Entry(OURS, OURS, ours), Entry(PEER, PEER, path)]
    entries.append(Entry(FLOAT, OURS, plain, compared=False))
    row = measure(name, path, threads, entries, rounds, alike=alike)
    return Measured(row, exactness(path, ours, plain))


def main() -> None:
    """Measure the models and write the section."""
    options = arguments("Float32 models in bfloat16.").parse_args()

    def each(folder: Path) -> Iterator[Measured]:
        for threads in options.threads:
            for name in options.models or MODELS:
                yield measured(name, threads, options.rounds, folder)

    run(options, FORM, each, "bfloat16", "bench.bfloat16")


if __name__ == "__main__":
    main()
