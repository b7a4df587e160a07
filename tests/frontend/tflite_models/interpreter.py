"""What TensorFlow Lite's interpreter makes of random inputs."""

from __future__ import annotations

from typing import Any

import numpy as np


def ran(interpreter: Any, count: int, seed: int = 5) -> dict[str, np.ndarray]:
    """Inputs by name, and outputs by ``out_`` and the name, of runs that follow one another: after
    the first, ``@`` and the run's number follow the name."""
    rng, found = np.random.default_rng(seed), dict[str, np.ndarray]()
    signed = interpreter.get_signature_list()
    if signed:
        runner = interpreter.get_signature_runner()
        details = runner.get_input_details()
    else:
        interpreter.allocate_tensors()
        details = {each["name"]: each for each in interpreter.get_input_details()}
    for number in range(count):
        after = f"@{number}" if number else ""
        inputs = {name: _drawn(rng, name, each) for name, each in details.items()}
        if signed:
            outputs = runner(**inputs)
        else:
            for name, value in inputs.items():
                texts = value.dtype.kind == "U"
                given = np.char.encode(value).astype(object) if texts else value
                interpreter.set_tensor(details[name]["index"], given)
            interpreter.invoke()
            outputs = {
                each["name"]: _told(interpreter.get_tensor(each["index"]))
                for each in interpreter.get_output_details()
            }
        found |= {f"{name}{after}": value for name, value in inputs.items()}
        found |= {f"out_{name}{after}": np.array(value) for name, value in outputs.items()}
    return found


def _told(value: np.ndarray) -> np.ndarray:
    """Texts as NumPy's files have them."""
    if value.dtype != object:
        return value
    return np.array([text.decode() for text in value.flat]).reshape(value.shape)


def _drawn(rng: np.random.Generator, name: str, detail: Any) -> np.ndarray:
    shape, dtype = tuple(detail["shape"]), detail["dtype"]
    if dtype in (np.bytes_, np.object_):
        words = np.array(["one", "two", "", "zwölf", "no word at all"])
        return rng.choice(words, shape)
    if np.issubdtype(dtype, np.floating):
        return rng.standard_normal(shape).astype(dtype)
    if dtype == np.bool_:
        return rng.random(shape) < 0.5
    if name == "n":
        least, most = -9, 10
    elif dtype == np.int32:
        least, most = 0, 11
    else:
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    return rng.integers(least, most, shape).astype(dtype)
