"""Quantised models against other engines and against Luthier's float32, into RESULTS.md.

python -m bench.quantized                      every model, 1 and 2 threads
python -m bench.quantized resnet18 --activations QUInt8 --threads 1 --print
python -m bench.quantized bert_base_128 --activations dynamic --print

ONNX Runtime's static quantiser writes the pairs (per channel, random inputs to calibrate with), or
its dynamic one products of what is quantised in each run; all engines run its file. *As ONNX says*
is the correlation of an engine's outputs with those of ONNX Runtime without optimisations, which
computes each pair by itself.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import onnx

import luthier
from bench import architectures
from bench.architectures import Network, export
from bench.engines import Arrays
from bench.models import cache_folder, exported, made
from bench.rounded import FLOAT, Form, Measured, arguments, built, correlation, run
from bench.turns import OURS, SEED, Array, Entry, measure
from bench.unseen import deit_small, distilbert_128
from luthier.inputs.samples import random_inputs

PEERS = ("onnxruntime", "openvino")
ACTIVATIONS = ("QUInt8", "QInt8")
DYNAMIC = "dynamic"  # by the numbers of each run, in uint8
_CALIBRATED = 4  # random inputs
_READING = """\
Milliseconds of Luthier with default schedules, and times as fast as the others, medians of {rounds}
rounds in turns with their quartiles, through Python. *float32* is Luthier's library of the same
model before it was quantised. Against the best peer: {mean:.2f} in geometric mean, {least:.2f} at
least; against float32: {gain:.2f}. An engine differs whose outputs correlate with ours by less than
0.9."""
_ALIKE = 0.9
FORM = Form(PEERS, "as ONNX says", _READING)


def resnet50() -> Network:
    """ResNet-50 (He et al. 2015) for 1000 classes; the quantiser refuses the onnx wheel's."""
    from transformers import ResNetConfig, ResNetForImageClassification

    return architectures.vision(lambda: ResNetForImageClassification(ResNetConfig(num_labels=1000)))


def resnet34() -> Network:
    """ResNet-34 (He et al. 2015) for 1000 classes."""
    from transformers import ResNetConfig, ResNetForImageClassification

    sizes = {"hidden_sizes": [64, 128, 256, 512], "depths": [3, 4, 6, 3]}
    config = ResNetConfig(layer_type="basic", num_labels=1000, **sizes)
    return architectures.vision(lambda: ResNetForImageClassification(config))


def mobilenet_v1() -> Network:
    """MobileNet-V1 (Howard et al. 2017), width 1.0, for 1000 classes."""
    from transformers import MobileNetV1Config, MobileNetV1ForImageClassification

    config = MobileNetV1Config(tf_padding=False, num_labels=1000)
    return architectures.vision(lambda: MobileNetV1ForImageClassification(config))


def mobilenet_v3() -> Network:
    """MobileNet-V3-Large (Howard et al. 2019) for 1000 classes."""
    from torchvision.models import mobilenet_v3_large

    return architectures.vision(mobilenet_v3_large)


def yolo() -> Network:
    """YOLOv8n (Jocher et al. 2023) up to its boxes and scores, at 640 x 640."""
    from bench.exports.detectors import SIDE
    from bench.exports.yolo_network import Yolo

    return replace(architectures.vision(Yolo, size=SIDE), output_names=("boxes", "scores"))


def _exported(name: str) -> Callable[[Path], Path]:
    return lambda folder: exported(name, folder)


def _own(make: Callable[[], Network]) -> Callable[[Path], Path]:
    name = f"{make.__name__}.own"
    return lambda folder: made(folder / f"{name}.onnx", lambda path: export(make(), path))


MODELS: Mapping[str, Callable[[Path], Path]] = {
    "resnet18": _exported("resnet18"),
    "resnet34": _own(resnet34),
    "resnet50": _own(resnet50),
    "mobilenet_v1": _own(mobilenet_v1),
    "mobilenet_v2": _exported("mobilenet_v2"),
    "mobilenet_v3": _own(mobilenet_v3),
    "efficientnet_b0": _exported("efficientnet_b0"),
    "yolo": _own(yolo),
    "unet": _exported("unet"),
    "deit_small": _own(deit_small),
    "vit_b16": _exported("vit_b16"),
    "segformer_b0": _exported("segformer_b0"),
    "gpt2_128": _exported("gpt2_128"),
    "minilm_l6_128": _exported("minilm_l6_128"),
    "distilbert_128": _own(distilbert_128),
    "bert_base_128": _exported("bert_base_128"),
}


def quantized(name: str, activations: str, folder: Path) -> Path:
    """The quantised file of a model, made unless ``folder`` holds it already."""
    path = folder / f"{name}.{activations}.onnx"
    return made(path, lambda out: quantize(MODELS[name](folder), out, activations))


def quantize(model: Path, out: Path, activations: str) -> None:
    """With pairs around what ONNX Runtime's static quantiser knows, or by its dynamic one."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Drawn(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, proto: onnx.ModelProto) -> None:
            self.seeds, self.proto = iter(range(_CALIBRATED)), proto

        def get_next(self) -> Arrays | None:
            seed = next(self.seeds, None)
            return None if seed is None else random_inputs(self.proto, SEED + 1 + seed)

    logging.disable(logging.WARNING)  # it warns of what it does
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(str(model), str(ready), skip_symbolic_shape=True)
        if activations == DYNAMIC:
            quantize_dynamic(ready, out, per_channel=True, weight_type=QuantType.QInt8)
        else:
            quantize_static(
                str(ready),
                str(out),
                Drawn(onnx.load(ready)),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType[activations],
                weight_type=QuantType.QInt8,
            )
    logging.disable(logging.NOTSET)


def alike(some: Array, other: Array) -> bool:
    """Whether two engines mean the same by a quantised model."""
    return bool(correlation(some, other) >= _ALIKE)


def exactness(path: Path, ours: Path) -> float:
    """The least correlation of an output with ONNX Runtime's without optimisations."""
    import onnxruntime as ort

    inputs = random_inputs(onnx.load(path), SEED)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    wanted = dict(zip(names, session.run(names, inputs), strict=True))
    with luthier.load(ours) as library:
        found = library.run(inputs)
    return min(correlation(found[name], wanted[name]) for name in names)


def measured(name: str, activations: str, threads: int, rounds: int, folder: Path) -> Measured:
    """One model, its float32 beside it; ``folder`` keeps the libraries."""
    cached = cache_folder()
    path, plain = quantized(name, activations, cached), MODELS[name](cached)
    ours = built(path, folder / path.stem)
    entries = [Entry(OURS, OURS, ours), *(Entry(peer, peer, path) for peer in PEERS)]
    entries.append(Entry(FLOAT, OURS, built(plain, folder / plain.stem), compared=False))
    row = measure(f"{name}, {activations}", path, threads, entries, rounds, alike=alike)
    return Measured(row, exactness(path, ours))


def main() -> None:
    """Measure the models and write the section."""
    parser = arguments("Quantised models.")
    choices = (*ACTIVATIONS, DYNAMIC)
    parser.add_argument("--activations", nargs="+", default=ACTIVATIONS, choices=choices)
    parser.add_argument(
        "--section", default="quantized", help="of RESULTS.md (default: %(default)s)"
    )
    options = parser.parse_args()

    def each(folder: Path) -> Iterator[Measured]:
        for threads in options.threads:
            for name in options.models or MODELS:
                for activations in options.activations:
                    yield measured(name, activations, threads, options.rounds, folder)

    run(options, FORM, each, options.section, "bench.quantized")


if __name__ == "__main__":
    main()
