"""The operators that generate sequences."""

from __future__ import annotations

from ..spelling import Operators, Spelled, attributes
from .beams import beam_search, whisper_beam_search
from .greedy import greedy_search
from .sampling import sampling

_ALL = """
    decoder decoder_start_token_id encoder eos_token_id init_decoder model_type no_repeat_ngram_size
    pad_token_id vocab_size
"""
_DRAWN = "custom filter_value min_tokens_to_keep presence_penalty temperature top_p"
_BEAMS = f"{_ALL} early_stopping"
_TIMES = """
    beginning_timestamp_token_id decoder_output_cross_qk no_speech_token_id no_timestamps_token_id
    start_of_lm_token_id transcribe_token_id translate_token_id
"""

OPERATORS: Operators = {
    "BeamSearch": Spelled(beam_search, 12, attributes(_BEAMS), since=11, cuts=True),
    "GreedySearch": Spelled(greedy_search, 7, attributes(_ALL), since=11, cuts=True),
    "Sampling": Spelled(sampling, 9, attributes(f"{_ALL} {_DRAWN}"), since=11, cuts=True),
    "WhisperBeamSearch": Spelled(
        whisper_beam_search, 15, attributes(f"{_BEAMS} {_TIMES}"), since=11, cuts=True
    ),
}
