"""Operators that take texts apart, against what they mean in Python, on bytes of any kind."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from caller import Library
from test_texts import TARGET, alone, given, texts

from luthier.schedules import Tensor, Workload, node
from luthier.schedules.ir.core import IRError
from luthier.schedules.ops.evaluate import run
from luthier.schedules.ops.tokens import murmur
from luthier.schedules.ops.verify import verify
from luthier.schedules.templates.registry import default, instantiate

Call = tuple[Workload, Sequence[np.ndarray]]


def parts_of(x: np.ndarray, seed: int) -> np.ndarray:
    """Of texts, and sometimes of none."""
    rng = np.random.default_rng(seed)
    parts = rng.choice(np.array([0, 1, 2, 2, 2], np.uint8), x.shape)
    return np.where(x > 0, parts, 0).astype(np.uint8)


def calls(count: int, width: int) -> list[Call]:
    rng = np.random.default_rng(count)
    x = texts(count, width, count)
    parts, states, kinds = parts_of(x, count), 4, 5
    tables = (
        rng.integers(0, kinds, 256, np.uint8), rng.integers(0, states, (states, kinds), np.int32)
    )  # fmt: skip
    said = {"states": states, "kinds": kinds, "begin": 1, "accepts": 3}
    same, found = Tensor(x.shape, "uint8"), list[Call]()
    for least in (1, 2):
        args = (x, *tables)
        made = alone("text_find", *given(*args), out=same, least=least, **said)
        found.append((made, args))
        made = alone("text_long", *given(x, parts), out=same, least=least)
        found.append((made, (x, parts)))
    args = (x, parts, *tables)
    found.append((alone("text_cut", *given(*args), out=same, **said), args))
    for most, room, mark in ((1, 2, 0), (3, 4, 1), (width, width, 1)):
        out = Tensor((count, most + 2 * mark, room), "uint8")
        args = (x, parts, rng.integers(0, 9, room, np.uint8))
        made = alone("text_tokens", *given(*args), out=out, most=most, room=room, mark=mark)
        found.append((made, args))
    found += [
        (alone("text_hash", *given(x), out=Tensor((count,), "uint32"), seed=seed), (x,))
        for seed in (0, 2**32 - 1)
    ]
    return found


@pytest.mark.parametrize("width", [2, 5, 64])
def test_they_are_what_python_says(width: int) -> None:
    made = [call for count in (1, 41) for call in calls(count, width)]
    library = Library([instantiate(w, TARGET, default(w, TARGET)) for w, _ in made], TARGET)
    for index, (workload, arrays) in enumerate(made):
        got = library.run(index, arrays, random.Random(index))
        np.testing.assert_array_equal(got, run(workload, arrays), str(workload))


@pytest.mark.parametrize(
    ("text", "seed", "wanted"),
    [  # of the author's reference
        (b"", 0, 0), (b"", 1, 0x514E28B7), (b"test", 0, 0xBA6BD213),
        (b"Hello, world!", 0, 0xC0363E43), (b"aaa", 0x9747B28C, 0x283E0130),
    ],
)  # fmt: skip
def test_hashes_are_those_of_their_author(text: bytes, seed: int, wanted: int) -> None:
    assert murmur(text, seed) == wanted


X = Tensor((3, 4), "uint8")
WRONG = {
    "parts of another shape": ("text_long", [X, Tensor((3, 5), "uint8")], X, {"least": 1}),
    "a pad of another size": (
        "text_tokens", [X, X, Tensor((3,), "uint8")], Tensor((3, 2, 4), "uint8"),
        {"most": 2, "room": 4, "mark": 0},
    ),
    "a state that is none": (
        "text_find", [X, Tensor((256,), "uint8"), Tensor((2, 3), "int32")], X,
        {"states": 2, "kinds": 3, "begin": 2, "accepts": 0, "least": 1},
    ),
    "a seed of more bits": ("text_hash", [X], Tensor((3,), "uint32"), {"seed": 2**32}),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_strangers_may_say_is_verified(name: str) -> None:
    op, inputs, out, attrs = WRONG[name]
    made = node(op, tuple(range(len(inputs))), out, **attrs)
    with pytest.raises(IRError):
        verify(Workload(tuple(inputs), (False,) * len(inputs), (made,)))
