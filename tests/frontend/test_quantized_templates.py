"""Every template of quantised layers, on this machine with its extensions, does as ONNX says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from onnx_models import Arrays, value_of
from pairs import Layer, Pairs, plainly
from test_stay_quantized import LAYERS, within_a_step

from luthier.frontend import Program, import_model
from luthier.frontend.program import Call
from luthier.schedules.execute import LoadedKernel
from luthier.schedules.ops import evaluate
from luthier.schedules.target import host
from luthier.schedules.templates.registry import instantiate, spaces

TARGET = host(1)
OF_WHOLE = frozenset({"conv2d_integer", "matmul_integer", "max_pool2d"})


def results(program: Program, inputs: Arrays) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Of each kernel of whole numbers by each template: which, what it should be, what it is; the
    program goes on with what the last one found."""
    values = {v: np.asarray(inputs[n]) for n, v in program.inputs} | dict(program.constants)
    for call in program.steps:
        assert isinstance(call, Call)
        args = [np.array(value_of(program, values, a), order="C") for a in call.args]
        wanted = found = evaluate.run(call.workload, args)
        if {node.op for node in call.workload.nodes} & OF_WHOLE:
            for space in spaces(call.workload, TARGET):
                kernel = instantiate(call.workload, TARGET, space.default_schedule())
                found = LoadedKernel(kernel, TARGET).run(args)
                yield space.template, wanted, found
        values[program.base(call.result)] = found
    (output,) = (value_of(program, values, v) for _, v in program.outputs)
    yield "", output, output


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("layer", LAYERS, ids=lambda f: f.__name__)
def test_each_template_is_within_a_step(layer: Layer, dtype: str) -> None:
    b = Pairs(dtype)
    proto = b.model(b.stored(layer(b), 0.05, 96))
    *kernels, (_, ours, _) = results(import_model(proto, TARGET), b.inputs)
    for template, wanted, found in kernels:
        if wanted.dtype.kind == "f":
            np.testing.assert_allclose(found, wanted, 1e-5, 1e-5, err_msg=template)
        else:
            within_a_step(found, wanted)
    (theirs,) = plainly(proto, b.inputs)
    within_a_step(ours, theirs)
