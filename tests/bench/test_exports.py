"""The exported models: their sizes, what of them needs no torch, and how their table is made."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from bench.exports import generation, tabular
from bench.exports.__main__ import cells, table
from bench.exports.models import EXPORTS
from bench.turns import Row

SIZES = {"batch": 1, "width": 100}
ROW = Row("crnn", 2, {"luthier": [1e-3, 1e-3, 2e-3], "onnxruntime": [2e-3, 3e-3, 3e-3]}, {})


def test_a_row_has_the_ratio_of_turns() -> None:
    named = ["crnn", "batch=1, width=100", "2"]
    assert cells(SIZES, ROW) == [*named, "1.000", "2.00 (1.75 to 2.50)"]
    other = Row("crnn", 2, {"luthier": [1e-3] * 3}, {"onnxruntime": "it said nothing"})
    assert cells(SIZES, other) == [*named, "1.000", "it said nothing"]
    text = table([(SIZES, ROW), (SIZES, ROW)], 3)
    assert "crnn batch=1..4, width=100,160." in text
    assert "2.00 in geometric mean, 2.00 at least" in text


@pytest.mark.parametrize("name", EXPORTS)
def test_measured_sizes_are_among_those_of_the_library(name: str) -> None:
    export = EXPORTS[name]
    for sizes in export.sizes:
        for size, said in export.shapes.items():
            if isinstance(said, str):
                least, most = map(int, said.split(".."))
                assert least <= sizes[size] <= most
            else:
                assert sizes.get(size, said) in (said if isinstance(said, tuple) else (said,))


def test_trees_are_the_same_each_time() -> None:
    model, again = (tabular.xgboost_trees(3) for _ in range(2))
    assert model == again
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x, y = tabular.regression()
    (found,) = session.run(None, {"x": x[:100]})
    assert found.shape == (100, 1)
    assert np.corrcoef(found[:, 0], y[:100])[0, 1] > 0.2


def test_given_inputs_take_the_place_of_random_ones() -> None:
    arrays = {"words": np.zeros((3, 9), np.int64), "lengths": np.full(3, 99)}
    given = EXPORTS["lstm_tagger"].inputs(arrays, {"batch": 3, "tokens": 9})
    assert given["words"] is arrays["words"]
    lengths = given["lengths"].tolist()
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == 9
    assert EXPORTS["crnn"].inputs(arrays, SIZES) is arrays


def test_gpt2_says_what_is_likeliest_after_what_it_said() -> None:
    """As torch does it, which reads all tokens anew for each."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 32, "vocab_size": 61}
    proto = generation.gpt2_greedy(2, 2, 32, 61)
    torch.manual_seed(generation.SEED)
    ends = {"bos_token_id": 60, "eos_token_id": 60}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **ends)).eval()
    prompt = np.random.default_rng(0).integers(0, 60, (1, generation.PROMPT)).astype(np.int32)
    said = prompt.tolist()[0]
    with torch.no_grad():
        for _ in range(generation.TOKENS):
            said.append(int(model(torch.tensor([said])).logits[0, -1].argmax()))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    (found,) = session.run(None, {"input_ids": prompt})
    end = [*said, 60].index(60, generation.PROMPT)
    assert found[0, :end].tolist() == said[:end]
