"""Cases of recurrent layers: directions, activations, operands that may be left out."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from onnx_models import Case, case, floats

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
RESULTS = {"LSTM": 3, "GRU": 2, "RNN": 2}
NUMBER = {"LSTM": 3, "GRU": 2, "RNN": 1}  # of activations
DIRECTIONS = ("forward", "reverse", "bidirectional")
# With how many of alpha and beta.
ACTIVATIONS = {
    "Relu": (0, 0),
    "Tanh": (0, 0),
    "Sigmoid": (0, 0),
    "Affine": (1, 1),
    "LeakyRelu": (1, 0),
    "ThresholdedRelu": (1, 0),
    "ScaledTanh": (1, 1),
    "HardSigmoid": (1, 1),
    "Elu": (1, 0),
    "Softsign": (0, 0),
    "Softplus": (0, 0),
}


def recurrent(
    op: str,
    sizes: tuple[int, int, int, int] = (4, 2, 3, 5),
    has: str = "b",
    constants: tuple[int, ...] = (1, 2, 3),
    *,
    seed: int = 0,
    dtype: str = "float32",
    lengths: tuple[int, ...] = (),
    **attrs: Any,
) -> Case:
    """Of (steps, batch, inputs, hidden units); ``has`` names inputs: b, h, c, p, l."""
    steps, batch, inputs, hidden = sizes
    d, g = 2 if attrs.get("direction") == "bidirectional" else 1, GATES[op]
    ends = np.array(lengths or [1 + i % steps for i in range(batch)], np.int32)
    batch_first = bool(attrs.get("layout", 0))
    state = (batch, d, hidden) if batch_first else (d, batch, hidden)
    x = (batch, steps, inputs) if batch_first else (steps, batch, inputs)

    def small(*shape: int, seed: int) -> np.ndarray:
        return (floats(*shape, seed=seed) / np.sqrt(shape[-1])).astype(dtype)

    given = [
        floats(*x, seed=seed, dtype=dtype),
        small(d, g * hidden, inputs, seed=seed + 1),
        small(d, g * hidden, hidden, seed=seed + 2),
        small(d, 2 * g * hidden, seed=seed + 3) * 3 if "b" in has else None,
        ends if "l" in has or lengths else None,
        floats(*state, seed=seed + 4, dtype=dtype) if "h" in has else None,
        floats(*state, seed=seed + 5, dtype=dtype) if "c" in has else None,
        small(d, 3 * hidden, seed=seed + 6) if "p" in has else None,
    ]
    if op != "LSTM":
        given = given[:6]
    while given[-1] is None:
        given.pop()
    known = tuple(i for i in constants if i < len(given) and given[i] is not None)
    attrs = {"hidden_size": hidden, **attrs}
    return case(op, *given, constants=known, outputs=RESULTS[op], **attrs)


def drawn(seed: int) -> Case:
    """With any attributes that ONNX Runtime takes."""
    rng = random.Random(seed)
    op = rng.choice(list(GATES))
    attrs: dict[str, Any] = {"direction": rng.choice(DIRECTIONS)}
    directions = 2 if attrs["direction"] == "bidirectional" else 1
    if rng.random() < 0.5:
        names = [rng.choice(list(ACTIVATIONS)) for _ in range(NUMBER[op])]
        names *= directions
        if rng.random() < 0.4 and op != "RNN":  # whose numbers it takes by the direction
            names = [rng.choice(list(ACTIVATIONS)) for _ in names]
        alphas = [rng.choice((0.1, 0.25, 0.5)) for n in names for _ in range(ACTIVATIONS[n][0])]
        betas = [rng.choice((0.1, 0.25, 0.5)) for n in names for _ in range(ACTIVATIONS[n][1])]
        given = {"activations": names, "activation_alpha": alphas, "activation_beta": betas}
        attrs |= {name: values for name, values in given.items() if values}
    if rng.random() < 0.3:
        attrs["clip"] = rng.choice((0.2, 1.0))
    if op == "GRU":
        attrs["linear_before_reset"] = rng.randrange(2)
    if op == "LSTM":
        attrs["input_forget"] = rng.randrange(2)
    has = "".join(rng.sample("bhcpl", rng.randrange(6)))
    sizes = (
        rng.choice((1, 2, 5)),
        rng.choice((1, 2, 3)),
        rng.choice((1, 4)),
        rng.choice((1, 3, 17)),
    )
    constants = (1, 2, 3) if rng.random() < 0.7 else ()
    return recurrent(op, sizes, has, constants, seed=10 * seed, **attrs)


CASES = [
    *(recurrent(op) for op in GATES),
    *(recurrent(op, has="") for op in GATES),
    *(recurrent(op, has="bh", direction=d) for op in GATES for d in DIRECTIONS[1:]),
    *(recurrent(op, has="bhl", direction="bidirectional") for op in GATES),
    *(recurrent(op, constants=(), has="bh") for op in GATES),
    *(recurrent(op, (1, 1, 4, 3), has="bhc", clip=0.3) for op in GATES),
    recurrent("LSTM", has="bhcpl", direction="bidirectional"),
    recurrent("LSTM", has="bcp", input_forget=1),
    recurrent("GRU", has="bhl", linear_before_reset=1, direction="reverse"),
    recurrent("GRU", has="b", linear_before_reset=1, constants=()),
    recurrent(
        "RNN",
        direction="bidirectional",
        activations=["Affine", "LeakyRelu"],
        activation_alpha=[0.5, 0.1],
        activation_beta=[0.25],
    ),
]
