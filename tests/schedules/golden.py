"""What every template generates today, as text in ``golden/``, so that a review sees what changes.

python tests/schedules/golden.py        write the files again
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from attentions import separate
from caller import EXTENDED, TARGETS
from coded_workloads import few_bits
from recurrences import layer as recurrent_layer
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

from luthier.schedules import Kernel, Target, Workload
from luthier.schedules.templates.registry import default, instantiate, spaces

FOLDER = Path(__file__).with_name("golden")
LEVELS = ("x86-64-v3", "x86-64-v4")
ATTENTION_OF_WHOLE = "attention_integer"  # needs an extension of the level
PAD = (1, 1, 1, 1)
# What every script begins with: the signature, and how buffers are found in their table.
_PREAMBLE = re.compile(
    r"^(#.*|@T\.prim_func.*|def main.*|\s+(T\.func_attr|table|p_\w+).*|)\n", re.M
)


def softmax() -> Workload:
    b = Builder()
    b.add("softmax", b.input((4, 9)), axis=1)
    return b.workload


def softmax_of_columns() -> Workload:
    b = Builder()
    b.add("softmax", b.input((4, 20)), axis=0)
    return b.workload


def group_of_rows() -> Workload:
    b = Builder()
    y = b.add("standardize", b.input((2, 3, 2, 20)), shape=(2, 3, 2, 20), epsilon=1e-5)
    b.add("multiply", y, b.input((3, 2, 1), constant=True))
    return b.workload


def place() -> Workload:
    b = Builder()
    x = b.input((3, 20))
    b.add("argmax", x, shape=(3, 1), dtype="int32", axes=(1,), keepdims=True, last=False)
    return b.workload


def scatter() -> Workload:
    b = Builder()
    args = b.input((6, 20)), b.input((4, 1), "int64"), b.input((4, 20))
    b.add("scatter_nd", *args, shape=(6, 20), reduction="add")
    return b.workload


def layer_norm() -> Workload:
    b = Builder()
    x, gamma, beta = b.input((4, 9)), b.input((9,), constant=True), b.input((9,), constant=True)
    b.add("layer_norm", x, gamma, beta, shape=(4, 9), epsilon=1e-5)
    return b.workload


def rms_norm() -> Workload:
    b = Builder()
    b.add("rms_norm", b.input((4, 9)), b.input((9,), constant=True), shape=(4, 9), epsilon=1e-5)
    return b.workload


def total(axis: int) -> Workload:
    b = Builder()
    b.add("sum", b.input((6, 20)), shape=((20, 6)[axis],), axes=(axis,), keepdims=False)
    return b.workload


def transposition() -> Workload:
    b = Builder()
    b.add("transpose", b.input((9, 20)), shape=(20, 9), axes=(1, 0))
    return b.workload


def planes() -> Workload:
    b = Builder()
    x = b.add("cast", b.input((20, 3), "uint8"), shape=(20, 3), dtype="float32")
    moved = b.add("transpose", x, shape=(3, 20), axes=(1, 0))
    b.add("multiply", moved, b.input((3, 1), constant=True))
    return b.workload


def gathered_rows() -> Workload:
    b = Builder()
    columns = b.input((20,), "int64", constant=True)
    taken = b.add("take", b.input((20, 9)), columns, shape=(20, 20), dtype="float32", axis=1)
    b.add("multiply", taken, b.input((20,), constant=True))
    return b.workload


def swish() -> Workload:
    b = Builder()
    x = b.add("add", b.input((6, 20)), b.input((20,), constant=True))
    b.add("multiply", x, b.add("hard_sigmoid", x, alpha=0.5, beta=0.5))
    return b.workload


def padded_concatenation() -> Workload:
    b = Builder()
    whole = b.add("concat", b.input((3, 8)), b.input((3, 12)), shape=(3, 20), axis=1)
    b.add("pad", whole, shape=(5, 20), before=(1, 0), mode="constant", value=0.0)
    return b.workload


def search() -> Workload:
    b = Builder()
    b.add("nonzero", b.input((3, 1000)), shape=(2, 40), dtype="int64")
    return b.workload


def boxes() -> Workload:
    b = Builder()
    found = b.input((1, 9, 4)), b.input((1, 2, 9))
    numbers = [b.input((1,), dtype) for dtype in ("int64", "float32", "float32")]
    more = {"center": False, "threshold": True}
    b.add("suppress", *found, *numbers, shape=(1, 2, 3), dtype="int64", **more)
    return b.workload


def first(k: int, length: int = 200, inner: int = 5) -> Workload:
    b = Builder()
    x, shape = b.input((3, length, inner)), (3, k, inner)
    b.add("topk", x, shape=shape, dtype="int64", axis=1, k=k, largest=True)
    return b.workload


def running() -> Workload:
    b = Builder()
    b.add("cumprod", b.input((3, 20, 5)), axis=1, exclusive=True, reverse=True)
    return b.workload


def distinct() -> Workload:
    b = Builder()
    b.add("distinct", b.input((40, 3)), shape=(3, 40), dtype="int64", sorted=False)
    return b.workload


def way() -> Workload:
    b = Builder()
    b.add("warp", b.input((9, 5)), shape=(2, 14), dtype="int32")
    return b.workload


def file() -> Workload:
    b = Builder()
    attrs = {"height": 4, "width": 5, "order": "RGB"}
    b.add("decode_image", b.input((99,), "uint8"), shape=(5, 15), dtype="uint8", **attrs)
    return b.workload


def matrix() -> Workload:
    b = Builder()
    b.add("determinant", b.input((4, 3, 3)), shape=(4,))
    return b.workload


def shares() -> Workload:
    b = Builder()
    b.add("coupling", b.input((4, 3)), shape=(4, 3))
    return b.workload


def split_text() -> Workload:
    b = Builder()
    said = {"delimiter": (45, 45), "cuts": -1}
    b.add("text_pieces", b.input((3, 8), "uint8"), shape=(3, 5, 8), dtype="uint8", **said)
    return b.workload


def found_tokens() -> Workload:
    b = Builder()
    x, classes, table = b.input((3, 8), "uint8"), b.input((256,), "uint8"), b.input((3, 4), "int32")
    said = {"states": 3, "kinds": 4, "begin": 0, "accepts": 2, "least": 2}
    b.add("text_find", x, classes, table, shape=(3, 8), dtype="uint8", **said)
    return b.workload


# By file name: a workload as small as shows what the template does, and the template.
SCRIPTS: dict[str, tuple[Workload, str]] = {
    "convolution": (conv((1, 5, 5, 4), 8, (3, 3), pads=PAD, after="bias_relu"), "conv_direct"),
    "convolution_groups": (conv((1, 4, 4, 4), 6, (3, 3), groups=2), "conv_direct"),
    "convolution_1x1": (conv((1, 2, 3, 5), 20, (1, 1), after="residual"), "gemm"),
    "product": (matmul((3, 6), (6, 20)), "gemm"),
    "product_batched": (matmul((2, 3, 6), (2, 6, 20), constant=False), "gemm"),
    "product_of_few_bits": (few_bits((2,), 20, 11, 4, 16, zeros=True), "few_bits"),
    "product_of_few_bits_and_rows": (few_bits((9,), 20, 11, 8, 16), "few_bits_gemm"),
    "product_of_few_bits_and_rounded_rows": (
        few_bits((2,), 20, 11, 4, 16, zeros=True, rounded=True),
        "few_bits_integer",
    ),
    "convolution_of_planes": (
        conv_planes((1, 3, 5, 20), 4, (3, 3), strides=(2, 1), pads=PAD),
        "conv_planes",
    ),
    "depthwise_of_planes": (
        conv_planes((1, 3, 5, 20), 3, (3, 3), strides=(2, 1), pads=PAD, groups=3),
        "conv_planes",
    ),
    "winograd": (conv((1, 2, 2, 2), 4, (3, 3), pads=PAD, after="bias"), "winograd"),
    "winograd_of_a_line": (
        conv((1, 1, 5, 2), 4, (1, 3), pads=(0, 2, 0, 2), dilations=(1, 2)),
        "winograd_line",
    ),
    "depthwise": (conv((1, 4, 4, 20), 20, (3, 3), pads=PAD, groups=20), "channelwise"),
    "groups": (conv((1, 4, 4, 12), 12, (3, 3), pads=PAD, groups=3), "channelwise"),
    "separable": (
        separable((1, 4, 4, 3), 20, (3, 3), pads=PAD, between="bias_relu", after="bias"),
        "separable",
    ),
    "max_pool_of_bytes": (
        pool("max_pool2d", (1, 4, 4, 20), (2, 2), strides=(2, 2), dtype="uint8"),
        "pool_integer",
    ),
    "max_pool_planes": (
        pool("max_pool2d", (2, 3, 40, 1), (3, 3), strides=(1, 2), pads=PAD),
        "pool_planes",
    ),
    "max_pool": (pool("max_pool2d", (1, 4, 4, 20), (2, 2), strides=(2, 2)), "channelwise"),
    "convolution_transposed": (conv_transpose((1, 2, 2, 3), 5, (2, 2)), "conv_transpose"),
    "convolution_dots": (conv((1, 3, 5, 16), 3, (3, 3), after="bias_relu"), "conv_dots"),
    "convolution_transposed_dots": (
        conv_transpose((1, 2, 2, 16), 1, (2, 2)),
        "conv_transpose_dots",
    ),
    "convolution_of_whole": (whole_conv((1, 4, 4, 3), 6, (3, 3), pads=PAD), "conv_integer"),
    "winograd_of_whole": (
        whole_conv((1, 4, 4, 3), 6, (3, 3), ("uint8", "int8"), pads=PAD, outside=7),
        "winograd_integer",
    ),
    "depthwise_of_whole": (
        whole_conv((1, 4, 4, 20), 20, (3, 3), pads=PAD, groups=20),
        "channelwise_integer",
    ),
    "product_of_whole": (whole_matmul((3, 6), (6, 20), to="uint8"), "gemm_integer"),
    "product_of_bfloat16": (matmul((3, 6), (6, 20)), "gemm_bfloat16"),
    "convolution_of_bfloat16": (conv((1, 4, 4, 3), 6, (3, 3), pads=PAD), "conv_bfloat16"),
    "enlargement_of_bfloat16": (
        conv_transpose((1, 2, 3, 4), 16, (2, 2), strides=(2, 2)),
        "conv_transpose_bfloat16",
    ),
    "separable_of_bfloat16": (separable((1, 4, 4, 3), 20, (3, 3), pads=PAD), "separable_bfloat16"),
    "attention_of_bfloat16": (
        separate((1, 2, 3, 5, 4, 4), heads_first=False),
        "attention_bfloat16",
    ),
    "rows_by_bfloat16": (matmul((2, 6), (6, 20)), "rows_bfloat16"),
    "softmax": (softmax(), "normalize"),
    "softmax_of_columns": (softmax_of_columns(), "normalize"),
    "group_of_rows": (group_of_rows(), "normalize"),
    "layer_norm": (layer_norm(), "normalize"),
    "rms_norm": (rms_norm(), "normalize"),
    "group_norm": (group_norm((1, 3, 3, 8), 2, "swish"), "group_norm"),
    "attention": (separate((1, 2, 3, 5, 4, 4), heads_first=False), "attention"),
    "product_of_a_row": (
        matmul((1, 16), (5, 16), transpose_b=True, constant=False, after="bias"),
        "dots",
    ),
    "attention_keys": (separate((1, 2, 3, 5, 4, 4), heads_first=False), "attention_keys"),
    "attention_rows": (separate((1, 2, 1, 5, 4, 4), heads_first=False), "attention_rows"),
    "attention_of_whole": (whole_attention((2,), 3, 5, 4, 4, heads_last=True), ATTENTION_OF_WHOLE),
    "sum_of_rows": (total(1), "reduction"),
    "sum_of_columns": (total(0), "reduction"),
    "place": (place(), "place"),
    "search": (search(), "nonzero"),
    "scatter": (scatter(), "scatter"),
    "boxes": (boxes(), "suppression"),
    "few_of_a_row": (first(2), "sort"),
    "few_of_rows_in_lanes": (first(2, 60, 16), "sort"),
    "some_of_a_row": (first(17, 400), "sort"),
    "many_of_a_row": (first(100), "sort"),
    "distinct": (distinct(), "distinct"),
    "text_pieces": (split_text(), "texts"),
    "text_find": (found_tokens(), "texts"),
    "recurrent": (recurrent_layer("lstm", (3, 2, 20), ("hidden", "lengths")), "recurrent"),
    "recurrent_shared": (recurrent_layer("gru", (3, 1, 512), gives=("hidden",)), "recurrent"),
    "running_products": (running(), "scan"),
    "determinant": (matrix(), "elimination"),
    "way": (way(), "warping"),
    "file": (file(), "images"),
    "coupled_shares": (shares(), "coupling"),
    "trees_of_rows": (ensemble(9, trees=2, depth=1, negated=True), "trees"),
    "trees_of_a_row": (ensemble(1, trees=9, depth=4, targets=2), "trees"),
    "transposition": (transposition(), "transpose"),
    "planes": (planes(), "transpose"),
    "gathered_rows": (gathered_rows(), "across"),
    "swish": (swish(), "pointwise"),
    "padded_concatenation": (padded_concatenation(), "pointwise"),
    "arc_tangent": (unary("atan", (20,)), "pointwise"),
}

TILES: dict[str, tuple[Workload, str]] = {
    "attention_by_tiles": (separate((1, 2, 3, 5, 4, 4), heads_first=False), "attention_bfloat16"),
    "patches_by_tiles": (conv((1, 4, 4, 3), 6, (3, 3), pads=PAD), "patches_bfloat16"),
    "product_of_tiles": (whole_matmul((20, 70), (70, 20)), "gemm_integer"),
    "convolution_of_tiles": (conv((1, 4, 20, 9), 20, (3, 3), pads=PAD), "conv_bfloat16"),
}  # of targets that multiply these

# Layers of well-known models, whose default schedules a change to an analytic model may move.
LAYERS: dict[str, Workload] = {
    "resnet50 stem": conv((1, 224, 224, 3), 64, (7, 7), strides=(2, 2), pads=(3, 3, 3, 3)),
    "resnet50 3x3, 56": conv((1, 56, 56, 64), 64, (3, 3), pads=PAD),
    "resnet50 3x3, 14": conv((1, 14, 14, 256), 256, (3, 3), pads=PAD),
    "resnet50 3x3, stride 2": conv((1, 56, 56, 128), 128, (3, 3), strides=(2, 2), pads=PAD),
    "resnet50 1x1, 56": conv((1, 56, 56, 64), 256, (1, 1)),
    "resnet50 1x1, 7": conv((1, 7, 7, 2048), 512, (1, 1)),
    "resnet50 classifier": matmul((1, 2048), (2048, 1000)),
    "mobilenet depthwise, 112": conv((1, 112, 112, 32), 32, (3, 3), pads=PAD, groups=32),
    "mobilenet depthwise, 7": conv((1, 7, 7, 960), 960, (3, 3), pads=PAD, groups=960),
    "mobilenet expansion, 112": separable(
        (1, 112, 112, 16), 96, (3, 3), strides=(2, 2), pads=PAD, between="clip", after="clip"
    ),
    "mobilenet expansion, 7": separable((1, 7, 7, 160), 960, (3, 3), pads=PAD, between="clip"),
    "max pool, 112": pool("max_pool2d", (1, 112, 112, 64), (3, 3), strides=(2, 2), pads=PAD),
    "bert projection": matmul((128, 768), (768, 768), after="bias"),
    "bert feed forward": matmul((128, 768), (768, 3072), after="gelu"),
    "bert scores": matmul((12, 128, 64), (12, 128, 64), transpose_b=True, constant=False),
    "bert values": matmul((12, 128, 128), (12, 128, 64), constant=False),
    "bert attention": separate((1, 12, 128, 128, 64, 64), heads_first=False),
    "unet up": conv_transpose((1, 32, 32, 128), 64, (2, 2), strides=(2, 2)),
    "stable diffusion, 64": group_norm((1, 64, 64, 320), 32),
    "one group, 56": group_norm((1, 56, 56, 64), 1),
    "instance norm, 128": group_norm((1, 128, 128, 64), 64),
    "relu, 56": unary("relu", (1, 56, 56, 256)),
}


NAMES = (*SCRIPTS, *TILES, "defaults")


def text(name: str) -> str:
    """What the file ``name``.txt should hold."""
    if name == "defaults":
        return _defaults()
    if name in TILES:
        target = replace(TARGETS[LEVELS[-1]], accuracy="bf16", extensions=("bf16", "amx"))
        return _script(*TILES[name], [target])
    workload, template = SCRIPTS[name]
    return _script(workload, template, [_target(level, template) for level in LEVELS])


def _target(level: str, template: str) -> Target:
    """Some templates need an extension of the level, or an accuracy."""
    if template == ATTENTION_OF_WHOLE:
        return EXTENDED[level]
    return _rounding(level) if template.endswith("bfloat16") else TARGETS[level]


def _script(workload: Workload, template: str, targets: Sequence[Target]) -> str:
    """The template's default schedule and its phases, once for levels that agree."""
    texts: dict[str, list[str]] = {}
    for target in targets:
        for space in spaces(workload, target):
            if space.template == template:
                kernel = instantiate(workload, target, space.default_schedule())
                texts.setdefault(_kernel(kernel), []).append(target.level)
    parts = [f"== {', '.join(levels)}: {kernel}" for kernel, levels in texts.items()]
    return f"{workload}\n\n" + "\n".join(parts)


