"""The template that computes a workload, and the errors for those that no template computes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attentions import separate
from caller import TARGETS
from coded_workloads import few_bits
from recurrences import layer
from whole_attentions import whole_attention
from whole_workloads import whole_conv, whole_matmul
from workloads import (
    Builder,
    conv,
    conv_planes,
    conv_transpose,
    ensemble,
    group_norm,
    matmul,
    pool,
    separable,
    unary,
)

from luthier.schedules import Schedule, ScheduleError, Target, Tensor, Workload, node
from luthier.schedules.ops import OPERATORS
from luthier.schedules.templates.abilities import Abilities
from luthier.schedules.templates.registry import (
    ANCHORS,
    TEMPLATES,
    default,
    forms,
    instantiate,
    spaces,
)

TARGET = TARGETS["x86-64-v3"]


def softmax() -> Workload:
    b = Builder()
    b.add("softmax", b.input((8, 100)), axis=1)
    return b.workload


def total() -> Workload:
    b = Builder()
    b.add("sum", b.input((8, 100)), shape=(8,), axes=(1,), keepdims=False)
    return b.workload


def transposition() -> Workload:
    b = Builder()
    b.add("transpose", b.input((8, 100)), shape=(100, 8), axes=(1, 0))
    return b.workload


def other() -> Workload:
    x, out = Tensor((8, 100)), Tensor((8,), "int64")
    attributes = {"attrs": "relax.attrs.ArgmaxArgminAttrs", "axis": 1, "keepdims": False}
    return Workload((x,), (False,), (node("relax.argmax", (0,), out, **attributes),))


PAD = (1, 1, 1, 1)


def search():
    b = Builder()
    b.add("nonzero", b.input((9, 20)), shape=(2, 50), dtype="int64")
    return b.workload


def boxes():
    b = Builder()
    found = b.input((1, 9, 4)), b.input((1, 2, 9))
    numbers = [b.input((1,), dtype) for dtype in ("int64", "float32", "float32")]
    more = {"center": False, "threshold": True}
    b.add("suppress", *found, *numbers, shape=(1, 2, 3), dtype="int64", **more)
    return b.workload


def largest() -> Workload:
    b = Builder()
    x = b.input((9, 20))
    b.add("argmax", x, shape=(9, 1), dtype="int32", axes=(1,), keepdims=True, last=False)
    return b.workload


def scatter() -> Workload:
    b = Builder()
    args = b.input((9, 20)), b.input((4, 1), "int64"), b.input((4, 20))
    b.add("scatter_nd", *args, shape=(9, 20), reduction="add")
    return b.workload


def first():
    b = Builder()
    b.add("topk", b.input((9, 20)), shape=(9, 3), dtype="int64", axis=1, k=3, largest=True)
    return b.workload


def running():
    b = Builder()
    b.add("cumsum", b.input((9, 20)), shape=(9, 20), axis=1, exclusive=False, reverse=False)
    return b.workload


def distinct():
    b = Builder()
    b.add("distinct", b.input((9, 20)), shape=(3, 9), dtype="int64", sorted=True)
    return b.workload


def way():
    b = Builder()
    b.add("warp", b.input((9, 5)), shape=(2, 14), dtype="int32")
    return b.workload


def file():
    b = Builder()
    attrs = {"height": 4, "width": 5, "order": "RGB"}
    b.add("decode_image", b.input((99,), "uint8"), shape=(5, 15), dtype="uint8", **attrs)
    return b.workload


def matrix():
    b = Builder()
    b.add("determinant", b.input((9, 5, 5)), shape=(9,))
    return b.workload


def shares():
    b = Builder()
    b.add("coupling", b.input((9, 3)), shape=(9, 3))
    return b.workload


def gathered():
    b = Builder()
    columns = b.input((20,), "int64", constant=True)
    b.add("take", b.input((20, 9)), columns, shape=(20, 20), dtype="float32", axis=1)
    return b.workload


def texts():
    b = Builder()
    b.add("text_clean", b.input((9, 20), "uint8"), shape=(9, 20), dtype="uint8")
    return b.workload


DEFAULTS = {
    "a depthwise convolution": (conv((1, 9, 9, 8), 8, (3, 3), groups=8), "channelwise"),
    "the beginning of an inverted residual": (separable((1, 9, 9, 8), 24, (3, 3)), "separable"),
    "a maximum of windows": (pool("max_pool2d", (1, 9, 9, 8), (2, 2)), "channelwise"),
    "one of planes": (pool("max_pool2d", (8, 9, 9, 1), (2, 2)), "pool_planes"),
    "one of bytes": (pool("max_pool2d", (1, 9, 9, 8), (2, 2), dtype="uint8"), "pool_integer"),
    "a convolution of planes": (conv_planes((1, 9, 9, 8), 8, (3, 3)), "conv_planes"),
    "a product": (matmul((8, 9), (9, 10)), "gemm"),
    "a row times columns": (
        matmul((1, 16), (9, 16), transpose_b=True, constant=False),
        "dots",
    ),
    "a row times a matrix of few bits": (few_bits((1,), 64, 24, 4, 32), "few_bits"),
    "rows times one": (few_bits((20,), 64, 24, 4, 32), "few_bits_gemm"),
    "rounded rows times one": (few_bits((20,), 64, 24, 4, 32, rounded=True), "few_bits_integer"),
    "a pointwise convolution": (conv((1, 9, 9, 8), 8, (1, 1)), "gemm"),
    "many 3x3 tiles of many channels": (conv((1, 56, 56, 64), 64, (3, 3), pads=PAD), "winograd"),
    "a line of many channels": (
        conv((1, 1, 900, 80), 64, (1, 3), pads=(0, 1, 0, 1)),
        "winograd_line",
    ),
    "5x5 of many channels": (conv((1, 28, 28, 32), 64, (5, 5), pads=(2,) * 4), "winograd"),
    "dilated beyond most of the image": (
        conv((1, 14, 14, 256), 256, (3, 3), pads=(12,) * 4, dilations=(12, 12)),
        "conv_direct",
    ),
    "few of few channels": (conv((1, 5, 5, 3), 8, (3, 3), pads=PAD), "conv_direct"),
    "strides": (conv((1, 56, 56, 64), 64, (3, 3), strides=(2, 2)), "conv_direct"),
    "groups of many outputs": (conv((1, 9, 9, 8), 128, (3, 3), groups=4), "conv_direct"),
    "groups of few outputs": (conv((1, 9, 9, 8), 8, (3, 3), groups=2), "channelwise"),
    "groups of few outputs and more inputs": (
        conv((1, 9, 9, 12), 8, (3, 3), groups=2),
        "conv_direct",
    ),
    "several outputs of a channel": (conv((1, 9, 9, 8), 16, (3, 3), groups=8), "channelwise"),
    "a number of them that divides no vector": (
        conv((1, 9, 9, 8), 24, (3, 3), groups=8),
        "conv_direct",
    ),
    "few outputs of many channels": (conv((1, 9, 9, 32), 3, (3, 3)), "conv_dots"),
    "the same, transposed": (conv_transpose((1, 9, 9, 32), 3, (3, 3)), "conv_transpose_dots"),
    "a transposed convolution": (conv_transpose((1, 5, 5, 4), 4, (3, 3)), "conv_transpose"),
    "a convolution of whole numbers": (whole_conv((1, 9, 9, 8), 8, (3, 3)), "conv_integer"),
    "tiles of bytes": (
        whole_conv((1, 28, 28, 64), 64, (3, 3), ("uint8", "int8"), pads=PAD),
        "winograd_integer",
    ),
    "a depthwise one": (whole_conv((1, 9, 9, 8), 8, (3, 3), groups=8), "channelwise_integer"),
    "a product of whole numbers": (whole_matmul((8, 9), (9, 10)), "gemm_integer"),
    "attention of bytes": (whole_attention((2,), 9, 9, 4, 4), "attention_integer"),
    "a softmax": (softmax(), "normalize"),
    "attention": (separate((1, 2, 16, 9, 4, 4), heads_first=True), "attention"),
    "attention of some rows": (separate((1, 2, 9, 40, 16, 16), heads_first=True), "attention_keys"),
    "attention of a query": (separate((1, 2, 1, 9, 4, 4), heads_first=True), "attention_rows"),
    "groups of channels, normalised": (group_norm((1, 9, 9, 8), 2), "group_norm"),
    "a sum": (total(), "reduction"),
    "a transposition": (transposition(), "transpose"),
    "columns of rows": (gathered(), "across"),
    "a search": (search(), "nonzero"),
    "boxes that overlap": (boxes(), "suppression"),
    "the first of rows": (first(), "sort"),
    "different rows": (distinct(), "distinct"),
    "a recurrent layer": (layer("lstm", (3, 2, 9)), "recurrent"),
    "running sums": (running(), "scan"),
    "where the largest is": (largest(), "place"),
    "what is written at places": (scatter(), "scatter"),
    "matrices": (matrix(), "elimination"),
    "a way through one": (way(), "warping"),
    "a file of an image": (file(), "images"),
    "shares of pairs": (shares(), "coupling"),
    "texts": (texts(), "texts"),
    "trees": (ensemble(20), "trees"),
    "an elementwise operator": (unary("relu", (100,)), "pointwise"),
    "an operator of TVM's": (other(), "relax"),
}


WITHOUT = replace(TARGET, accuracy="bf16")
WITH = Target("x86-64-v4", "x86-64-v4", 4, accuracy="bf16", extensions=("bf16",))
ROUNDED = {  # where operands may be rounded to bfloat16
    "a product": (matmul((8, 9), (9, 10)), WITH, "gemm_bfloat16"),
    "a row": (matmul((1, 9), (9, 10)), WITHOUT, "rows_bfloat16"),
    "a convolution": (conv((1, 9, 9, 64), 64, (3, 3), strides=(2, 2)), WITH, "conv_bfloat16"),
    "an enlargement": (
        conv_transpose((1, 9, 9, 8), 32, (2, 2), strides=(2, 2)),
        WITH,
        "conv_transpose_bfloat16",
    ),
    "an image of few pixels": (
        conv((1, 5, 5, 64), 64, (3, 3), pads=(1, 1, 1, 1)),
        replace(WITH, extensions=("bf16", "amx")),
        "patches_bfloat16",
    ),
    "a residual's beginning": (separable((1, 9, 9, 8), 24, (3, 3)), WITH, "separable_bfloat16"),
    "attention": (separate((1, 2, 9, 9, 4, 4), heads_first=True), WITH, "attention_bfloat16"),
}
EVERY = {name: (workload, TARGET, template) for name, (workload, template) in DEFAULTS.items()}
EVERY |= {f"{name}, rounded": each for name, each in ROUNDED.items()}


@pytest.mark.parametrize("name", EVERY)
def test_the_template_of_the_default_schedule(name):
    workload, target, template = EVERY[name]
    schedule = default(workload, target)
    assert schedule.template == template
    kernel = instantiate(workload, target, schedule)
    assert kernel.schedule == schedule
    assert kernel.phases
    assert all(phase.chunks > 0 for phase in kernel.phases)
    assert len(kernel.packings) == len(workload.inputs)


@pytest.mark.parametrize("extensions", [(), ("bf16",), ("vnni", "bf16", "amx")])
def test_numbers_that_nothing_is_read_for_have_a_template(extensions):
    """No template may look at the first input of what has none."""
    b = Builder()
    parts = [b.add("reshape", b.const(size, "int64"), shape=(1,)) for size in (2, 3)]
    b.add("concat", *parts, shape=(2,), dtype="int64", axis=0)
    target = replace(WITH, extensions=extensions)
    assert default(b.workload, target).template == "pointwise"


def test_every_template_is_somebodys_default():
    assert {template for *_, template in EVERY.values()} == {t.name for t in TEMPLATES}


def test_names_are_unique_and_versions_agree():
    assert len({t.name for t in TEMPLATES}) == len(TEMPLATES)
    for workload, target, _ in EVERY.values():
        for form in forms(workload, target):
            assert (form.space.template, form.space.version) == (form.name, form.version)


def test_knobs_are_named_as_their_types_say():
    for workload, target, _ in EVERY.values():
        for form in forms(workload, target):
            names = tuple(knob.name for knob in form.choices())
            assert names == type(form.default())._fields


def test_every_anchor_has_a_template_that_computes_it():
    assert ANCHORS.keys() == {name for name, known in OPERATORS.items() if known.is_anchor}


def test_fusion_relies_on_what_all_templates_of_an_anchor_can_do():
    some = Abilities(prologue=True, passes=2, reads_apart=True, converts=True)
    other = Abilities(passes=3, reads_apart=True, epilogue=False, known_weights=True)
    both = Abilities(passes=3, reads_apart=True, epilogue=False, known_weights=True)
    assert some & other == both


def test_a_convolution_whose_estimates_tie_is_direct():
    tied = conv((1, 16, 16, 8), 16, (3, 3), pads=(1, 1, 1, 1))
    found = forms(tied, replace(TARGETS["x86-64-v4"], accuracy="standard"))
    assert found[0].estimate() == found[1].estimate()
    assert [form.name for form in found] == ["conv_direct", "winograd"]


def test_the_template_that_expects_the_least_comes_first():
    small, large = (
        DEFAULTS["few of few channels"][0],
        DEFAULTS["many 3x3 tiles of many channels"][0],
    )
    assert [s.template for s in spaces(small, TARGET)] == ["conv_direct", "winograd"]
    assert [s.template for s in spaces(large, TARGET)] == ["winograd", "conv_direct"]


def test_a_schedule_of_another_template_that_fits_is_taken():
    workload = DEFAULTS["many 3x3 tiles of many channels"][0]
    second = spaces(workload, TARGET)[1].default_schedule()
    assert instantiate(workload, TARGET, second).schedule == second


RELU, GOOD = unary("relu", (100,)), Schedule("pointwise", 1, (("grain", 1024),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": "blocked"}, "there is no template 'blocked'"),
        ({"template": "winograd"}, "'winograd' does not fit relu"),
        ({"version": 2}, "'pointwise' is at version 1, not 2"),
        ({"version": 0}, "'pointwise' is at version 1, not 0"),
        ({"knobs": ()}, r"has the knobs \['grain'\]"),
        ({"knobs": (("grain", 1024), ("tile", 4))}, r"has the knobs \['grain'\]"),
        ({"knobs": (("grain", 1023),)}, "grain=1023 is none of"),
        ({"knobs": (("grain", "1024"),)}, "grain='1024' is none of"),
    ],
)
def test_a_schedule_that_is_not_in_the_space_is_refused(change, message):
    assert instantiate(RELU, TARGET, GOOD)
    with pytest.raises(ScheduleError, match=message):
        instantiate(RELU, TARGET, replace(GOOD, **change))


def test_knobs_that_do_not_go_together_are_refused():
    workload = matmul((64, 64), (64, 256))
    good = default(workload, TARGET)
    knobs = dict(good.knobs) | {"rows": 14, "vectors": 4}
    with pytest.raises(ScheduleError, match="do not go together"):
        instantiate(workload, TARGET, Schedule("gemm", good.version, tuple(knobs.items())))


def test_a_schedule_is_for_one_kind_of_target():
    """Sixteen lanes of float32 are one register on v4 and four on v2."""
    workload = matmul((64, 64), (64, 256))
    schedule = default(workload, TARGETS["x86-64-v4"])
    with pytest.raises(ScheduleError, match="gemm"):
        instantiate(workload, TARGETS["x86-64-v2"], schedule)


def test_knobs_may_come_in_any_order():
    workload = matmul((64, 64), (64, 256))
    schedule = default(workload, TARGET)
    turned = replace(schedule, knobs=schedule.knobs[::-1])
    assert instantiate(workload, TARGET, turned).schedule == schedule


NOBODYS = {
    "two anchors": Workload(
        (Tensor((4, 4)), Tensor((4, 4))),
        (False, True),
        (node("matmul", (0, 1), Tensor((4, 4))), node("matmul", (2, 1), Tensor((4, 4)))),
    ),
    "a convolution of float64": Workload(
        (Tensor((1, 4, 4, 2), "float64"), Tensor((2, 3, 3, 2), "float64")),
        (False, True),
        (
            node(
                "conv2d",
                (0, 1),
                Tensor((1, 2, 2, 2), "float64"),
                strides=(1, 1),
                pads=(0, 0, 0, 0),
                dilations=(1, 1),
                groups=1,
            ),
        ),
    ),
    "an unknown operator": Workload(
        (Tensor((4,)),), (False,), (node("rot13", (0,), Tensor((4,))),)
    ),
    "an anchor whose result is reshaped": Workload(
        (Tensor((4, 4)), Tensor((4, 4))),
        (False, True),
        (node("matmul", (0, 1), Tensor((4, 4))), node("reshape", (2,), Tensor((16,)))),
    ),
}


@pytest.mark.parametrize("name", NOBODYS)
def test_a_workload_without_a_template_is_refused(name):
    with pytest.raises(ScheduleError, match="no template computes the workload"):
        spaces(NOBODYS[name], TARGET)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5), (2, 0, 4)])
def test_tensors_without_elements_are_refused(shape):
    with pytest.raises(ScheduleError, match="has no elements"):
        default(unary("relu", shape), TARGET)
    with pytest.raises(ScheduleError, match="has no elements"):
        instantiate(unary("relu", shape), TARGET, GOOD)


def test_tensors_beyond_32_bit_indices_are_refused():
    workload = unary("relu", (1 << 16, 1 << 16))
    with pytest.raises(ScheduleError, match="32-bit"):
        instantiate(workload, TARGET, default(workload, TARGET))


def test_what_a_run_computes_may_be_multiplied():
    """One template that needs constant weights would leave these products to none of ours."""
    assert not ANCHORS["matmul"].known_weights
    assert not ANCHORS["matmul_integer"].known_weights
