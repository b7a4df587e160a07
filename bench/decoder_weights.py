"""The decoder of ``bench.decoder`` with weights of few bits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

import luthier
from bench.engines import ROUNDED
from bench.models import cache_folder, decoder, made

WEIGHTS: Mapping[str, tuple[str | None, int]] = {  # how they are quantised, and accuracy_level
    "float32": (None, 0),
    "4 bits": ("weights4", 0),
    "4 bits, rounded rows": ("weights4", ROUNDED),
    "8 bits, rounded rows": ("weights8", ROUNDED),
}


def quantised(weights: str) -> Path:
    """The decoder with such weights."""
    method, level = WEIGHTS[weights]
    folder = cache_folder()
    whole = decoder(folder)
    if method is None:
        return whole

    def of_level(path: Path) -> None:
        luthier.quantize(whole, path, method=method)
        model = onnx.load(path)
        for node in model.graph.node:
            if node.op_type == "MatMulNBits":
                node.attribute.append(onnx.helper.make_attribute("accuracy_level", level))
        onnx.save(model, path)

    return made(folder / f"gpt2_decoder.{method}.{level}.onnx", of_level)
