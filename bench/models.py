"""The models that the benchmarks run, as ONNX files in a folder.

The ``light_*`` models lie inside the onnx wheel, without weights; here they get seeded ones (see
``seeded``). The others are exported from their public architectures (transformers' configurations)
with seeded weights, so nobody has to download anything::

    python -m bench.models --out ~/.cache/luthier/models
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from bench.seeded import seeded

SEED = 20
OPSET = 18
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
    """Where exported models are kept unless told otherwise."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "luthier" / "models"


def light(name: str) -> Path:
    """A model of the onnx wheel by its name without ``light_``."""
    return Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"


def light_seeded(name: str, folder: Path) -> Path:
    """The same with seeded weights, made unless ``folder`` holds it already."""
    return _made(folder / f"{name}.onnx", lambda path: _save_seeded(light(name), path))


def _save_seeded(source: Path, path: Path) -> None:
    onnx.save(seeded(onnx.load(source), SEED), path)


def all_models(folder: Path) -> dict[str, Path]:
    """Every model of the benchmarks by name; exports into ``folder`` what is not there yet."""
    models = {name: light_seeded(name, folder) for name in LIGHT}
    models["digits"] = DIGITS
    models.update({name: exported(name, folder) for name in ARCHITECTURES})
    return models


def exported(name: str, folder: Path) -> Path:
    """The ONNX file of one of ``ARCHITECTURES``, exported unless ``folder`` holds it already."""
    return _made(folder / f"{name}.onnx", ARCHITECTURES[name])


def _made(path: Path, make: Callable[[Path], None]) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            make(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return path


def resnet18(path: Path) -> None:
    """ResNet-18 (He et al. 2015) for 1000 classes at 224 x 224."""
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(SEED)
    config = ResNetConfig(
        layer_type="basic", hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], num_labels=1000
    )
    _export_vision(ResNetForImageClassification(config), path)


def mobilenet_v2(path: Path) -> None:
    """MobileNet-V2 (Sandler et al. 2018), width 1.0, for 1000 classes at 224 x 224."""
    import torch
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    torch.manual_seed(SEED)
    config = MobileNetV2Config(tf_padding=False, num_labels=1000)
    _export_vision(MobileNetV2ForImageClassification(config), path)


def bert_base(path: Path) -> None:
    """BERT-base (Devlin et al. 2018) at batch 1 and sequence length 128."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(SEED)
    bert = BertModel(BertConfig(attn_implementation="eager"))
    names = ("input_ids", "attention_mask", "token_type_ids")
    ids = torch.zeros(1, 128, dtype=torch.long)
    inputs = (ids, torch.ones_like(ids), ids)

    class Outputs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, *arrays: Any) -> tuple[Any, Any]:
            result = self.bert(**dict(zip(names, arrays, strict=True)))
            return result.last_hidden_state, result.pooler_output

    _export(Outputs(), inputs, names, ("last_hidden_state", "pooler_output"), path)


ARCHITECTURES: dict[str, Callable[[Path], None]] = {
    "resnet18": resnet18,
    "mobilenet_v2": mobilenet_v2,
    "bert_base_128": bert_base,
}


def _export_vision(model: Any, path: Path) -> None:
    import torch

    _calibrate_batch_norms(model)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixel_values: Any) -> Any:
            return self.model(pixel_values=pixel_values).logits

    image = torch.zeros(1, 3, 224, 224)
    _export(Logits(), (image,), ("pixel_values",), ("logits",), path)


def _calibrate_batch_norms(model: Any) -> None:
    """Seeded scales, and statistics of random images, so activations keep a trained net's scale."""
    import torch

    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, std=0.2)
        norm.momentum = None  # a plain average over all batches
        norm.reset_running_stats()
    model.train()
    with torch.no_grad():
        for _ in range(4):
            model(pixel_values=torch.randn(4, 3, 224, 224))


def _export(
    model: Any,
    inputs: tuple[Any, ...],
    names: tuple[str, ...],
    outputs: tuple[str, ...],
    path: Path,
) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own innards
        torch.onnx.export(
            model.eval(),
            inputs,
            str(path),
            input_names=list(names),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def main() -> None:
    """Export what is missing and print where each model lies."""
    parser = argparse.ArgumentParser(description="Make the ONNX models of the benchmarks.")
    parser.add_argument("--out", type=Path, default=cache_folder(), help="folder for the models")
    for name, path in all_models(parser.parse_args().out).items():
        print(f"{name:16} {path.stat().st_size / 1e6:8.1f} MB  {path}")


if __name__ == "__main__":
    main()
