"""Models in which every layer stands between pairs of quantisation, as quantisers write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from onnx_models import Arrays, floats, model, positive


class Pairs:
    """Nodes one after the other; values are names of floats."""

    def __init__(self, dtype: str = "uint8", *, per_channel: bool = True) -> None:
        self.dtype, self.per_channel = dtype, per_channel
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.inputs: dict[str, np.ndarray] = {}

    def const(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def node(self, op: str, *inputs: str, **attrs: Any) -> str:
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], **attrs))
        return out

    def input(self, *shape: int, name: str = "x", spread: float = 1.0, zero: int = 117) -> str:
        self.inputs[name] = floats(*shape) * np.float32(spread)
        return self.pair(name, spread / 40, zero)

    def scale(self, scale: float, zero: int) -> tuple[str, str]:
        """``zero`` is as of uint8."""
        point = zero - 128 * (self.dtype == "int8")
        return self.const(np.float32(scale)), self.const(np.array(point, self.dtype))

    def stored(self, x: str, scale: float, zero: int) -> str:
        return self.node("QuantizeLinear", x, *self.scale(scale, zero))

    def pair(self, x: str, scale: float = 0.05, zero: int = 117) -> str:
        q = self.stored(x, scale, zero)
        return self.node("DequantizeLinear", q, *self.scale(scale, zero))

    def weights(self, *shape: int, axis: int = 0, zero: int = 0, dtype: str = "int8") -> str:
        info = np.iinfo(dtype)
        rng = np.random.default_rng([len(self.nodes), *shape])
        array = rng.integers(info.min, info.max + 1, shape).astype(dtype)
        count = shape[axis] if self.per_channel else ()
        scale = positive(*([count] if self.per_channel else [])) * np.float32(0.002)
        zeros = np.full(count, zero, dtype)
        more = {"axis": axis} if self.per_channel else {}
        return self.node(
            "DequantizeLinear", self.const(array), self.const(scale), self.const(zeros), **more
        )

    def bias(self, channels: int, x_scale: float = 0.025) -> str:
        rng = np.random.default_rng(channels)
        scale = positive(channels) * np.float32(0.002 * x_scale)
        steps = rng.integers(-9999, 9999, channels).astype("int32")
        if not self.per_channel:
            return self.const((steps * np.float32(0.002 * x_scale)).astype("float32"))
        zeros = np.zeros(channels, "int32")
        return self.node("DequantizeLinear", *map(self.const, (steps, scale, zeros)), axis=0)

    def model(self, *outputs: str) -> onnx.ModelProto:
        return model(self.nodes, self.inputs, outputs, self.constants, opset=18)


Layer = Callable[[Pairs], str]


def plainly(proto: onnx.ModelProto, inputs: Arrays) -> list[np.ndarray]:
    """What ONNX says: by ONNX Runtime without optimisations, whose integers may saturate."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(a) for a in session.run(None, dict(inputs))]


def conv(
    b: Pairs, x: str, *shape: int, bias: bool = True, x_scale: float = 0.025, **attrs: Any
) -> str:
    more = [b.bias(shape[0], x_scale)] if bias else []
    return b.node("Conv", x, b.weights(*shape), *more, **attrs)


def joined(b: Pairs, parts: Sequence[str], axis: int) -> str:
    return b.node("Concat", *parts, axis=axis)
