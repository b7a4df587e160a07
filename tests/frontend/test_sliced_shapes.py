"""Which dimensions of slices are as large as a run finds."""

from __future__ import annotations

import onnx.parser
import pytest

from luthier.frontend.control.varying import varying_axes


@pytest.mark.parametrize(
    ("node", "varies"),
    [
        ("y = Slice (x, start, end)", (True, False, False)),
        ("y = Slice (x, start, end, two)", (False, False, True)),
        ("y = Slice (x, start, end, minus)", (False, True, False)),
        ("y = Slice (x, starts, ends)", (True, True, False)),
        ("w = Slice (x, start, end, two) y = Slice (w, start, end)", (True, False, True)),
        ("y = Slice (x, start, end, axis)", (True, True, True)),
        ("y = Slice (x, some, some)", (True, True, True)),
    ],
)
def test_those_that_it_is_along(node: str, varies: tuple[bool, ...]) -> None:
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": 18]>
      g (float[4,5,6] x, int64[1] start, int64[1] end, int64[2] starts, int64[2] ends,
         int64[1] axis, int64[n] some) => (float[a,b,c] z)
      <int64[1] two = {{2}}, int64[1] minus = {{-2}}> {{
        {node}
        z = Neg (y)
      }}""")
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert varying_axes(model, {"w", "y"})["y"].axes == varies
