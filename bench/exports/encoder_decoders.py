"""Encoders and decoders with caches of keys and values, with seeded weights; needs transformers.

A decoder's cache is inputs and outputs, named as optimum names them: what it adds a token's keys
and values to, and what it computed once of the encoder's output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.architectures import SEED, Network, wrapped

FRAMES = 3000  # of half a minute
_PAST, _SOURCE = 5, 9  # while exporting


def whisper_encoder() -> Network:
    """The encoder of Whisper tiny (Radford et al. 2022) for half a minute of sound."""
    import torch

    model = _whisper().model.encoder
    sound = torch.zeros(1, 80, FRAMES)
    run = wrapped(lambda sound: model(sound).last_hidden_state, model)
    return Network(run, (sound,), ("input_features",), ("last_hidden_state",))


def whisper_decoder() -> Network:
    """Its decoder: one more token, at a position that is given, after any number of others."""
    import torch

    model = _whisper()

    def run(caches: Any, hidden: Any, ids: Any, positions: Any) -> Any:
        states = model.model.decoder(
            input_ids=ids,
            encoder_hidden_states=hidden,
            cache=caches,
            position_ids=positions,
            use_cache=True,
        )
        return model.proj_out(states.last_hidden_state)

    given = {
        "input_ids": torch.zeros(1, 1, dtype=torch.long),
        "position_ids": torch.full((1, 1), _PAST),
    }
    return _decoder(model, run, given, layers=4, heads=6, source=FRAMES // 2)


def t5_encoder() -> Network:
    """The encoder of T5 small (Raffel et al. 2019) for any number of tokens."""
    import torch

    model = _t5().encoder

    def run(ids: Any, mask: Any) -> Any:
        return model(input_ids=ids, attention_mask=mask).last_hidden_state

    ids = torch.zeros(3, 7, dtype=torch.long)
    sizes = {0: "batch", 1: "tokens"}
    names = ("input_ids", "attention_mask"), ("last_hidden_state",)
    return Network(wrapped(run, model), (ids, torch.ones_like(ids)), *names, (sizes, sizes))


def t5_decoder() -> Network:
    """Its decoder: one more token, after any number of others, of any number of the encoder's."""
    import torch

    model = _t5()

    def run(caches: Any, hidden: Any, ids: Any) -> Any:
        return model(
            encoder_outputs=(hidden,), decoder_input_ids=ids, cache=caches, use_cache=True
        ).logits

    given = {"decoder_input_ids": torch.zeros(1, 1, dtype=torch.long)}
    return _decoder(model, run, given, layers=6, heads=8, source=None)


def _whisper() -> Any:
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(SEED)
    return WhisperForConditionalGeneration(WhisperConfig()).eval()


def _t5() -> Any:
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(SEED)
    return T5ForConditionalGeneration(T5Config(attn_implementation="eager")).eval()


def _decoder(
    model: Any,
    run: Callable[..., Any],
    given: Mapping[str, Any],
    *,
    layers: int,
    heads: int,
    source: int | None,
) -> Network:
    """Of what is ``given`` and, of each layer, keys and values [1, heads, past, 64] and the
    encoder's [1, heads, source, 64]; the logits, and keys and values with the token's own. Where
    ``source`` is None, it is open.
    """
    import torch

    count = len(given)

    def forward(*arrays: Any) -> tuple[Any, ...]:
        pairs = [arrays[i : i + 2] for i in range(count, len(arrays), 2)]
        own, other = _cache(pairs[::2]), _cache(pairs[1::2])
        hidden = pairs[1][0].transpose(1, 2).flatten(2)  # not read: its keys and values are there
        logits = run(_both(own, other), hidden, *arrays[:count])
        return logits, *(a for layer in own.layers for a in (layer.keys, layer.values))

    names, inputs = [*given], [*given.values()]
    sizes: list[dict[int, str]] = [{} for _ in given]
    for layer in range(layers):
        for part, length, name in (("decoder", None, "past"), ("encoder", source, "source")):
            for what in ("key", "value"):
                names.append(f"past_key_values.{layer}.{part}.{what}")
                example = length or (_PAST if part == "decoder" else _SOURCE)
                inputs.append(torch.zeros(1, heads, example, 64))
                sizes.append({} if length else {2: name})
    outputs = [n.replace("past_key_values", "present") for n in names if ".decoder." in n]
    module = wrapped(forward, model)
    return Network(module, tuple(inputs), tuple(names), ("logits", *outputs), tuple(sizes))


def _cache(pairs: Sequence[Sequence[Any]]) -> Any:
    from transformers.cache_utils import DynamicCache, DynamicLayer

    cache = DynamicCache()
    for keys, values in pairs:
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def _both(own: Any, other: Any) -> Any:
    from transformers.cache_utils import EncoderDecoderCache

    return EncoderDecoderCache(own, other)
