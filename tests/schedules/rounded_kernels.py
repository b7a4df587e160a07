"""Kernels of bfloat16 for the tests: what they are compiled for, their schedules, and workloads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from caller import TARGETS, schedules
from workloads import conv, conv_transpose, matmul

from luthier.schedules import Schedule, Target, Workload
from luthier.schedules.emit import bfloat16
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.target import host_features

Array = np.ndarray
BF16 = DTYPES["bfloat16"].numpy
PAD = (1, 1, 1, 1)
TARGET = replace(TARGETS["x86-64-v4"], accuracy="bf16", extensions=("bf16",))
TEMPLATES = tuple(
    f"{of}_bfloat16"
    for of in ("gemm", "conv", "conv_transpose", "patches", "attention", "separable")
)
# The same without the instructions.
EMULATED = """
define <16 x float> @luthier_bf16_dot(<16 x float> %s, <16 x i32> %a, <32 x i16> %b) alwaysinline {
  %w = bitcast <32 x i16> %b to <16 x i32>
  %ah = and <16 x i32> %a, splat (i32 -65536)
  %bh = and <16 x i32> %w, splat (i32 -65536)
  %al = shl <16 x i32> %a, splat (i32 16)
  %bl = shl <16 x i32> %w, splat (i32 16)
  %x1 = bitcast <16 x i32> %ah to <16 x float>
  %y1 = bitcast <16 x i32> %bh to <16 x float>
  %x0 = bitcast <16 x i32> %al to <16 x float>
  %y0 = bitcast <16 x i32> %bl to <16 x float>
  %p1 = fmul <16 x float> %x1, %y1
  %s1 = fadd <16 x float> %s, %p1
  %p0 = fmul <16 x float> %x0, %y0
  %s0 = fadd <16 x float> %s1, %p0
  ret <16 x float> %s0
}

define <16 x i16> @luthier_bf16_one(<16 x float> %v) alwaysinline {
  %x = bitcast <16 x float> %v to <16 x i32>
  %h = lshr <16 x i32> %x, splat (i32 16)
  %o = and <16 x i32> %h, splat (i32 1)
  %t = add <16 x i32> %x, splat (i32 32767)
  %u = add <16 x i32> %t, %o
  %n = fcmp uno <16 x float> %v, %v
  %q = or <16 x i32> %x, splat (i32 4194304)
  %k = select <16 x i1> %n, <16 x i32> %q, <16 x i32> %u
  %e = lshr <16 x i32> %k, splat (i32 16)
  %r = trunc <16 x i32> %e to <16 x i16>
  ret <16 x i16> %r
}

define <32 x i16> @luthier_bf16_two(<16 x float> %low, <16 x float> %high) alwaysinline {
  %l = call <16 x i16> @luthier_bf16_one(<16 x float> %low)
  %h = call <16 x i16> @luthier_bf16_one(<16 x float> %high)
  %r = shufflevector <16 x i16> %l, <16 x i16> %h, <32 x i32> <
    i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7,
    i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15,
    i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23,
    i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  ret <32 x i16> %r
}

define i16 @luthier_bf16_scalar(float %v) alwaysinline {
  %x = insertelement <16 x float> zeroinitializer, float %v, i32 0
  %y = call <16 x i16> @luthier_bf16_one(<16 x float> %x)
  %r = extractelement <16 x i16> %y, i32 0
  ret i16 %r
}
"""
HAS = host_features().issuperset(TARGET.features)
MEANS = ["emulated", *["instruction"] * HAS]


@pytest.fixture(params=MEANS)
def compiled_for(request, monkeypatch) -> Target:
    """What LLVM compiles kernels for: this machine may not have the instructions."""
    if request.param == "instruction":
        return TARGET
    monkeypatch.setattr(bfloat16, "SOURCE", EMULATED)
    return TARGETS["x86-64-v3"]


def chosen(workload: Workload, samples: int = 2) -> list[Schedule]:
    """The default and other schedules of the template of bfloat16."""
    found = [s for s in schedules(workload, TARGET, samples) if s.template in TEMPLATES]
    assert found, workload
    return found


def rounded(array: Array) -> Array:
    return array.astype(BF16).astype(np.float32)


PRODUCTS = {
    "one number": matmul((1, 1), (1, 1)),
    "one row": matmul((1, 70), (70, 131), after="bias_relu"),
    "one row that is not packed": matmul((1, 33), (33, 67), constant=False),
    "one column": matmul((19, 40), (40, 1), after="gelu"),
    "one step": matmul((9, 1), (1, 35), after="swish"),
    "a prime of everything": matmul((13, 37), (37, 53), after="scaled"),
    "columns of B as they lie": matmul((5, 31), (47, 31), transpose_b=True, constant=False),
    "many of them": matmul((70, 64), (97, 64), transpose_b=True, constant=False),
    "packed columns of B": matmul((5, 31), (47, 31), transpose_b=True, after="clip"),
    "one B for a batch": matmul((2, 3, 4, 9), (9, 21), after="residual"),
    "a B for each": matmul((4, 5, 9), (4, 9, 21), constant=False, after="scaled"),
    "a constant B for each": matmul((4, 5, 9), (4, 9, 21), after="scaled"),
    "one A for all": matmul((7, 9), (3, 9, 18), constant=False),
    "both broadcast": matmul((2, 1, 5, 8), (3, 8, 19), constant=False, after="gelu"),
    "transposed ones broadcast": matmul(
        (2, 1, 5, 8), (2, 3, 19, 8), transpose_b=True, constant=False
    ),
    "a pointwise convolution": conv((2, 5, 7, 9), 34, (1, 1), after="residual"),
}
CONVOLUTIONS = {
    "enlarged": conv_transpose((2, 5, 7, 37), 48, (2, 2), strides=(2, 2), after="bias_relu"),
    "enlarged across": conv_transpose((1, 3, 11, 16), 16, (1, 3), strides=(1, 3)),
    "colours": conv((1, 12, 15, 3), 17, (7, 7), strides=(2, 2), pads=(3, 3, 3, 3)),
    "some pixels": conv((2, 7, 9, 18), 33, (1, 1), strides=(2, 2), after="bias_relu"),
    "some pixels, padded after them": conv(
        (1, 6, 7, 18), 33, (1, 1), strides=(2, 2), pads=(0, 0, 1, 2)
    ),
    "padded": conv((1, 6, 5, 4), 8, (3, 3), pads=PAD, after="residual"),
    "odd sizes": conv((2, 7, 5, 3), 19, (3, 2)),
    "one channel": conv((1, 9, 8, 1), 5, (3, 3), pads=PAD),
    "apart": conv((1, 9, 8, 5), 6, (3, 3), strides=(2, 1), dilations=(1, 2), pads=PAD),
    "groups": conv((1, 5, 5, 6), 15, (3, 3), groups=3, after="swish"),
}
