"""Twelve more architectures: the schedules were made without a look at them.

``bench.latency --unseen`` measures them, so that the table of the others does not only say how well
Luthier fits what it was made with. Seeded weights, as in ``architectures``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench.architectures import SEED, TOKENS, Network, vision, wrapped

_SAMPLES = 16_000  # a second


def mobilenet_v1() -> Network:
    """MobileNet-V1 (Howard et al. 2017), width 1.0, for 1000 classes."""
    from transformers import MobileNetV1Config, MobileNetV1ForImageClassification

    config = MobileNetV1Config(tf_padding=False, num_labels=1000)
    return vision(lambda: MobileNetV1ForImageClassification(config))


def regnet_y_800mf() -> Network:
    """RegNetY-800MF (Radosavovic et al. 2020) for 1000 classes."""
    from torchvision.models import regnet_y_800mf as make

    return vision(make)


def resnext50() -> Network:
    """ResNeXt-50, 32 groups of 4 channels (Xie et al. 2017), for 1000 classes."""
    from torchvision.models import resnext50_32x4d

    return vision(resnext50_32x4d)


def mnasnet() -> Network:
    """MnasNet-B1 (Tan et al. 2019), depth 1.0, for 1000 classes."""
    from torchvision.models import mnasnet1_0

    return vision(mnasnet1_0)


def inception_v3() -> Network:
    """Inception-V3 (Szegedy et al. 2016) of 299 x 299 for 1000 classes."""
    from torchvision.models import inception_v3 as make

    return vision(lambda: make(aux_logits=False, init_weights=False), size=299)


def efficientnet_v2_s() -> Network:
    """EfficientNetV2-S (Tan and Le 2021) for 1000 classes."""
    from torchvision.models import efficientnet_v2_s as make

    return vision(make)


def mobilevit_s() -> Network:
    """MobileViT-S (Mehta and Rastegari 2022) of 256 x 256 for 1000 classes."""
    from transformers import MobileViTConfig, MobileViTForImageClassification

    config = MobileViTConfig(num_labels=1000)
    return vision(lambda: MobileViTForImageClassification(config), size=256)


def swin_t() -> Network:
    """Swin-T (Liu et al. 2021) for 1000 classes."""
    from torchvision.models import swin_t as make

    return vision(make)


def poolformer_s12() -> Network:
    """PoolFormer-S12 (Yu et al. 2022) for 1000 classes."""
    from transformers import PoolFormerConfig, PoolFormerForImageClassification

    config = PoolFormerConfig(num_labels=1000)
    return vision(lambda: PoolFormerForImageClassification(config))


def deit_small() -> Network:
    """DeiT-small (Touvron et al. 2020) for 1000 classes."""
    from transformers import DeiTConfig, DeiTForImageClassification

    config = DeiTConfig(
        hidden_size=384, num_attention_heads=6, intermediate_size=1536, num_labels=1000
    )
    return vision(lambda: DeiTForImageClassification(config))


def distilbert_128() -> Network:
    """DistilBERT (Sanh et al. 2019) at sequence length 128."""
    import torch
    from transformers import DistilBertConfig, DistilBertModel

    torch.manual_seed(SEED)
    bert = DistilBertModel(DistilBertConfig(attn_implementation="eager"))
    ids = torch.zeros(1, TOKENS, dtype=torch.long)

    def run(ids: Any, mask: Any) -> Any:
        return bert(input_ids=ids, attention_mask=mask).last_hidden_state

    names = ("input_ids", "attention_mask")
    model = wrapped(run, bert)
    return Network(model, (ids, torch.ones_like(ids)), names, ("last_hidden_state",))


def wav2vec2() -> Network:
    """wav2vec 2.0's base model (Baevski et al. 2020) of a second at 16 kHz."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(SEED)
    model = Wav2Vec2Model(Wav2Vec2Config(attn_implementation="eager"))

    def run(sound: Any) -> Any:
        return model(sound).last_hidden_state

    sound = torch.zeros(1, _SAMPLES)
    return Network(wrapped(run, model), (sound,), ("sound",), ("last_hidden_state",))


ARCHITECTURES: Mapping[str, Callable[[], Network]] = {
    function.__name__: function
    for function in (
        mobilenet_v1,
        regnet_y_800mf,
        resnext50,
        mnasnet,
        inception_v3,
        efficientnet_v2_s,
        mobilevit_s,
        swin_t,
        poolformer_s12,
        deit_small,
        distilbert_128,
        wav2vec2,
    )
}
