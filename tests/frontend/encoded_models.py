"""Small seeded encoders, and decoders that read what they give, as exporters write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from generation_models import (
    COLUMNS,
    FLOAT,
    HEADS,
    INT32,
    LAYERS,
    PLACES,
    WIDTH,
    WORDS,
    Writer,
    info,
)


def _heads(w: Writer, x: str, name: str) -> str:
    y = w("MatMul", x, w.fixed(name, WIDTH, WIDTH, scale=1.5 / WIDTH**0.5))
    return str(w("Transpose", w("Reshape", y, np.array([0, 0, HEADS, COLUMNS])), perm=[0, 2, 1, 3]))


def _mixed(w: Writer, q: str, k: str, v: str, bias: str, name: str) -> str:
    scores = w("MatMul", q, w("Transpose", k, perm=[0, 1, 3, 2]))
    scores = w("Mul", scores, np.float32(COLUMNS**-0.5))
    y = w("MatMul", w("Softmax", w("Add", scores, bias) if bias else scores, axis=-1), v)
    y = w("Reshape", w("Transpose", y, perm=[0, 2, 1, 3]), np.array([0, 0, WIDTH]))
    return str(w("MatMul", y, w.fixed(name, WIDTH, WIDTH, scale=1.5 / WIDTH**0.5)))


def _normed(w: Writer, x: str) -> str:
    mean = w("ReduceMean", w("Mul", x, x), axes=[-1])
    return str(w("Div", x, w("Sqrt", w("Add", mean, np.float32(1e-6)))))


def _relative(w: Writer, every: str, name: str) -> str:
    """The bias of the last of so many places [1] to each [1, heads, 1, places], as T5 has it."""
    count = w("Squeeze", every, np.array([0]))
    places = w("Range", np.array(0), count, np.array(1))
    apart = w("Sub", w("Unsqueeze", places, np.array([0])), w("Unsqueeze", places, np.array([1])))
    bucket = w("Min", w("Neg", w("Min", apart, np.array(0))), np.array(7))
    table = w("Gather", w.fixed(name, 8, HEADS), bucket, axis=0)
    bias = w("Unsqueeze", w("Transpose", table, perm=[2, 0, 1]), np.array([0]))
    return str(w("Slice", bias, np.array([-1]), np.array([2**31]), np.array([2])))


def _feed_forward(w: Writer, x: str, name: str) -> str:
    y = w("MatMul", _normed(w, x), w.fixed(f"{name}.up", WIDTH, 2 * WIDTH, scale=0.4))
    y = w("MatMul", w("Relu", y), w.fixed(f"{name}.down", 2 * WIDTH, WIDTH, scale=0.4))
    return str(w("Add", x, y))


def _mask_bias(w: Writer, mask: str) -> str:
    y = w("Unsqueeze", w("Cast", mask, to=FLOAT), np.array([1, 2]))
    return str(w("Mul", w("Sub", np.float32(1), y), np.float32(-1e9)))


def _decoded(
    w: Writer,
    x: str,
    past: Sequence[str],
    cross: Sequence[str],
    biases: tuple[Any, str],
) -> tuple[str, list[str]]:
    """Layers over states [batch, tokens, width]; the logits, and the caches that have grown.
    ``biases`` are of both attentions, the first a function of how many keys there are."""
    own, other = biases
    present = []
    for i in range(LAYERS):
        name = f"decoder.{i}"
        y = _normed(w, x)
        k, v = (_heads(w, y, f"{name}.{part}") for part in "kv")
        if past:
            k, v = (
                w("Concat", a, b, axis=2)
                for a, b in zip(past[2 * i : 2 * i + 2], (k, v), strict=True)
            )
        present += [k, v]
        every = w("Gather", w("Shape", k), np.array([2]), axis=0)
        y = _mixed(w, _heads(w, y, f"{name}.q"), k, v, own(every), f"{name}.o")
        x = w("Add", x, y)
        q = _heads(w, _normed(w, x), f"{name}.cross.q")
        y = _mixed(w, q, *cross[2 * i : 2 * i + 2], other, f"{name}.cross.o")
        x = _feed_forward(w, w("Add", x, y), name)
    table = np.ascontiguousarray(w.fixed("words", WORDS, WIDTH).T)
    return str(w("MatMul", _normed(w, x), w.arrays.setdefault("words T", table))), present


def _crossed(w: Writer, states: str) -> list[str]:
    """The keys and values of what an encoder gives."""
    names = [f"decoder.{i}.cross.{part}" for i in range(LAYERS) for part in "kv"]
    return [_heads(w, states, name) for name in names]


def _cache_names(kind: str, which: str) -> list[str]:
    return [f"{kind}_{part}_{which}_{i}" for i in range(LAYERS) for part in ("key", "value")]


def _caches(kind: str, which: str, length: str | int) -> list[onnx.ValueInfoProto]:
    shape = ("batch", HEADS, length, COLUMNS)
    return [info(name, *shape) for name in _cache_names(kind, which)]


def _given(kind: str, which: str, values: Sequence[str], length: str | int) -> dict[str, Any]:
    shape = ("batch", HEADS, length, COLUMNS)
    return {n: (v, shape) for n, v in zip(_cache_names(kind, which), values, strict=True)}


def t5_encoder(*, begins: bool, seed: int = 2) -> onnx.GraphProto:
    """With the decoder's first step where it ``begins``, as exporters wrote it once; the newer ones
    leave that to the decoder."""
    w = Writer(seed)
    x = w("Gather", w.fixed("words", WORDS, WIDTH), "encoder_input_ids")
    y, bias = _normed(w, x), _mask_bias(w, "encoder_attention_mask")
    q, k, v = (_heads(w, y, f"encoder.{part}") for part in "qkv")
    x = _feed_forward(w, w("Add", x, _mixed(w, q, k, v, bias, "encoder.o")), "encoder")
    states = _normed(w, x)
    cross = _crossed(w, states)
    inputs = [
        info(name, "batch", "words", dtype=INT32)
        for name in ("encoder_input_ids", "encoder_attention_mask")
    ]
    outputs: dict[str, Any] = {}
    if begins:
        inputs.append(info("decoder_input_ids", "batch", 1, dtype=INT32))
        x = w("Gather", w.fixed("words", WORDS, WIDTH), "decoder_input_ids")
        biases = (lambda every: _relative(w, every, "decoder.bias")), bias
        logits, present = _decoded(w, x, [], cross, biases)
        outputs = {
            "logits": (logits, ("batch", 1, WORDS)),
            "encoder_hidden_states": (states, ("batch", "words", WIDTH)),
            **_given("present", "self", present, 1),
        }
    outputs |= _given("present", "cross", cross, "words")
    return w.graph("t5 encoder", inputs, outputs)


def t5_decoder(seed: int = 2) -> onnx.GraphProto:
    w = Writer(seed)
    x = w("Gather", w.fixed("words", WORDS, WIDTH), "input_ids")
    bias = _mask_bias(w, "encoder_attention_mask")
    biases = (lambda every: _relative(w, every, "decoder.bias")), bias
    past, cross = (_cache_names("past", which) for which in ("self", "cross"))
    logits, present = _decoded(w, x, past, cross, biases)
    inputs = [
        info("input_ids", "batch", 1, dtype=INT32),
        info("encoder_attention_mask", "batch", "words", dtype=INT32),
        *_caches("past", "self", "past"),
        *_caches("past", "cross", "words"),
    ]
    outputs = {"logits": (logits, ("batch", 1, WORDS))}
    outputs |= _given("present", "self", present, "past + 1")
    return w.graph("t5 decoder", inputs, outputs)


FEATURES, FRAMES = 6, 10


def whisper_encoder(seed: int = 3) -> onnx.GraphProto:
    """Of sound, with the decoder's first steps over the tokens with which a text begins."""
    w = Writer(seed)
    kernel = w.fixed("conv", WIDTH, FEATURES, 3, scale=0.3)
    y = w("Relu", w("Conv", "encoder_input_ids", kernel, strides=[2], pads=[1, 1]))
    x = w("Add", w("Transpose", y, perm=[0, 2, 1]), w.fixed("frames", FRAMES // 2, WIDTH))
    y = _normed(w, x)
    q, k, v = (_heads(w, y, f"encoder.{part}") for part in "qkv")
    states = w("Add", x, _mixed(w, q, k, v, "", "encoder.o"))
    cross = _crossed(w, states)
    count = w("Gather", w("Shape", "decoder_input_ids"), np.array([1]), axis=0)
    x = _words_at(w, "decoder_input_ids", np.array([0]), count)
    mask = np.triu(np.full((PLACES, PLACES), -1e9, np.float32), 1)
    rows = w("Slice", mask, np.array([0]), count, np.array([0]))
    causal = w("Slice", rows, np.array([0]), count, np.array([1]))
    logits, present = _decoded(w, x, [], cross, ((lambda every: causal), ""))
    inputs = [
        info("encoder_input_ids", "batch", FEATURES, FRAMES),
        info("decoder_input_ids", "batch", "begin", dtype=INT32),
    ]
    outputs = {
        "logits": (logits, ("batch", "begin", WORDS)),
        "encoder_hidden_states": (states, ("batch", FRAMES // 2, WIDTH)),
        **_given("present", "self", present, "begin"),
        **_given("present", "cross", cross, FRAMES // 2),
    }
    return w.graph("whisper encoder", inputs, outputs)


def whisper_decoder(seed: int = 3) -> onnx.GraphProto:
    w = Writer(seed)
    past, cross = (_cache_names("past", which) for which in ("self", "cross"))
    count = w("Gather", w("Shape", past[0]), np.array([2]), axis=0)
    x = _words_at(w, "input_ids", count, w("Add", count, np.array([1])))
    logits, present = _decoded(w, x, past, cross, ((lambda every: ""), ""))
    inputs = [
        info("input_ids", "batch", 1, dtype=INT32),
        *_caches("past", "self", "past"),
        *_caches("past", "cross", FRAMES // 2),
    ]
    outputs = {"logits": (logits, ("batch", 1, WORDS))}
    outputs |= _given("present", "self", present, "past + 1")
    return w.graph("whisper decoder", inputs, outputs)


def _words_at(w: Writer, tokens: str, begin: Any, end: str) -> str:
    places = w("Slice", w.fixed("places", PLACES, WIDTH), begin, end, np.array([0]))
    return str(w("Add", w("Gather", w.fixed("words", WORDS, WIDTH), tokens), places))
