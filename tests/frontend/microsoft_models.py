"""Models of ONNX Runtime's own operators, and what ONNX Runtime computes by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnx_models import TARGET, Arrays, compute, value_info

from luthier.frontend import Program, import_model

DOMAIN = "com.microsoft"


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Arrays,
    outputs: Sequence[str],
    constants: Arrays,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of both domains."""
    graph = helper.make_graph(
        list(nodes),
        "small",
        [value_info(n, a) for n, a in inputs.items()],
        [helper.make_empty_tensor_value_info(o) for o in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def single(
    op: str,
    *arguments: np.ndarray | None,
    constants: Sequence[int] = (),
    outputs: Sequence[int] = (0,),
    opset: int = 17,
    domain: str = DOMAIN,
    **attrs: Any,
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model of one node with these outputs, and its inputs."""
    names = ["" if a is None else f"in{i}" for i, a in enumerate(arguments)]
    given = {n: np.asarray(a) for n, a in zip(names, arguments, strict=True) if a is not None}
    known = {f"in{i}": given.pop(f"in{i}") for i in constants if f"in{i}" in given}
    results = [f"out{i}" if i in outputs else "" for i in range(max(outputs) + 1)]
    node = helper.make_node(op, names, results, domain=domain, name="the_node", **attrs)
    wanted = [name for name in results if name]
    return model([node], given, wanted, known, opset), given


def runtime(proto: onnx.ModelProto, inputs: Arrays) -> dict[str, np.ndarray]:
    """What ONNX Runtime computes, by its kernels as the model names them."""
    session = _session(proto)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, map(np.asarray, session.run(names, dict(inputs))), strict=True))


def _session(proto: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def runtime_in_place(
    proto: onnx.ModelProto, inputs: Arrays, caches: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """The same where these outputs lie in the buffers of these inputs."""
    session = _session(proto)
    binding = session.io_binding()
    values = {n: onnxruntime.OrtValue.ortvalue_from_numpy(a.copy()) for n, a in inputs.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    names = [o.name for o in session.get_outputs()]
    for name in names:
        if name in caches:
            binding.bind_ortvalue_output(name, values[caches[name]])
        else:
            binding.bind_output(name)
    session.run_with_iobinding(binding)
    return dict(zip(names, map(np.asarray, binding.copy_outputs_to_cpu()), strict=True))


def typed(proto: onnx.ModelProto, results: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The model with the types of its outputs, as every exporter writes them."""
    for output in proto.graph.output:
        array = results[output.name]
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        output.type.CopyFrom(helper.make_tensor_type_proto(kind, array.shape))
    return proto


def agree(
    proto: onnx.ModelProto,
    inputs: Arrays,
    *,
    kernels: bool = False,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    steps: float = 0.02,
    caches: Mapping[str, str] | None = None,
) -> Program:
    """Check our program against ONNX Runtime's; returns it. ``caches`` share buffers.

    Quantised numbers may differ by one step in a share of ``steps`` of the elements.
    """
    theirs = runtime_in_place(proto, inputs, caches) if caches else runtime(proto, inputs)
    program = import_model(typed(proto, theirs), TARGET)
    ours = compute(program, inputs, kernels)
    assert list(ours) == list(theirs)
    for name, array in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape), name
        if array.dtype in (np.uint8, np.int8):
            apart = np.abs(ours[name].astype(int) - array.astype(int))
            assert apart.max(initial=0) <= 1, name
            assert apart.sum() <= steps * apart.size, name
        else:
            np.testing.assert_allclose(ours[name], array, rtol, atol, err_msg=name)
    return program


def cases(families: Mapping[str, Mapping[str, tuple[Any, ...]]]) -> list[Any]:
    """All of all families, called by both names."""
    return [
        pytest.param(*case, id=f"{family}-{name.replace(' ', '-')}")
        for family, named in families.items()
        for name, case in named.items()
    ]


def agree_alone(
    op: str, arguments: tuple[np.ndarray | None, ...], attrs: Mapping[str, Any]
) -> None:
    """A model of one operator means what ONNX Runtime computes, as near as its elements allow."""
    half = any(a is not None and a.dtype == np.float16 for a in arguments)
    agree(
        *single(op, *arguments, **attrs), rtol=2e-3 if half else 1e-4, atol=2e-3 if half else 1e-5
    )
