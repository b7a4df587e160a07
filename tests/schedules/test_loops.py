"""What templates say of their loop nests is what their kernels have."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from attentions import separate
from golden import SCRIPTS
from recurrences import layer
from workloads import conv, group_norm, matmul, pool, separable

from luthier.schedules import Schedule, ScheduleError, Target, Workload
from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.ops.counts import flops
from luthier.schedules.templates.loops import features
from luthier.schedules.templates.registry import instantiate, loops, spaces

TARGET = Target("x86-64-v4", "x86-64-v4", 4, l1=32768, l2=1 << 20, l3=1 << 25, extensions=("vnni",))
ROUNDING = replace(TARGET, accuracy="bf16", extensions=("bf16",))
PAD = (1, 1, 1, 1)

# The chunks of one phase, the last one, are those of the nest.
NESTS: dict[str, tuple[Workload, str]] = {
    "convolution": (conv((2, 15, 13, 20), 50, (3, 3), pads=PAD), "conv_direct"),
    "convolution_groups": (conv((1, 9, 11, 12), 18, (3, 3), groups=3), "conv_direct"),
    "product": (matmul((37, 29), (29, 75)), "gemm"),
    "product_of_a_row": (matmul((2, 64), (75, 64), transpose_b=True), "dots"),
    "product_batched": (matmul((3, 17, 20), (3, 20, 40), constant=False), "gemm"),
    "winograd": (conv((2, 13, 15, 20), 70, (3, 3), pads=PAD), "winograd"),
    "depthwise": (conv((2, 12, 9, 40), 40, (3, 3), pads=PAD, groups=40), "channelwise"),
    "groups": (conv((2, 12, 19, 20), 20, (3, 3), pads=PAD, groups=5), "channelwise"),
    "pool": (pool("max_pool2d", (1, 14, 14, 20), (2, 2), strides=(2, 2)), "channelwise"),
    "separable": (separable((1, 11, 10, 13), 70, (3, 3), pads=PAD), "separable"),
    "attention": (separate((2, 3, 37, 50, 16, 24), heads_first=False), "attention"),
    "attention_keys": (separate((2, 3, 37, 50, 16, 24), heads_first=False), "attention_keys"),
    "attention_rows": (separate((2, 3, 1, 50, 16, 24), heads_first=False), "attention_rows"),
    "group_norm": (group_norm((2, 6, 5, 24), 6), "group_norm"),
    "recurrent": (layer("gru", (3, 5, 100), reverse=(False, True)), "recurrent"),
}


def drawn(
    workload: Workload, template: str, count: int = 12, target: Target = TARGET
) -> list[Schedule]:
    (space,) = (s for s in spaces(workload, target) if s.template == template)
    rng = random.Random(0)
    return [space.sample(rng) for _ in range(count)]


def table(schedules: list[Schedule]) -> dict[str, np.ndarray]:
    knobs = [dict(s.knobs) for s in schedules]
    return {name: np.array([k[name] for k in knobs]) for name in knobs[0]}


@pytest.mark.parametrize("name", NESTS)
def test_chunks_are_those_of_the_kernel(name):
    workload, template = NESTS[name]
    schedules = drawn(workload, template)
    said = np.broadcast_to(
        loops(workload, TARGET, template, table(schedules)).chunks, (len(schedules),)
    )
    kernels = [instantiate(workload, TARGET, s) for s in schedules]
    assert said.tolist() == [k.phases[-1].chunks for k in kernels]


@pytest.mark.parametrize("name", [n for n in NESTS if n not in ("winograd", "pool", "group_norm")])
def test_no_nest_does_less_than_its_workload_or_more_than_its_steps(name):
    workload, template = NESTS[name]
    nest = loops(workload, TARGET, template, table(drawn(workload, template)))
    products = flops(workload) / 2 / TARGET.lanes(FLOAT32)
    if template == "separable":
        products = flops(conv((1, 11, 10, 13), 70, (1, 1))) / 2 / TARGET.lanes(FLOAT32)
    if template == "attention_rows":
        products *= 24 / 44  # scores are not in the nest
    if template in ("attention", "attention_keys"):
        products *= 40 / 44  # two operations of each score's 2 * 40 + 4 are not the products'
    assert np.all(nest.work >= 0.99 * products)
    assert np.all(nest.work <= nest.steps * nest.sums * 1.001)


def test_winograd_does_less_than_the_direct_method():
    workload = conv((1, 16, 16, 64), 64, (3, 3), pads=PAD)
    nest = loops(workload, TARGET, "winograd", table(drawn(workload, "winograd")))
    ratio = nest.work * 2 * TARGET.lanes(FLOAT32) / flops(workload)
    assert set(np.round(ratio, 3)) <= {0.25, 0.444, 0.375, 0.667}  # whole panels, too


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_template_has_finite_features(name):
    workload, template = SCRIPTS[name]
    target = ROUNDING if template.endswith("bfloat16") else TARGET
    schedules = drawn(workload, template, target=target)
    knobs = table(schedules)
    nest = loops(workload, target, template, knobs)
    for column in features(nest, target, flops(workload)).values():
        assert np.isfinite(np.broadcast_to(column, (len(schedules),))).all()


def test_features_are_ratios_to_the_machine():
    workload = matmul((64, 64), (64, 64))
    knobs = table(drawn(workload, "gemm", 1))
    small, large = (
        features(
            loops(workload, target, "gemm", knobs),
            target,
            flops(workload),
        )
        for target in (
            TARGET,
            replace(TARGET, threads=8, l1=65536, l2=1 << 21, l3=1 << 26),
        )
    )
    assert large["chunk of L2"] - small["chunk of L2"] == -1
    assert large["inner of L1"] - small["inner of L1"] == -1
    assert large["chunks a thread"] - small["chunks a thread"] == -1
    assert large["sums"] == small["sums"]


def test_an_unknown_template_has_no_nest():
    with pytest.raises(ScheduleError, match="no template 'fake'"):
        loops(matmul((4, 4), (4, 4)), TARGET, "fake", {})
