"""Tokens are drawn by their probabilities, as `Sampling` says."""

from __future__ import annotations

from typing import Any

import generation_models as models
import numpy as np
import onnx
import pytest
from generation_models import WORDS, search
from microsoft_models import runtime
from onnx_models import TARGET
from sized_models import computed
from test_generation import DECODERS, GREEDY, PROMPT, agree, greedy, one

from luthier.frontend import import_entry

SAMPLED = [*GREEDY, "presence_mask", "seed"]


def sampled(seed: int = 7, **attrs: Any) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """One token after each of many equal prompts, or more."""
    longest, rows = attrs.pop("longest", 4), attrs.pop("rows", 200)
    inputs = {"input_ids": np.tile(PROMPT[:1, :3], (rows, 1))}
    constants = {"max_length": one(longest), "seed": one(seed), **attrs.pop("more", {})}
    graphs = {"decoder": DECODERS["fused"]}
    attrs = {"eos_token_id": 1, "pad_token_id": 0, "model_type": 0, **attrs}
    made = search("Sampling", inputs, SAMPLED, graphs, constants=constants, **attrs)
    return made, inputs


def drawn(**attrs: Any) -> np.ndarray:
    """What ours draws."""
    proto, inputs = sampled(**attrs)
    entry = import_entry(proto, TARGET)
    return computed(entry.variants[0], {}, inputs)["sequences"]


def logits(prompt: np.ndarray) -> np.ndarray:
    """Those of the next token, by ONNX Runtime."""
    imports = [onnx.helper.make_opsetid(d, v) for d, v in (("", models.OPSET), (models.DOMAIN, 1))]
    proto = onnx.helper.make_model(DECODERS["fused"], opset_imports=imports, ir_version=8)
    count = prompt.shape[1]
    past = np.zeros((2, 1, models.HEADS, 0, models.COLUMNS), np.float32)
    given = {
        "input_ids": prompt,
        "position_ids": np.arange(count, dtype=np.int32)[None],
        "attention_mask": np.ones((1, count), np.int32),
        **{f"past_{i}": past for i in range(models.LAYERS)},
    }
    return runtime(proto, given)["logits"][0, -1].astype(np.float64)


@pytest.mark.parametrize(
    "attrs",
    [
        {"top_p": 0.9, "temperature": 3.0},
        {"top_p": 0.6, "temperature": 4.0, "custom": 1},
        {"top_p": 0.3, "temperature": 3.0, "min_tokens_to_keep": 5},
        {"top_p": 0.9, "temperature": 3.0, "filter_value": -1e4},
    ],
)
def test_tokens_are_drawn_by_their_probabilities(attrs: dict[str, Any]) -> None:
    rows = 2000
    found = np.bincount(drawn(rows=rows, **attrs)[:, 3], minlength=WORDS) / rows
    scores = logits(PROMPT[:1, :3]) / attrs["temperature"]
    order = np.argsort(scores)
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    if attrs.get("custom"):
        down = order[::-1]
        out = down[1:][np.cumsum(shares[down])[:-1] > attrs["top_p"]]
    else:
        least = attrs.get("min_tokens_to_keep", 0)
        some = order[: WORDS - least] if least else order
        out = some[np.cumsum(shares[some]) <= 1 - attrs["top_p"]]
    shares[out] = 0
    shares /= shares.sum()
    shares[0], shares[1] = shares[0] + shares[1], 0  # what ends a sequence becomes what pads it
    assert not found[shares == 0].any()
    assert np.abs(found - shares).max() < 4 * np.sqrt(0.25 / rows)


def test_a_seed_draws_the_same_again() -> None:
    many = {"rows": 8, "longest": 9, "top_p": 1.0, "temperature": 5.0, "min_tokens_to_keep": 1}
    first, again, other = (drawn(seed=seed, **many) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert len(np.unique(first, axis=0)) > 1


def test_what_is_present_is_less_likely() -> None:
    """And with next to no temperature, the likeliest token is drawn."""
    sharp = {"rows": 2, "longest": 8, "top_p": 1.0, "temperature": 1e-3, "min_tokens_to_keep": 1}
    prompt = np.tile(PROMPT[:1, :3], (2, 1))
    np.testing.assert_array_equal(
        drawn(**sharp), agree(*greedy(prompt, decoder="fused", longest=8))
    )
    word = int(drawn(**sharp)[0, 3])
    mask = np.zeros((2, WORDS), np.int32)
    mask[0, word] = 1
    found = drawn(more={"presence_mask": mask}, presence_penalty=1e6, **sharp)
    assert found[0, 3] != word
    assert found[1, 3] == word