def _rounding(level: str) -> Target:
    """Where operands may be rounded to bfloat16, and the highest level multiplies it."""
    extensions = ("bf16",) if level == LEVELS[-1] else ()
    return replace(TARGETS[level], accuracy="bf16", extensions=extensions)


def _kernel(kernel: Kernel) -> str:
    packed = [p.shape if p else "as it is" for p in kernel.packings]
    lines = [
        str(kernel.schedule),
        f"inputs {', '.join(map(str, packed))}; temporaries {list(kernel.temps)} bytes; "
        f"scratch {kernel.scratch} bytes",
    ]
    for number, phase in enumerate(kernel.phases):
        body = textwrap.dedent(_PREAMBLE.sub("", phase.func.script() + "\n"))
        lines += ["", f"-- phase {number}, {phase.chunks} chunks", body.rstrip()]
    return "\n".join(lines) + "\n"


def _defaults() -> str:
    def line(workload: Workload, target: Target) -> str:
        return f"  {target.level}  {default(workload, target)}"

    parts = []
    for name, workload in LAYERS.items():
        parts += [f"{name}: {workload}", *(line(workload, TARGETS[level]) for level in TARGETS)]
    return "\n".join(parts) + "\n"


def main() -> None:
    """Write all files anew."""
    for path in FOLDER.iterdir():
        path.unlink()
    for name in NAMES:
        (FOLDER / f"{name}.txt").write_text(text(name))


if __name__ == "__main__":
    main()
