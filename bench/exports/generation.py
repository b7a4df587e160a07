"""GPT-2 with its loop of decoding in one call, with seeded weights; needs transformers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bench.architectures import SEED

WORDS, PROMPT, TOKENS = 50257, 32, 32
"""The vocabulary, and the tokens of a prompt and after it."""
_DOMAIN = "com.microsoft"
_FLOAT, _INT32 = TensorProto.FLOAT, TensorProto.INT32


@dataclass(frozen=True)
class _Writer:
    """A graph that is being written, over the arrays of a module by name."""

    arrays: dict[str, NDArray[Any]]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def __call__(
        self, op: str, *inputs: str, also: int | None = None, domain: str = "", **how: Any
    ) -> str:
        """The first result of a node; the one with the number ``also`` has its name with it."""
        name = f"{op}_{len(self.nodes)}"
        made = [name] if also is None else [name, *[""] * (also - 1), f"{name}.{also}"]
        self.nodes.append(helper.make_node(op, inputs, made, name, domain=domain, **how))
        return name

    def weight(self, name: str, *, turned: bool = False) -> str:
        """An array of the module, or it transposed."""
        called = f"{name}.T" if turned else name
        array = self.arrays[name].T if turned else self.arrays[name]
        self.weights[called] = numpy_helper.from_array(np.ascontiguousarray(array), called)
        return called


def gpt2_greedy(
    layers: int = 12, heads: int = 12, width: int = 768, words: int = WORDS
) -> onnx.ModelProto:
    """GPT-2 (Radford et al. 2019) in ``GreedySearch``, with the operators that ONNX Runtime's
    convert_generation.py fuses: ``TOKENS`` tokens after a prompt of ``PROMPT``."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(SEED)
    ends = {"bos_token_id": words - 1, "eos_token_id": words - 1}
    sizes = {"n_layer": layers, "n_head": heads, "n_embd": width, "vocab_size": words}
    model = GPT2LMHeadModel(GPT2Config(**sizes, **ends)).transformer
    arrays = {name: array.numpy() for name, array in model.state_dict().items()}
    decoder = _decoder(arrays, layers, heads)
    numbers = {"max_length": PROMPT + TOKENS, "min_length": 0}
    node = helper.make_node(
        "GreedySearch",
        ["input_ids", *numbers],
        ["sequences"],
        domain=_DOMAIN,
        decoder=decoder,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
        model_type=0,
    )
    graph = helper.make_graph(
        [node],
        "gpt2_greedy",
        [helper.make_tensor_value_info("input_ids", _INT32, [1, "tokens"])],
        [helper.make_tensor_value_info("sequences", _INT32, [1, PROMPT + TOKENS])],
        [numpy_helper.from_array(np.array([n], np.int32), name) for name, n in numbers.items()],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(_DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def _decoder(arrays: dict[str, NDArray[Any]], layers: int, heads: int) -> onnx.GraphProto:
    """One call of it over keys and values [2, batch, heads, past, columns] of each layer."""
    count, width = arrays["wte.weight"].shape
    w = _Writer(arrays)
    words = w("Gather", w.weight("wte.weight"), "input_ids")
    whole = w("Add", words, w("Gather", w.weight("wpe.weight"), "position_ids"))
    x = w("LayerNormalization", whole, *_norm(w, "h.0.ln_1"), epsilon=1e-5)
    presents = []
    for layer in range(layers):
        own, norm = f"h.{layer}", f"h.{layer + 1}.ln_1" if layer + 1 < layers else "ln_f"
        parts = [w.weight(f"{own}.attn.c_attn.{part}") for part in ("weight", "bias")]
        y = w(
            "Attention", x, *parts, "attention_mask", f"past_{layer}",
            also=1, domain=_DOMAIN, num_heads=heads, unidirectional=1,
        )  # fmt: skip
        presents.append(f"{y}.1")
        x, whole = _added(w, y, f"{own}.attn.c_proj", whole, f"{own}.ln_2")
        y = w("MatMul", x, w.weight(f"{own}.mlp.c_fc.weight"))
        y = w("FastGelu", y, w.weight(f"{own}.mlp.c_fc.bias"), domain=_DOMAIN)
        x, whole = _added(w, y, f"{own}.mlp.c_proj", whole, norm)
    logits = w("MatMul", x, w.weight("wte.weight", turned=True))
    values = {"logits": logits, **{f"present_{i}": name for i, name in enumerate(presents)}}
    w.nodes.extend(helper.make_node("Identity", [v], [n]) for n, v in values.items())

    def cache(name: str, length: str) -> onnx.ValueInfoProto:
        shape = (2, "batch", heads, length, width // heads)
        return helper.make_tensor_value_info(name, _FLOAT, shape)

    def numbers(name: str, length: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, _INT32, ("batch", length))

    given = ("input_ids", "tokens"), ("position_ids", "tokens"), ("attention_mask", "all")
    return helper.make_graph(
        w.nodes,
        "gpt2",
        [
            *(numbers(*each) for each in given),
            *(cache(f"past_{i}", "past") for i in range(layers)),
        ],
        [
            helper.make_tensor_value_info("logits", _FLOAT, ("batch", "tokens", count)),
            *(cache(f"present_{i}", "all") for i in range(layers)),
        ],
        list(w.weights.values()),
    )


def _norm(w: _Writer, name: str) -> tuple[str, str]:
    return w.weight(f"{name}.weight"), w.weight(f"{name}.bias")


def _added(w: _Writer, x: str, product: str, whole: str, norm: str) -> tuple[str, str]:
    """What a product adds to the residuals, normalised, and as it is."""
    y = w("MatMul", x, w.weight(f"{product}.weight"))
    operands = y, whole, *_norm(w, norm), w.weight(f"{product}.bias")
    made = w("SkipLayerNormalization", *operands, also=3, domain=_DOMAIN, epsilon=1e-5)
    return made, f"{made}.3"
