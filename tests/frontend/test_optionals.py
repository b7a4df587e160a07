"""Optional values are gone when a model is built: each is there, or is not."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
from onnx_models import TARGET, compute, floats

from luthier.frontend import import_model
from luthier.schedules import ModelError

X = floats(2, 3)


def run(nodes: str, outputs: str, opset: int = 18) -> dict[str, np.ndarray]:
    head = f'<ir_version: 8, opset_import: ["": {opset}]>'
    text = f"{head} small (float[2,3] x) => ({outputs}) {{{nodes}}}"
    return compute(import_model(onnx.parser.parse_model(text), TARGET), {"x": X})


def test_an_optional_of_a_tensor_is_the_tensor() -> None:
    nodes = "o = Optional (x) h = OptionalHasElement (o) e = OptionalGetElement (o) y = Neg (e)"
    found = run(nodes, "float[2,3] y, bool h", opset=15)
    np.testing.assert_array_equal(found["y"], -X)
    assert found["h"].item() is True
    assert found["h"].shape == ()


def test_a_tensor_is_an_optional_that_is_there() -> None:
    found = run("h = OptionalHasElement (x) y = OptionalGetElement (x)", "float[2,3] y, bool h")
    np.testing.assert_array_equal(found["y"], X)
    assert found["h"].item() is True


@pytest.mark.parametrize("given", ["", '""'])
def test_what_is_left_out_is_not_there(given: str) -> None:
    assert run(f"h = OptionalHasElement ({given})", "bool h")["h"].item() is False


def test_an_empty_optional_has_no_element() -> None:
    empty = "o = Optional <type: type_proto = float[2,3]> ()"
    found = run(f"{empty} h = OptionalHasElement (o)", "bool h")
    assert found["h"].item() is False
    with pytest.raises(ModelError, match=r"OptionalGetElement 'y': there is no element"):
        run(f"{empty} y = OptionalGetElement (o)", "float[2,3] y")


def test_an_optional_that_is_there_is_a_result() -> None:
    found = run("o = Optional (x)", "optional(float[2,3]) o", opset=15)
    np.testing.assert_array_equal(found["o"], X)
