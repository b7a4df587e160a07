"""Workloads of recurrent layers, and inputs with which they neither die out nor explode."""

from __future__ import annotations

import numpy as np
from workloads import Builder

from luthier.schedules import Workload
from luthier.schedules.ops.recurrent_form import CELLS, Use, parse

USUAL = {"lstm": ("sigmoid", "tanh", "tanh"), "gru": ("sigmoid", "tanh"), "rnn": ("tanh",)}
EVERY = {"lstm": ("sequence", "hidden", "cell"), "gru": ("sequence", "hidden")}


def layer(
    cell: str,
    sizes: tuple[int, int, int],
    operands: tuple[str, ...] = (),
    *,
    reverse: tuple[bool, ...] = (False,),
    activations: tuple[Use, ...] | None = None,
    gives: tuple[str, ...] = ("sequence",),
    constant: bool = True,
    dtype: str = "float32",
    clip: float = 0.0,
    before: bool = False,
    coupled: bool = False,
) -> Workload:
    """Of (steps, batch, hidden units); ``operands`` are those after the weights."""
    steps, batch, hidden = sizes
    d, columns = len(reverse), CELLS[cell].gates * hidden
    shapes = {
        "bias": (d, hidden),
        "hidden": (d, batch, hidden),
        "cell": (d, batch, hidden),
        "peepholes": (d, 3 * hidden),
        "lengths": (batch,),
    }
    b = Builder()
    gates = b.input((steps, batch, d * columns), dtype)
    weights = b.input((d, hidden, columns), dtype, constant)
    more = [b.input(shapes[n], "int32" if n == "lengths" else dtype) for n in operands]
    uses = activations or tuple(Use(name, 0.0, 0.0) for name in USUAL[cell])
    rows = sum(steps if name == "sequence" else 1 for name in gives)
    b.add(
        "recurrent",
        gates,
        weights,
        *more,
        shape=(rows, d, batch, hidden),
        dtype=dtype,
        operands=("gates", "weights", *operands),
        gives=gives,
        cell=cell,
        reverse=reverse,
        activations=tuple(map(tuple, uses)),
        clip=clip,
        before=before,
        coupled=coupled,
    )
    return b.workload


def inputs(workload: Workload, seed: int = 0) -> list[np.ndarray]:
    """Weights are small enough that errors do not grow from step to step; lengths are any."""
    (node,), rng = workload.nodes, np.random.default_rng(seed)
    form = parse(dict(node.attrs), workload.inputs)
    arrays = []
    for name, tensor in zip(form.operands, workload.inputs, strict=True):
        if name == "lengths":
            arrays.append(rng.integers(0, form.steps + 1, tensor.shape).astype(np.int32))
            continue
        most = form.hidden**-0.5 if name == "weights" else 1.5
        arrays.append(rng.uniform(-most, most, tensor.shape).astype(tensor.dtype))
    return arrays
