"""From a seed to a case: operators one by one, each on what is there or on something new."""

from __future__ import annotations

import itertools
import random

import onnx

from .case import Case, Port, Setting, reads
from .draft import Growth, UnfitError
from .idioms import IDIOMS
from .idioms_found import FOUND
from .operators import RULES
from .sizes import SHARE, with_names
from .values import DTYPES, KINDS

OPSETS = (7, 9, 10, 11, 12, 13, 13, 14, 15, 16, 17, 17, 18, 18, 19, 20, 21, 22, 23, 24, 24, 28)
_IDIOMS, _FLOW, _FOUND = 0.12, 0.05, 0.04
_CONTROL = ("If", "Loop", "Scan")
_TRIES = 12
_OPERATORS = sorted(RULES)


def grow(seed: str, setting: Setting) -> Case:
    """The graph of a seed, whatever the setting; small, valid, and every shape known."""
    tries = (_grown(f"{seed} {i}") for i in itertools.count())
    found = next(g for g in tries if g.nodes and _valid(_case(g, seed, setting).model))
    case = _case(found, seed, setting)
    return with_names(case) if random.Random(f"{seed} named").random() < SHARE else case


def _valid(model: onnx.ModelProto) -> bool:
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception:
        return False
    return True


def _grown(seed: str) -> Growth:
    g = Growth(seed, 13)
    g.opset = g.pick(OPSETS)
    g.flows = {name: RULES[name] for name in _CONTROL}
    g.kinds = g.pick((("normal",), ("normal",), ("normal", "whole", "unit"), ("whole",), KINDS))
    wanted = g.pick((1, 1, 2, 3, 4, 6, 8, 11))
    for _ in range(_TRIES * wanted):
        if len(g.nodes) >= wanted:
            break
        _step(g)
    return g


def _step(g: Growth) -> None:
    try:
        if g.chance(_IDIOMS):
            g.pick(IDIOMS)(g)
        elif g.chance(_FLOW):
            g.add(RULES[g.pick(_CONTROL)](g))
        elif g.chance(_FOUND):
            g.pick(FOUND)(g)
        else:
            g.add(RULES[g.pick(_OPERATORS)](g))
    except UnfitError:
        return


def _case(g: Growth, seed: str, setting: Setting) -> Case:
    used = {name for node in g.nodes for name in reads(node)}
    made = [name for node in g.nodes for name in node.output]
    rng = random.Random(seed)
    outputs = [
        n
        for n in made
        if n in g.values and g.dtype(n) in DTYPES and (n not in used or rng.random() < 0.15)
    ]
    if g.inputs and rng.random() < 0.05:
        outputs.append(rng.choice(list(g.inputs)))
    needed = used.union(outputs)
    return Case(
        nodes=tuple(g.nodes),
        inputs={n: a for n, a in g.inputs.items() if n in needed},
        constants={n: a for n, a in g.constants.items() if n in needed},
        outputs={n: Port(g.dtype(n), g.shape(n)) for n in outputs},
        opset=g.opset,
        seed=seed,
        setting=setting,
    )
