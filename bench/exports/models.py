"""The exported models by name, with the sizes that their libraries are for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bench.architectures import OPSET, Network, export
from bench.engines import Arrays
from bench.models import made

from . import detectors, encoder_decoders, generation, recurrent, tabular

Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Export:
    """A file's maker; ``shapes`` are the sizes that the library is for, and ``bounds`` the largest
    that its runs find, as ``luthier.build`` takes them; ``sizes`` are those that are measured, and
    ``given`` is what random inputs would not do for.
    """

    write: Callable[[Path], None]
    shapes: Mapping[str, Any]
    sizes: tuple[Sizes, ...] = ({},)
    given: Callable[[Sizes, np.random.Generator], Arrays] | None = None
    bounds: Mapping[str, int] | None = None

    def inputs(self, arrays: Arrays, sizes: Sizes) -> Arrays:
        """Random ones, with those in place that random ones would not do for."""
        if self.given is None:
            return arrays
        return arrays | self.given(sizes, np.random.default_rng(0))


def _traced(make: Callable[[], Network]) -> Callable[[Path], None]:
    """By the older exporter, which traces a module or compiles its source."""

    def write(path: Path) -> None:
        import torch

        network = make()
        names = (*network.input_names, *network.output_names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, that there is a newer one
            torch.onnx.export(
                network.module.eval(),
                network.inputs,
                str(path),
                input_names=list(network.input_names),
                output_names=list(network.output_names),
                opset_version=OPSET,
                dynamo=False,
                dynamic_axes={n: dict(s) for n, s in zip(names, network.open_sizes, strict=False)},
            )

    return write


def _exported(make: Callable[[], Network]) -> Callable[[Path], None]:
    """By torch's exporter of today."""
    return lambda path: export(make(), path)


def _converted(make: Callable[[], onnx.ModelProto]) -> Callable[[Path], None]:
    return lambda path: onnx.save(make(), path)


def _voice_detector() -> Network:
    from . import voice  # imports torch at once

    return voice.voice_detector()


def _longest_first(sizes: Sizes, rng: np.random.Generator) -> Arrays:
    lengths = rng.integers(1, sizes["tokens"] + 1, sizes["batch"])
    lengths[0] = sizes["tokens"]
    return {"lengths": np.sort(lengths)[::-1].copy()}


def _high_rate(sizes: Sizes, rng: np.random.Generator) -> Arrays:
    return {"rate": np.array(16_000)}


def _known_kinds(sizes: Sizes, rng: np.random.Generator) -> Arrays:
    return {"kinds": tabular.kinds(sizes["rows"], rng)}


def _picture(sizes: Sizes, rng: np.random.Generator) -> Arrays:
    return {"image": detectors.picture()}


def _prompt(sizes: Sizes, rng: np.random.Generator) -> Arrays:
    ids = rng.integers(0, generation.WORDS - 1, (1, sizes["tokens"]))  # not the one that ends
    return {"input_ids": ids.astype(np.int32)}


_TOKENS = {"batch": "1..8", "tokens": "1..256"}
_ROWS = {"rows": "1..1000"}
_ROW_SIZES = ({"rows": 1}, {"rows": 1000})
EXPORTS = {
    "lstm_tagger": Export(
        _traced(recurrent.lstm_tagger),
        _TOKENS,
        ({"batch": 1, "tokens": 16}, {"batch": 1, "tokens": 100}, {"batch": 8, "tokens": 32}),
        _longest_first,
    ),
    "gru_language_model": Export(
        _traced(recurrent.gru_language_model),
        _TOKENS,
        ({"batch": 1, "tokens": 1}, {"batch": 1, "tokens": 64}),
    ),
    "crnn": Export(
        _traced(recurrent.crnn),
        {"batch": "1..4", "width": (100, 160)},
        ({"batch": 1, "width": 100}, {"batch": 1, "width": 160}, {"batch": 4, "width": 100}),
    ),
    "voice_detector": Export(
        _traced(_voice_detector),
        {"batch": 1, "samples": (512, 1024)},
        ({"batch": 1, "samples": 512}, {"batch": 1, "samples": 1024}),
        _high_rate,
    ),
    "yolo": Export(
        _traced(detectors.yolo),
        {},
        given=_picture,
        bounds={"found_NonZero_output_0": 2000, "found_NonMaxSuppression_output_0": 2000},
    ),
    "forest_pipeline": Export(_converted(tabular.forest_pipeline), _ROWS, _ROW_SIZES, _known_kinds),
    "lightgbm": Export(_converted(tabular.lightgbm_trees), _ROWS, _ROW_SIZES),
    "xgboost": Export(_converted(tabular.xgboost_trees), _ROWS, _ROW_SIZES),
    "whisper_encoder": Export(_exported(encoder_decoders.whisper_encoder), {}),
    "whisper_decoder": Export(
        _exported(encoder_decoders.whisper_decoder),
        {"past": "1..447"},
        ({"past": 10}, {"past": 200}),
    ),
    "t5_encoder": Export(
        _exported(encoder_decoders.t5_encoder),
        _TOKENS,
        ({"batch": 1, "tokens": 16}, {"batch": 1, "tokens": 128}, {"batch": 4, "tokens": 32}),
    ),
    "t5_decoder": Export(
        _exported(encoder_decoders.t5_decoder),
        {"past": "1..255", "source": "1..256"},
        ({"past": 10, "source": 32}, {"past": 100, "source": 128}),
    ),
    "gpt2_greedy": Export(
        _converted(generation.gpt2_greedy),
        {"tokens": generation.PROMPT},
        ({"tokens": generation.PROMPT},),
        _prompt,
    ),
    "detr": Export(_exported(detectors.detr), {}),
}


def file(name: str, folder: Path) -> Path:
    """The ONNX file of one, made unless ``folder`` holds it already."""
    return made(folder / f"export_{name}.onnx", EXPORTS[name].write)
