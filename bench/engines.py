"""Engines through their Python APIs; ``loops`` has them in C, ``serving`` runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Run = Callable[[Arrays], Arrays]
ROUNDED = 4  # an accuracy_level: rows may be rounded to 8 bits


def luthier(path: str, threads: int) -> Run:
    """An artifact folder."""
    from luthier.deploy import load

    return load(path, threads=threads).run


def onnxruntime(path: str, threads: int) -> Run:
    """ONNX Runtime with all of its graph optimisations, as it is installed."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return lambda arrays: dict(zip(names, session.run(names, arrays), strict=True))


def openvino_properties(path: str, threads: int, precision: str = "f32") -> dict[str, str]:
    """Rows of products with matrices of few bits are rounded where the model says that they may
    be: left alone, OpenVINO does so in any case."""
    import onnx

    nodes = onnx.load(path, load_external_data=False).graph.node
    levels = {a.i for node in nodes for a in node.attribute if a.name == "accuracy_level"}
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": str(threads),
        "INFERENCE_PRECISION_HINT": precision,
        **({} if ROUNDED in levels else {"DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}),
    }


def openvino(path: str, threads: int) -> Run:
    """OpenVINO tuned for latency, in float32 as the others."""
    return _openvino(path, threads, "f32")


def openvino_bf16(path: str, threads: int) -> Run:
    """The same in bfloat16, which is its own choice where the processor has instructions for it."""
    return _openvino(path, threads, "bf16")


def _openvino(path: str, threads: int, precision: str) -> Run:
    import openvino as ov

    properties = openvino_properties(path, threads, precision)
    model = ov.Core().compile_model(path, "CPU", properties)
    names = [port.get_any_name() for port in model.outputs]
    request = model.create_infer_request()

    def run(arrays: Arrays) -> Arrays:
        results = request.infer(arrays, share_inputs=True, share_outputs=True)
        return {name: results[i] for i, name in enumerate(names)}

    return run


def torch_compile(path: str, threads: int) -> Run:
    """torch.compile with frozen weights and measured choices, which takes minutes for large models.

    The module comes from ``torch_modules``.
    """
    import onnx
    import torch
    from torch._inductor import config

    from bench import torch_modules

    torch.set_num_threads(threads)
    config.freezing = True
    names = [o.name for o in onnx.load(path).graph.output]
    compiled = torch.compile(torch_modules.load(Path(path)), mode="max-autotune-no-cudagraphs")

    @torch.inference_mode()
    def run(arrays: Arrays) -> Arrays:
        results = compiled(*map(torch.from_numpy, arrays.values()))  # type: ignore[no-untyped-call]
        if isinstance(results, torch.Tensor):
            results = (results,)
        return {name: result.numpy() for name, result in zip(names, results, strict=True)}

    return run


def torch_layer(path: str, threads: int) -> Run:
    """A recurrent layer as torch runs it: see ``recurrent_layers``."""
    import torch

    from bench import recurrent_layers

    torch.set_num_threads(threads)
    layer = recurrent_layers.module(Path(path))
    directions = 1 + layer.bidirectional

    @torch.inference_mode()
    def run(arrays: Arrays) -> Arrays:
        y, state = layer(torch.from_numpy(arrays["x"]))
        h = state[0] if isinstance(state, tuple) else state
        of_each = y.unflatten(2, (directions, -1)).transpose(1, 2)
        return {"y": of_each.numpy(), "h": h[-directions:].numpy()}

    return run


def xgboost(path: str, threads: int) -> Run:
    """XGBoost's own predictor, whose model is beside the ONNX file; of one input and output."""
    import xgboost

    booster = xgboost.Booster({"nthread": threads})
    booster.load_model(Path(path).with_suffix(".ubj"))
    booster.set_param({"nthread": threads})

    def run(arrays: Arrays) -> Arrays:
        (x,) = arrays.values()
        return {"y": booster.inplace_predict(x).reshape(len(x), -1)}

    return run
