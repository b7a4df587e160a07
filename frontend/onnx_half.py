"""float16 operators of several steps: these are in float32, and the result is rounded once.

Operators that are one step in our vocabulary need no help: kernels compute float16 in float32.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any

import numpy as np

from luthier.schedules.tvm_late import ir, relax

from .onnx_node import dtype_of

SEVERAL_STEPS = frozenset(
    """
        AveragePool Conv ConvTranspose CumSum Einsum Elu Gelu Gemm GlobalAveragePool
        GridSample HardSigmoid HardSwish LRN Mean MeanVarianceNormalization Mish PRelu ReduceL1
        ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMean ReduceSumSquare Resize Selu Shrink
        Softplus Softsign Sum Swish Upsample
    """.split()
)


def widen(builder: relax.BlockBuilder, inputs: MutableSequence[Any]) -> bool:
    """Put float32 in place of the inputs in float16; whether there were any."""
    halves = [i for i, x in enumerate(inputs) if _is(x, "float16")]
    for i in halves:
        inputs[i] = _cast(builder, inputs[i], "float32")
    return bool(halves)


def narrow(builder: relax.BlockBuilder, result: Any) -> Any:
    """A result, or several, in float16."""
    if isinstance(result, relax.Tuple):
        return relax.Tuple([narrow(builder, field) for field in result.fields])
    result = builder.normalize(result)
    return _cast(builder, result, "float16") if _is(result, "float32") else result


def _is(x: Any, dtype: str) -> bool:
    return isinstance(getattr(x, "ty", None), relax.TensorType) and dtype_of(x) == dtype


def _cast(builder: relax.BlockBuilder, x: Any, dtype: str) -> Any:
    if isinstance(x, ir.GenericConst):  # which stays one: it may be needed at build time
        return relax.const(np.asarray(x.value.numpy()).astype(dtype), dtype)
    return builder.emit(relax.op.astype(x, dtype))
