"""The C API of ``runtime/luthier.h`` for ctypes."""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_void_p,
)

ABI = 2
OK, CPU_TOO_OLD, OUT_OF_MEMORY, BAD_SIZE, BAD_SHAPE = 0, 11, 12, 13, 14
BAD_STATE = 16

# By luthier_dtype, from 1.
DTYPES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "bfloat16",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "float4_e2m1fn",
    "int4",
    "uint4",
    "int2",
    "uint2",
    "text",
)


class CError(ctypes.Structure):
    """luthier_error."""

    _fields_ = (("status", c_int), ("message", ctypes.c_char * 248))


def text(error: CError) -> str:
    """What an error says."""
    return bytes(error.message).decode("utf-8", "replace")


class CTensor(ctypes.Structure):
    """luthier_tensor."""

    _fields_ = (
        ("name", c_char_p),
        ("shape", POINTER(c_int64)),
        ("rank", c_int32),
        ("dtype", c_int),
        ("bytes", c_size_t),
        ("dims", POINTER(c_char_p)),
    )


class CSize(ctypes.Structure):
    """luthier_size."""

    _fields_ = (
        ("name", c_char_p),
        ("least", c_int64),
        ("most", c_int64),
        ("exact", POINTER(c_int64)),
        ("exact_count", c_size_t),
    )


class CShape(ctypes.Structure):
    """luthier_shape."""

    _fields_ = (("sizes", POINTER(c_int64)), ("rank", c_int32))


class CBuffer(ctypes.Structure):
    """luthier_input and luthier_output."""

    _fields_ = (("data", c_void_p), ("bytes", c_size_t))


class COptions(ctypes.Structure):
    """luthier_options."""

    _fields_ = (("abi", c_uint32), ("threads", c_int32), ("pool", c_void_p))


class CState(ctypes.Structure):
    """luthier_state."""

    _fields_ = (
        ("name", c_char_p),
        ("becomes", c_char_p),
        ("shape", POINTER(c_int64)),
        ("rank", c_int32),
        ("axis", c_int32),
        ("dtype", c_int),
        ("bytes", c_size_t),
    )


SET_SHAPES = CFUNCTYPE(c_int, c_void_p, POINTER(CShape), c_size_t, POINTER(CError))
OUTPUT_SHAPE = CFUNCTYPE(
    c_int, c_void_p, c_size_t, POINTER(c_int64), c_int32, POINTER(c_size_t), POINTER(CError)
)
CREATE_BESIDE = CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(c_void_p), POINTER(CError))
CREATE = CFUNCTYPE(c_int, c_void_p, POINTER(COptions), POINTER(c_void_p), POINTER(CError))
RESET = CFUNCTYPE(c_int, c_void_p, POINTER(CError))
STATE_LENGTH = CFUNCTYPE(c_int, c_void_p, c_size_t, POINTER(c_int64), POINTER(CError))
READ_STATE = CFUNCTYPE(c_int, c_void_p, c_size_t, c_void_p, c_size_t, POINTER(CError))
WRITE_STATE = CFUNCTYPE(c_int, c_void_p, c_size_t, c_void_p, c_size_t, c_int64, POINTER(CError))
COPY_STATES = CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(CError))
DESTROY = CFUNCTYPE(None, c_void_p)
# Addresses of two arrays of CBuffer, of doubles and of a CError: numbers are passed on the fastest.
RUN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p)


class CModel(ctypes.Structure):
    """luthier_model."""

    _fields_ = (
        ("abi", c_uint32),
        ("threads", c_int32),
        ("name", c_char_p),
        ("inputs", POINTER(CTensor)),
        ("outputs", POINTER(CTensor)),
        ("step_names", POINTER(c_char_p)),
        ("features", POINTER(c_char_p)),
        ("sizes", POINTER(CSize)),
        ("input_count", c_size_t),
        ("output_count", c_size_t),
        ("step_count", c_size_t),
        ("feature_count", c_size_t),
        ("size_count", c_size_t),
        ("weight_bytes", c_size_t),
        ("arena_bytes", c_size_t),
        ("scratch_bytes", c_size_t),
        ("create", CREATE),
        ("destroy", DESTROY),
        ("run", RUN),
        ("status_text", c_void_p),
        ("pool_create", c_void_p),
        ("pool_destroy", c_void_p),
        ("create_beside", CREATE_BESIDE),
        ("set_sizes", c_void_p),
        ("set_shapes", SET_SHAPES),
        ("get_sizes", c_void_p),
        ("input_shape", c_void_p),
        ("output_shape", OUTPUT_SHAPE),
        ("entry", c_char_p),
        ("entries", POINTER(c_void_p)),
        ("entry_count", c_size_t),
        ("luthier", c_char_p),
        ("model_sha256", c_char_p),
        ("level", c_char_p),
        ("accuracy", c_char_p),
        ("versions", POINTER(c_char_p)),
        ("version_count", c_size_t),
        ("states", POINTER(CState)),
        ("state_count", c_size_t),
        ("reset", RESET),
        ("state_length", STATE_LENGTH),
        ("read_state", READ_STATE),
        ("write_state", WRITE_STATE),
        ("copy_states", COPY_STATES),
        ("program", c_void_p),
        ("output_labels", POINTER(POINTER(c_char_p))),
        ("output_label_counts", POINTER(c_size_t)),
    )
