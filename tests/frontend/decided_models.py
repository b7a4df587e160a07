"""What models whose values decide shapes give, find and refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_models import TARGET, UnexpectedError, expected
from sized_models import computed

from luthier.frontend import Bounds, Entry, Shapes, import_entry, read_model
from luthier.frontend.program.library import Library, verify_library
from luthier.schedules import ModelError

Arrays = Mapping[str, Any]


def declared(proto: onnx.ModelProto, **shapes: Sequence[int | str | None]) -> onnx.ModelProto:
    """The model that declares shapes of outputs."""
    for output in proto.graph.output:
        if output.name in shapes:
            kind = output.type.tensor_type.elem_type
            made = helper.make_tensor_value_info(output.name, kind, shapes[output.name])
            output.CopyFrom(made)
    return proto


def same(
    proto: onnx.ModelProto,
    runs: Sequence[Arrays],
    bounds: Bounds | None = None,
    shapes: Shapes | None = None,
) -> Entry:
    """The entry, whose programs give what the model does for several values."""
    entry = import_entry(read_model(proto, shapes, bounds=bounds), TARGET)
    verify_library(Library("small", {"run": entry}))
    for given in runs:
        inputs = {name: np.asarray(array) for name, array in given.items()}
        sizes = {s.name: next(a.shape[0] for a in inputs.values() if a.ndim) for s in entry.symbols}
        program = entry.variant(sizes)
        assert program is not None
        ours, wanted = computed(program, sizes, inputs), expected(proto, inputs)
        for name, array in wanted.items():
            assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape), (name, given)
            np.testing.assert_allclose(ours[name], array, 1e-5, 1e-6, err_msg=f"{name} {given}")
    return entry


def ended(entry: Entry, inputs: Arrays) -> str:
    """What a run says that such values end."""
    (program,) = entry.variants
    with pytest.raises(UnexpectedError) as error:
        computed(program, {}, {name: np.asarray(array) for name, array in inputs.items()})
    return str(error.value)


def refused(proto: onnx.ModelProto, bounds: Bounds | None = None) -> str:
    with pytest.raises(ModelError) as error:
        import_entry(read_model(proto, bounds=bounds), TARGET)
    assert "\n" not in str(error.value)
    return str(error.value)


def found(entry: Entry, inputs: Arrays) -> list[int]:
    """The numbers that a run finds."""
    (program,) = entry.variants
    numbers: list[int] = []
    computed(program, {}, {n: np.asarray(a) for n, a in inputs.items()}, numbers)
    return numbers
