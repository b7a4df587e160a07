"""What options an error proposes for sizes that a model leaves open."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import onnx

from .open_shapes import is_symbol, names_of

_CHANNELS = (1, 3, 4)
_SIDE, _SIDES = 224, "224,320"  # of an image; kernels want exact widths
_MOST = 4  # options


def example(tensor: onnx.TypeProto.Tensor) -> list[int]:
    """A shape that a tensor may have."""
    sides = _sides(tensor)
    return [
        int(dim.dim_value) if dim.dim_value > 0 else _SIDE if i in sides else 1
        for i, dim in enumerate(tensor.shape.dim)
    ]


def proposal(model: onnx.ModelProto) -> str:
    """Options that say which sizes the open dimensions of a model's inputs may have, with names for
    those of the first input whose dimensions have none; "" where that is not an image."""
    found: dict[str, str] = {}
    for info in model.graph.input:
        tensor = info.type.tensor_type
        sides = _sides(tensor)
        for i, dim in enumerate(tensor.shape.dim):
            if dim.dim_value <= 0 and is_symbol(dim.dim_param):
                for name in names_of([dim.dim_param]):
                    found.setdefault(name, _SIDES if i in sides else _range(name))
    if found:
        options = (f"--shape {name}={sizes}" for name, sizes in found.items())
        return " ".join(itertools.islice(options, _MOST))
    named = (_named(info.name, info.type.tensor_type) for info in model.graph.input)
    return next(filter(None, named), "")


def _named(name: str, tensor: onnx.TypeProto.Tensor) -> str:
    """An image's open dimensions with names, and what these may be."""
    sides = dict(zip(_sides(tensor), ("height", "width"), strict=False))
    if not sides:
        return ""
    names: Mapping[int, str] = {0: "batch", **sides}
    dims, options = list[str](), list[str]()
    for i, dim in enumerate(tensor.shape.dim):
        is_open = dim.dim_value <= 0 and i in names
        dims.append(names[i] if is_open else str(max(dim.dim_value, 1)))
        if is_open:
            options.append(f"--shape {names[i]}={_SIDES if i in sides else _range(names[i])}")
    return " ".join([f"--shape {name}={','.join(dims)}", *options]) if options else ""


def _range(name: str) -> str:
    return "1..8" if "batch" in name.lower() else "1..512"


def _sides(tensor: onnx.TypeProto.Tensor) -> Sequence[int]:
    """The dimensions of height and width, where there are such."""
    dims = [dim.dim_value for dim in tensor.shape.dim]
    if len(dims) != 4:
        return ()
    return (2, 3) if dims[1] in _CHANNELS else (1, 2) if dims[3] in _CHANNELS else ()
