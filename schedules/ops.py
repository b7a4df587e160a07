"""The operators that a workload is made of. Activations of rank 4 are channels-last (N, H, W, C).

``pads`` are (top, left, bottom, right); ``axes`` are non-negative; broadcasting is NumPy's.

Anchors (one in a workload, whose other nodes come after it or feed its first argument; a depthwise
convolution may also follow a 1x1 convolution, another anchor, and what is behind that):

==================  ========================================================================
conv2d              x[N,H,W,C], w[O,KH,KW,C/groups]; strides, pads, dilations, groups
conv2d_transpose    x[N,H,W,C], w[C,KH,KW,O/groups]; strides, pads, dilations, groups
                    (output padding shows in the output's shape)
matmul              a[...,M,K], b[...,K,N], NumPy's batching; transpose_b: b is [...,N,K]
max_pool2d          x[N,H,W,C]; kernel, strides, pads, dilations
avg_pool2d          the same, count_include_pad
sum mean max min    x; axes, keepdims (also prod)
softmax             x; axis (also log_softmax)
layer_norm          x, gamma, beta over the last ``len(gamma.shape)`` axes; epsilon
attention           q, k, v, [mask, [cover]]; sizes, places and scale: see ``attention_form``
rms_norm            x, gamma over the last ``len(gamma.shape)`` axes; epsilon
group_norm          x[N,...,C], gamma[C], beta[C]; groups (that divide C), epsilon: mean and
                    variance are those of an image's group of neighbouring channels
==================  ========================================================================

Elementwise and data movement: the tables below. ``const`` has an attribute ``value`` and no
arguments. Any other name starts with ``relax.``: an operator of TVM's Relax, with its attributes,
compiled by TVM's own legalization and a generic schedule, never fused.
"""

from __future__ import annotations

ANCHORS = frozenset(
    {
        "conv2d",
        "conv2d_transpose",
        "matmul",
        "max_pool2d",
        "avg_pool2d",
        "sum",
        "mean",
        "max",
        "min",
        "prod",
        "softmax",
        "log_softmax",
        "layer_norm",
        "attention",
        "rms_norm",
        "group_norm",
    }
)

# op -> number of tensor arguments
ELEMENTWISE = {
    "const": 0,
    # unary, float or integer
    "negative": 1,
    "abs": 1,
    "sign": 1,
    "relu": 1,
    "clip": 1,  # min, max (numbers; either may be -inf / inf spelled as a string)
    "cast": 1,  # to the node's output dtype
    "logical_not": 1,
    "bitwise_not": 1,
    # unary, float
    "exp": 1,
    "log": 1,
    "sqrt": 1,
    "rsqrt": 1,
    "sigmoid": 1,
    "tanh": 1,
    "erf": 1,
    "leaky_relu": 1,  # alpha
    "hard_sigmoid": 1,  # alpha, beta
    "floor": 1,
    "ceil": 1,
    "round": 1,  # half to even
    "trunc": 1,
    "sin": 1,
    "cos": 1,
    "tan": 1,
    "sinh": 1,
    "cosh": 1,
    "asin": 1,
    "acos": 1,
    "atan": 1,
    "asinh": 1,
    "acosh": 1,
    "atanh": 1,
    "isnan": 1,
    "isinf": 1,
    # binary
    "add": 2,
    "subtract": 2,
    "multiply": 2,
    "divide": 2,
    "floor_divide": 2,
    "power": 2,
    "mod": 2,  # C's remainder
    "floor_mod": 2,  # Python's remainder
    "maximum": 2,
    "minimum": 2,
    "equal": 2,
    "not_equal": 2,
    "less": 2,
    "less_equal": 2,
    "greater": 2,
    "greater_equal": 2,
    "logical_and": 2,
    "logical_or": 2,
    "logical_xor": 2,
    "bitwise_and": 2,
    "bitwise_or": 2,
    "bitwise_xor": 2,
    "left_shift": 2,
    "right_shift": 2,
    # ternary
    "where": 3,  # condition, then, else
}

# Data movement: each output element is one input element (or a constant).
MOVEMENT = {
    "reshape": 1,  # to the node's output shape
    "transpose": 1,  # axes
    "broadcast_to": 1,  # to the node's output shape
    "slice": 1,  # begin, steps (per dimension, steps may be negative)
    "pad": 1,  # before (per dimension), value; mode "constant", "reflect" or "edge"
    "concat": -1,  # axis
    "take": 2,  # data, integer indices; axis (negatives count from the end; the rest is clipped)
    "window_mean": 1,  # axis, size, before: mean of ``size`` neighbours, zeros outside
    "iota": 0,  # start, step along the last axis (rank 1)
}

FUSIBLE = ELEMENTWISE.keys() | MOVEMENT.keys()


def is_fallback(op: str) -> bool:
    """Whether TVM's own legalization computes it."""
    return op.startswith("relax.")
