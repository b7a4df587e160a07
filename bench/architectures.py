"""Public architectures with seeded weights, which torch exports to ONNX.

Each function makes one model. Batch is 1 and images are 224 x 224 unless it says otherwise.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import networks

SEED = 20
OPSET = 18
TOKENS = 128


@dataclass(frozen=True)
class Network:
    """A module of torch that takes arrays in order, example inputs, and the names of its ports."""

    module: Any
    inputs: tuple[Any, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    open_sizes: tuple[Mapping[int, str], ...] = ()
    """Of each input the dimensions whose size is open, if all are not alike."""


def resnet18() -> Network:
    """ResNet-18 (He et al. 2015) for 1000 classes."""
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        layer_type="basic", hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], num_labels=1000
    )
    return vision(lambda: ResNetForImageClassification(config))


def mobilenet_v2() -> Network:
    """MobileNet-V2 (Sandler et al. 2018), width 1.0, for 1000 classes."""
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    config = MobileNetV2Config(tf_padding=False, num_labels=1000)
    return vision(lambda: MobileNetV2ForImageClassification(config))


def efficientnet_b0() -> Network:
    """EfficientNet-B0 (Tan and Le 2019) for 1000 classes."""
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    config = EfficientNetConfig(
        image_size=224,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        num_labels=1000,
    )
    return vision(lambda: EfficientNetForImageClassification(config))


def convnext_t() -> Network:
    """ConvNeXt-T (Liu et al. 2022) for 1000 classes."""
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(num_labels=1000)
    return vision(lambda: ConvNextForImageClassification(config))


def vit_b16() -> Network:
    """ViT-B/16 (Dosovitskiy et al. 2020) for 1000 classes."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(num_labels=1000)
    return vision(lambda: ViTForImageClassification(config))


def segformer_b0() -> Network:
    """SegFormer-B0 (Xie et al. 2021) for 150 classes at 512 x 512."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(num_labels=150)
    return vision(lambda: SegformerForSemanticSegmentation(config), size=512)


def unet() -> Network:
    """U-Net (Ronneberger et al. 2015) with 32 first channels at 256 x 256."""
    return vision(networks.unet, size=256)


def bert_base_128() -> Network:
    """BERT-base (Devlin et al. 2018) at sequence length 128."""
    from transformers import BertConfig

    return _bert(BertConfig(attn_implementation="eager"))


def minilm_l6_128() -> Network:
    """MiniLM-L6 (Wang et al. 2020; 384 wide) at sequence length 128."""
    from transformers import BertConfig

    config = BertConfig(
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        attn_implementation="sdpa",
    )
    return _bert(config)


def gpt2_128() -> Network:
    """GPT-2 (Radford et al. 2019), 124 million weights, 128 tokens without a cache."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(SEED)
    gpt2 = GPT2LMHeadModel(GPT2Config(use_cache=False))
    ids = torch.zeros(1, TOKENS, dtype=torch.long)
    model = wrapped(lambda ids: gpt2(input_ids=ids).logits, gpt2)
    return Network(model, (ids,), ("input_ids",), ("logits",))


def gpt2_decoder() -> Network:
    """GPT-2 over a cache, which is inputs and outputs; tokens and past are open."""
    import torch

    torch.manual_seed(SEED)
    model = networks.decoder()
    for weights in (p for p in model.parameters() if p.ndim > 1):
        torch.nn.init.normal_(weights, std=0.02)
    layers = range(len(model.layers))
    cache = [f"{i}.{part}" for i in layers for part in ("key", "value")]
    past = tuple(torch.zeros(1, 12, 5, 64) for _ in cache)
    return Network(
        wrapped(model, model),
        (torch.zeros(1, 3, dtype=torch.long), torch.arange(5, 8).unsqueeze(0), *past),
        ("input_ids", "position_ids", *(f"past_key_values.{name}" for name in cache)),
        ("logits", *(f"present.{name}" for name in cache)),
        ({1: "tokens"}, {1: "tokens"}, *({2: "past"} for _ in cache)),
    )


def dlrm_128() -> Network:
    """DLRM (Naumov et al. 2019) with 26 tables of 10,000 rows by 64, at batch 128."""
    import torch

    torch.manual_seed(SEED)
    model = networks.dlrm()
    dense = torch.zeros(128, networks.DLRM_DENSE)
    indices = torch.zeros(128, networks.DLRM_TABLES, dtype=torch.long)
    return Network(model, (dense, indices), ("dense", "indices"), ("click",))


ARCHITECTURES: dict[str, Callable[[], Network]] = {
    function.__name__: function
    for function in (
        resnet18,
        mobilenet_v2,
        efficientnet_b0,
        convnext_t,
        vit_b16,
        bert_base_128,
        minilm_l6_128,
        gpt2_128,
        segformer_b0,
        unet,
        dlrm_128,
    )
}


def export(network: Network, path: Path, open_sizes: Mapping[int, str] | None = None) -> None:
    """Save a network as ONNX; ``open_sizes`` names dimensions of all inputs whose size is open."""
    import torch

    inputs, shapes = network.inputs, None
    each = network.open_sizes or (open_sizes or {},) * len(inputs)
    names = {name for sizes in each for name in sizes.values()}
    if names:
        dims = {name: torch.export.Dim(name, min=1, max=1023) for name in names}
        shapes = (tuple({d: dims[name] for d, name in sizes.items()} for sizes in each),)
    if open_sizes:
        # Of one element torch would say that it is always one.
        inputs = tuple(
            x.repeat([3 if d == 0 and d in open_sizes else 1 for d in range(x.ndim)])
            for x in inputs
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own innards
        torch.onnx.export(
            network.module.eval(),
            inputs,
            str(path),
            input_names=list(network.input_names),
            output_names=list(network.output_names),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes=shapes,
        )


def _bert(config: Any) -> Network:
    import torch
    from transformers import BertModel

    torch.manual_seed(SEED)
    bert = BertModel(config)
    names = ("input_ids", "attention_mask", "token_type_ids")
    ids = torch.zeros(1, TOKENS, dtype=torch.long)

    def run(*arrays: Any) -> tuple[Any, Any]:
        result = bert(**dict(zip(names, arrays, strict=True)))
        return result.last_hidden_state, result.pooler_output

    inputs = (ids, torch.ones_like(ids), ids.clone())  # the exporter takes one tensor for one input
    return Network(wrapped(run, bert), inputs, names, ("last_hidden_state", "pooler_output"))


def vision(make: Callable[[], Any], size: int = 224) -> Network:
    """A classifier or the like of one image, with ``_calibrate_batch_norms``."""
    import torch

    torch.manual_seed(SEED)
    model = make()
    _calibrate_batch_norms(model, size)

    def run(image: Any) -> Any:
        result = model(image)
        return getattr(result, "logits", result)

    image = torch.zeros(1, 3, size, size)
    return Network(wrapped(run, model), (image,), ("pixel_values",), ("logits",))


def _calibrate_batch_norms(model: Any, size: int) -> None:
    """Seeded scales, and statistics of random images, so activations keep a trained net's scale."""
    import torch

    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, std=0.2)
        norm.momentum = None  # a plain average over all batches
        norm.reset_running_stats()
    if norms:
        model.train()
        with torch.no_grad():
            for _ in range(4):
                model(torch.randn(4, 3, size, size))


def wrapped(run: Callable[..., Any], model: Any) -> Any:
    """``run`` as a module that owns the model's weights."""
    import torch

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *arrays: Any) -> Any:
            return run(*arrays)

    return Wrapped()
