"""The nine models that come with onnx, and the digits': few kernels, everything fused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_building import kernels
from onnx_models import TARGET, agree

from luthier.frontend import Program, import_model

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"

# Kernels by the model: convolutions, products, pooling, softmax; transposes; copies; other.
# Pieces of concatenations are written in place. In the two Inceptions some weights of the light
# models are equal, so that a convolution inside of a branch is a piece of the result, too.
KERNELS = {
    "bvlc_alexnet": (12, 2, 0, 2),
    "densenet121": (126, 1, 3, 58),
    "inception_v1": (71, 1, 2, 2),
    "inception_v2": (79, 1, 2, 0),
    "resnet50": (57, 1, 0, 0),
    "shufflenet": (56, 17, 3, 0),
    "squeezenet": (31, 1, 0, 0),
    "vgg19": (25, 2, 0, 0),
    "zfnet512": (12, 2, 0, 2),
}
ANCHORS = {"conv2d", "matmul", "max_pool2d", "avg_pool2d", "mean", "softmax"}
FEW = {"densenet121", "bvlc_alexnet", "inception_v1", "zfnet512"}


@pytest.fixture(scope="module", params=sorted(KERNELS))
def light(request: pytest.FixtureRequest) -> tuple[str, Program]:
    return request.param, import_model(LIGHT / f"light_{request.param}.onnx", TARGET)


def kind(kernel: list[str]) -> int:
    if ANCHORS.intersection(kernel):
        return 0
    if "transpose" in kernel:
        return 1
    return 2 if "concat" in kernel or kernel == ["cast"] else 3


def test_a_light_model_has_as_many_kernels_as_it_needs(light: tuple[str, Program]) -> None:
    name, program = light
    counts = Counter(kind(k) for k in kernels(program))
    assert tuple(counts[i] for i in range(4)) == KERNELS[name]


def test_every_convolution_takes_what_follows_it(light: tuple[str, Program]) -> None:
    """One bias at most, a residual, an activation: nothing of a batch normalisation is left."""
    for kernel in kernels(light[1]):
        if kernel[0] in ("conv2d", "matmul"):
            assert kernel[1:] in ([], ["add"], ["add", "relu"], ["add", "add", "relu"])


def test_elementwise_kernels_are_those_that_cannot_join(light: tuple[str, Program]) -> None:
    """Normalisations before activations (DenseNet) and across channels: one kernel each."""
    name, program = light
    others = {tuple(k) for k in kernels(program) if kind(k) == 3}
    norm = ("multiply", "add", "relu")
    across = ("multiply", "window_mean", "multiply", "add", "power", "divide")
    assert others <= ({norm, across} if name in FEW else set())


def test_shuffles_of_channels_are_the_only_moves_inside(light: tuple[str, Program]) -> None:
    name, program = light
    inner = [k for k in kernels(program)[1:] if "transpose" in k]
    assert len(inner) == (16 if name == "shufflenet" else KERNELS[name][1] - 1)


def test_the_digits_model_is_eight_kernels_and_computes_the_same() -> None:
    proto = onnx.load(DIGITS)
    (given,) = proto.graph.input
    shape = [d.dim_value or 3 for d in given.type.tensor_type.shape.dim]
    image = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    program = agree(proto, {given.name: image}, rtol=1e-3, atol=1e-4)
    assert kernels(program) == [
        ["conv2d", "add", "relu"],
        ["conv2d", "add", "relu"],
        ["max_pool2d"],
        ["conv2d", "add", "relu"],
        ["max_pool2d"],
        ["transpose"],
        ["matmul", "add", "relu"],
        ["matmul", "add"],
    ]
