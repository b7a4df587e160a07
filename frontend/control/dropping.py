"""``Dropout`` of which a run says whether it is training, and at which ratio."""

from __future__ import annotations

import numpy as np

from luthier.schedules import ModelError

from .decision import Decision

_NOTHING = np.zeros(0, np.int64)


def dropped(d: Decision) -> None:
    """In training a ratio that is not from 0 up to 1 ends the run; else it does not matter."""
    if any(d.has(i) and d.type(i).size != 1 for i in (1, 2)):
        raise ModelError(f"{d.label}: its ratio and its mode are not single numbers")
    e, mode = d.spelled, d.known(2)
    if not d.has(2) or (mode is not None and not mode.item()):
        d.straight({})
        return
    training = e("Reshape", "input 2", _NOTHING)
    if d.has(1):
        ratio = e.cast(e("Reshape", "input 1", _NOTHING), "float32")
        zero, one = (np.array(n, np.float32) for n in (0, 1))
        fits = e("And", e("GreaterOrEqual", ratio, zero), e("Less", ratio, one))
        wrong = e.cast(e("And", training, e("Not", fits)), "int64")
        d.expect(wrong, np.array(0), "whether its ratio is not from 0 up to 1:")
    if mode is not None:
        d.straight({})
    else:
        d.choose([training], [{2: np.array(flag)} for flag in (True, False)])
