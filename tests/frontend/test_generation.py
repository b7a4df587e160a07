"""Loops of decoding give the sequences that ONNX Runtime gives."""

from __future__ import annotations

from typing import Any

import encoded_models as encoded
import generation_models as models
import numpy as np
import onnx
import pytest
from generation_models import WORDS, gpt, search
from microsoft_models import runtime
from onnx_models import TARGET, floats, integers
from sized_models import computed

from luthier.frontend import import_entry
from luthier.schedules import ModelError, UnsupportedOperator

GREEDY = (
    "input_ids max_length min_length repetition_penalty vocab_mask prefix_vocab_mask attention_mask"
).split()
PROMPT = integers(2, WORDS, 3, 5, dtype="int32")
PROMPT[1, :2] = PROMPT[2, :1] = 0  # padded on the left
DECODERS = {name: gpt(fused=name == "fused") for name in ("fused", "spelled")}
DECODERS["small"] = gpt(fused=True, layers=1)  # what is searched for is the same for all
LARGE = ("fused", "spelled")


def one(value: float, dtype: str = "int32") -> np.ndarray:
    return np.array([value], dtype)


def allowed(*shape: int, seed: int = 3) -> np.ndarray:
    return (integers(0, 4, *shape, seed=seed) > 0).astype(np.int32)


