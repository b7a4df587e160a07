"""The models that the benchmarks run, as ONNX files in a folder.

The ``light_*`` models lie inside the onnx wheel, without weights; here they get seeded ones (see
``seeded``). The others are exported from their public architectures (transformers' configurations)
with seeded weights, so nobody has to download anything::

    python -m bench.models --out ~/.cache/luthier/models
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

import onnx

from bench import unseen
from bench.architectures import ARCHITECTURES, SEED, export, gpt2_decoder
from bench.seeded import seeded

LIGHT = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)
DIGITS = Path(__file__).parent.parent / "examples" / "digits" / "digits.onnx"


def cache_folder() -> Path:
    """Where exported models are kept by default."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "luthier" / "models"


def light(name: str) -> Path:
    """A model of the onnx wheel by its name without ``light_``."""
    return Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"


def light_seeded(name: str, folder: Path) -> Path:
    """The same with seeded weights, made unless ``folder`` holds it already."""
    return made(folder / f"{name}.onnx", lambda path: _save_seeded(light(name), path))


def _save_seeded(source: Path, path: Path) -> None:
    onnx.save(seeded(onnx.load(source), SEED), path)


def all_models(folder: Path, only: Collection[str] = ()) -> dict[str, Path]:
    """Every model of the benchmarks by name, or ``only`` some; exports into ``folder`` what is not
    there yet."""
    models: dict[str, Callable[[], Path]]
    models = {name: partial(light_seeded, name, folder) for name in LIGHT}
    models["digits"] = lambda: DIGITS
    models.update({name: partial(exported, name, folder) for name in ARCHITECTURES})
    return {name: make() for name, make in models.items() if not only or name in only}


def unseen_models(folder: Path, only: Collection[str] = ()) -> dict[str, Path]:
    """Those of ``unseen``, exported like the others."""
    names = [name for name in unseen.ARCHITECTURES if not only or name in only]
    return {name: _unseen(name, folder) for name in names}


def _unseen(name: str, folder: Path) -> Path:
    make = unseen.ARCHITECTURES[name]
    return made(folder / f"{name}.onnx", lambda path: export(make(), path))


def exported(name: str, folder: Path) -> Path:
    """The ONNX file of one of ``ARCHITECTURES``, exported unless ``folder`` holds it already."""
    return made(folder / f"{name}.onnx", lambda path: export(ARCHITECTURES[name](), path))


def opened(name: str, sizes: Mapping[int, str], folder: Path) -> Path:
    """The same with open sizes, by the number of the inputs' dimension."""
    names = ".".join(dict.fromkeys(sizes.values()))
    path = folder / f"{name}.{names}.onnx"
    return made(path, lambda out: export(ARCHITECTURES[name](), out, sizes))


def decoder(folder: Path) -> Path:
    """A decoder whose cache is inputs and outputs."""
    return made(folder / "gpt2_decoder.onnx", lambda path: export(gpt2_decoder(), path))


def made(path: Path, make: Callable[[Path], None]) -> Path:
    """The file, which ``make`` writes unless it is there; nobody sees it half-written."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            make(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return path


def main() -> None:
    """Export what is missing and print where each model lies."""
    parser = argparse.ArgumentParser(description="Make the ONNX models of the benchmarks.")
    parser.add_argument("--out", type=Path, default=cache_folder(), help="folder for the models")
    for name, path in all_models(parser.parse_args().out).items():
        print(f"{name:16} {path.stat().st_size / 1e6:8.1f} MB  {path}")


if __name__ == "__main__":
    main()