def greedy(
    prompt: np.ndarray = PROMPT,
    *,
    decoder: str = "small",
    longest: int = 12,
    ends: int = 1,
    more: dict[str, np.ndarray] | None = None,
    **attrs: Any,
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    inputs = {"input_ids": prompt}
    constants = {"max_length": one(longest), **(more or {})}
    graphs = {"decoder": DECODERS[decoder], **attrs.pop("graphs", {})}
    attrs = {"eos_token_id": ends, "pad_token_id": 0, "model_type": 0, **attrs}
    return search("GreedySearch", inputs, GREEDY, graphs, constants=constants, **attrs), inputs


def written(node: onnx.NodeProto, sequences: np.ndarray, prompt: int) -> int:
    """Of greedy sequences the tokens until the last one ends, where ONNX Runtime pads it: what is
    after that it leaves as its memory was."""
    longest = sequences.shape[-1]
    if node.op_type != "GreedySearch":
        return longest
    (pad,) = (each.i for each in node.attribute if each.name == "pad_token_id")
    first = [[*row[prompt:], pad].index(pad) for row in sequences]
    return min(longest, prompt + max(first) + 1)


def agree(proto: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> np.ndarray:
    entry = import_entry(proto, TARGET)
    ours = computed(entry.variants[0], {}, inputs)
    theirs = runtime(proto, inputs)
    for name, array in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape)
        if array.dtype == np.int32:
            end = written(proto.graph.node[0], array, inputs["input_ids"].shape[1])
            np.testing.assert_array_equal(ours[name][..., :end], array[..., :end])
        else:
            np.testing.assert_allclose(ours[name], array, 1e-3, 1e-3)
    return ours["sequences"]


@pytest.mark.parametrize("decoder", LARGE)
@pytest.mark.parametrize("batch", [1, 3])
def test_greedy_search(decoder: str, batch: int) -> None:
    agree(*greedy(PROMPT[:batch], decoder=decoder))


TOLD = {
    "shortest": {"min_length": one(9)},
    "repetition": {"repetition_penalty": one(1.7, "float32")},
    "words": {"vocab_mask": allowed(WORDS)},
    "first word": {"prefix_vocab_mask": allowed(3, WORDS)},
    "mask": {"attention_mask": (integers(0, 3, 3, 5, seed=2) > 0).astype(np.int32)},
    "all": {
        "min_length": one(9),
        "repetition_penalty": one(0.8, "float32"),
        "vocab_mask": allowed(WORDS),
        "prefix_vocab_mask": allowed(3, WORDS, seed=4),
    },
}


@pytest.mark.parametrize("told", TOLD)
def test_greedy_search_by_rules(told: str) -> None:
    agree(*greedy(more=TOLD[told]))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_greedy_search_without_repeats(size: int) -> None:
    agree(*greedy(no_repeat_ngram_size=size))


def often(made: tuple[onnx.ModelProto, dict[str, np.ndarray]], begin: int) -> int:
    """A token that a model gives often, so that it may end sequences before they are long."""
    sequences = runtime(*made)["sequences"]
    numbers, counts = np.unique(sequences[..., begin + 1 :], return_counts=True)
    return int(numbers[np.argmax(counts * (numbers > 1))])


def test_greedy_search_ends_early() -> None:
    agree(*greedy(ends=often(greedy(), 5)))
    agree(*greedy(PROMPT[:1], ends=int(runtime(*greedy(PROMPT[:1]))["sequences"][0, 6])))


def test_greedy_search_of_one_token() -> None:
    agree(*greedy(longest=6))
    agree(*greedy(longest=7))


def test_an_own_decoder_for_the_prompt() -> None:
    first = gpt(fused=True, layers=1, last_alone=True)
    agree(*greedy(graphs={"init_decoder": first}))


BEAM = (
    "input_ids max_length min_length num_beams num_return_sequences length_penalty "
    "repetition_penalty vocab_mask prefix_vocab_mask attention_mask decoder_input_ids "
    "logits_processor cross_qk_layer_head extra_decoding_ids temperature"
).split()
ALL = ("sequences", "sequences_scores", "scores")


def beams(
    prompt: np.ndarray = PROMPT,
    *,
    graphs: dict[str, onnx.GraphProto] | None = None,
    longest: int = 12,
    count: int = 3,
    returned: int = 2,
    penalty: float = 1.0,
    ends: int = 1,
    more: dict[str, np.ndarray] | None = None,
    outputs: tuple[str, ...] = ALL[:2],
    op: str = "BeamSearch",
    **attrs: Any,
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    inputs = {"input_ids": prompt}
    constants = {
        "max_length": one(longest),
        "min_length": one(0),  # which ONNX Runtime wants to be there
        "num_beams": one(count),
        "num_return_sequences": one(returned),
        "length_penalty": one(penalty, "float32"),
        **(more or {}),
    }
    attrs = {"eos_token_id": ends, "pad_token_id": 0, "model_type": 0, **attrs}
    graphs = graphs or {"decoder": DECODERS["small"]}
    made = search(op, inputs, BEAM, graphs, constants=constants, outputs=outputs, **attrs)
    return made, inputs


@pytest.mark.parametrize("decoder", LARGE)
@pytest.mark.parametrize("batch", [1, 3])
def test_beam_search(decoder: str, batch: int) -> None:
    agree(*beams(PROMPT[:batch], graphs={"decoder": DECODERS[decoder]}))


@pytest.mark.parametrize(("early", "penalty"), [(0, 1.0), (0, 0.3), (0, 2.0), (1, -0.5)])
def test_beam_search_ends_early(early: int, penalty: float) -> None:
    ends = often(beams(), 5)
    agree(*beams(ends=ends, early_stopping=early, penalty=penalty))


@pytest.mark.parametrize("told", ["mask", "all"])
def test_beam_search_by_rules(told: str) -> None:
    """They are those of the greedy search, each of which is tried alone there."""
    agree(*beams(more=TOLD[told], no_repeat_ngram_size=2 if told == "all" else 0))


def test_scores_of_all_tokens() -> None:
    agree(*beams(outputs=ALL))


@pytest.mark.parametrize(("count", "returned"), [(1, 1), (4, 4), (5, 1)])
def test_numbers_of_beams(count: int, returned: int) -> None:
    agree(*beams(count=count, returned=returned))


T5 = {
    "older": {"encoder": encoded.t5_encoder(begins=True), "decoder": encoded.t5_decoder()},
    "newer": {"encoder": encoded.t5_encoder(begins=False), "decoder": encoded.t5_decoder()},
}
WORD = {"model_type": 1, "decoder_start_token_id": 2}


@pytest.mark.parametrize("kind", T5)
@pytest.mark.parametrize("batch", [1, 3])
def test_beam_search_of_t5(kind: str, batch: int) -> None:
    made = beams(PROMPT[:batch], graphs=T5[kind], **WORD)
    agree(*made if batch == 1 else beams(graphs=T5[kind], ends=often(made, 1), **WORD))


def test_beam_search_of_t5_by_rules() -> None:
    more = {**TOLD["all"], **TOLD["mask"]}
    agree(*beams(graphs=T5["older"], more=more, no_repeat_ngram_size=2, **WORD))


WHISPER = {"encoder": encoded.whisper_encoder(), "decoder": encoded.whisper_decoder()}
SOUND = floats(2, encoded.FEATURES, encoded.FRAMES)
TEXT = {
    "op": "WhisperBeamSearch",
    "graphs": WHISPER,
    "model_type": 2,
    "decoder_start_token_id": 2,
}
TIMES = {
    "translate_token_id": 3,
    "transcribe_token_id": 4,
    "start_of_lm_token_id": 5,
    "no_timestamps_token_id": 6,
    "beginning_timestamp_token_id": 20,
}


@pytest.mark.parametrize("begin", [0, 3])
def test_beam_search_of_whisper(begin: int) -> None:
    first = {"decoder_input_ids": integers(2, 5, 2, begin, dtype="int32")} if begin else {}
    made = beams(SOUND, more=first, **TEXT, **TIMES)
    ends = often(made, begin or 1)
    agree(*made if begin else beams(SOUND, more=first, ends=ends, **TEXT, **TIMES))


@pytest.mark.parametrize("seed", range(2))
def test_whisper_by_times(seed: int) -> None:
    sound = floats(2, encoded.FEATURES, encoded.FRAMES, seed=seed)
    more = {"logits_processor": one(1), "temperature": one(0.7, "float32")}
    agree(*beams(sound, more=more, longest=20, ends=7, **TEXT, **TIMES))


HEARD = (*ALL, "cross_qk", "silence")


def test_whisper_says_whether_there_is_speech() -> None:
    """As its operator is described: ONNX Runtime's kernel for processors leaves that open."""
    more = {"decoder_input_ids": integers(2, 5, 2, 3, dtype="int32"),
            "extra_decoding_ids": integers(2, 5, 2, 2, dtype="int32")}  # fmt: skip
    proto, inputs = beams(SOUND, more=more, outputs=HEARD, no_speech_token_id=8, **TEXT, **TIMES)
    proto.graph.output.pop(3)
    proto.graph.node[0].output[3] = ""
    ours = computed(import_entry(proto, TARGET).variants[0], {}, inputs)
    same = beams(SOUND, more=more, outputs=ALL, **TEXT, **TIMES)
    theirs = runtime(*same)
    np.testing.assert_array_equal(ours["sequences"], theirs["sequences"])
    first = np.exp(theirs["scores"][0, :, 0])
    np.testing.assert_allclose(ours["silence"], first[:, 8] / first.sum(axis=1), 1e-4, 1e-6)


def test_whisper_by_the_operator_for_all() -> None:
    first = {"decoder_input_ids": integers(2, 5, 2, 3, dtype="int32")}
    agree(*beams(SOUND, more=first, **{**TEXT, "op": "BeamSearch"}))


# ---- prompts of open size ----


def open_search(
    made: tuple[onnx.ModelProto, dict[str, np.ndarray]],
    names: dict[int, str],
    sizes: dict[str, range],
    variants: int,
    *trials: dict[str, int],
) -> None:
    """As few programs as that do for all sizes, and give what ONNX Runtime gives."""
    proto, inputs = made
    ((name, prompt),) = inputs.items()
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    for axis, size in names.items():
        dims[axis].Clear()
        dims[axis].dim_param = size
    entry = import_entry(proto, TARGET, sizes)
    assert len(entry.variants) == variants
    for trial in trials:
        batch, tokens = trial.get("batch", len(prompt)), trial.get("tokens", prompt.shape[1])
        given = {name: np.ascontiguousarray(prompt[:batch, -tokens:])}
        program = entry.variant(trial)
        assert program is not None
        ours, theirs = computed(program, trial, given), runtime(proto, given)
        np.testing.assert_array_equal(ours["sequences"], theirs["sequences"])


def test_greedy_search_of_any_prompt() -> None:
    made = greedy(PROMPT[:1])
    open_search(made, {1: "tokens"}, {"tokens": range(2, 9)}, 1, {"tokens": 2}, {"tokens": 5})


def test_greedy_search_of_any_number_of_prompts() -> None:
    """One alone is another program, since what broadcasts is."""
    sizes = {"batch": range(1, 5)}
    open_search(greedy(), {0: "batch"}, sizes, 2, {"batch": 1}, {"batch": 2}, {"batch": 3})


def test_beam_search_of_any_prompt() -> None:
    made, sizes = beams(PROMPT[:2]), {"tokens": range(2, 8)}
    open_search(made, {1: "tokens"}, sizes, 1, {"tokens": 2}, {"tokens": 5})


def test_beam_search_of_t5_of_any_prompt() -> None:
    made = beams(PROMPT[:2], graphs=T5["newer"], **WORD)
    sizes = {"tokens": range(2, 8)}
    open_search(made, {1: "tokens"}, sizes, 1, {"tokens": 2}, {"tokens": 5})


# ---- what is refused ----


def test_what_is_refused() -> None:
    proto, _ = greedy()
    proto.graph.initializer[0].name = "another"
    proto.graph.input.extend([onnx.helper.make_tensor_value_info("max_length", 6, [1])])
    with pytest.raises(UnsupportedOperator, match="max_length, from which shapes follow, as a num"):
        import_entry(proto, TARGET)
    for made, says in (
        (greedy(longest=5), "its max_length 5 leaves no room for a token after 5 of input_ids"),
        (greedy(longest=5000), "its max_length is 5000, not 2 to 4096"),
        (greedy(ends=WORDS), f"its token {WORDS} is none of {WORDS}"),
        (greedy(ends=-1), "its eos_token_id is -1"),
        (greedy(more={"vocab_mask": allowed(5)}), r"its vocab_mask is \[5\], not \[37\]"),
        (
            greedy(graphs={"decoder": encoded.t5_decoder()}),
            "does not begin with the inputs input_i",
        ),
        (greedy(vocab_size=38), "its vocab_size 38 is more than its logits' 37"),
        (beams(count=2, returned=3), "its num_return_sequences is 3, not 1 to its 2 beams"),
        (beams(count=129), "its num_beams is 129, not 1 to 128"),
        (beams(graphs={"decoder": encoded.t5_decoder()}, **WORD), "it has no graph 'encoder'"),
        (beams(graphs=T5["older"], model_type=1), "its decoder_start_token_id is -1"),
        (beams(SOUND, outputs=HEARD, **TEXT), "its no_speech_token_id -1 is none of 37"),
    ):
        with pytest.raises(ModelError, match=says):
            import_entry(made[0], TARGET)
    shared = gpt(fused=True)
    shared.input.extend([models.info("past_sequence_length", 1, dtype=models.INT32)])
    for made, says in (
        (greedy(graphs={"decoder": shared}), "a past that shares its buffer with the present"),
        (greedy(model_type=1), "model_type=1"),
        (beams(model_type=3), "model_type=3"),
        (beams(more={"logits_processor": one(1)}), "a logits_processor"),
        (beams(more={"decoder_input_ids": PROMPT}), "decoder_input_ids"),
        (beams(SOUND, more={"cross_qk_layer_head": allowed(2, 2)}, **TEXT), "its cross_qk_layer_h"),
    ):
        with pytest.raises(UnsupportedOperator, match=says):
            import_entry(made[0], TARGET)
