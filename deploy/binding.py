"""The C API of ``runtime/luthier.h`` for ctypes."""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    c_char_p,
    c_double,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_void_p,
)

ABI = 1
OK, CPU_TOO_OLD, OUT_OF_MEMORY = 0, 11, 12

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
)


class CError(ctypes.Structure):
    """luthier_error."""

    _fields_ = (("status", c_int), ("message", ctypes.c_char * 248))


class CTensor(ctypes.Structure):
    """luthier_tensor."""

    _fields_ = (
        ("name", c_char_p),
        ("shape", POINTER(c_int64)),
        ("rank", c_int32),
        ("dtype", c_int),
        ("bytes", c_size_t),
    )


class CBuffer(ctypes.Structure):
    """luthier_input and luthier_output."""

    _fields_ = (("data", c_void_p), ("bytes", c_size_t))


class COptions(ctypes.Structure):
    """luthier_options."""

    _fields_ = (("abi", c_uint32), ("threads", c_int32), ("pool", c_void_p))


CREATE = CFUNCTYPE(c_int, c_void_p, POINTER(COptions), POINTER(c_void_p), POINTER(CError))
DESTROY = CFUNCTYPE(None, c_void_p)
RUN = CFUNCTYPE(
    c_int,
    c_void_p,
    POINTER(CBuffer),
    c_size_t,
    POINTER(CBuffer),
    c_size_t,
    POINTER(c_double),
    POINTER(CError),
)


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
        ("input_count", c_size_t),
        ("output_count", c_size_t),
        ("step_count", c_size_t),
        ("feature_count", c_size_t),
        ("weight_bytes", c_size_t),
        ("arena_bytes", c_size_t),
        ("scratch_bytes", c_size_t),
        ("create", CREATE),
        ("destroy", DESTROY),
        ("run", RUN),
        ("status_text", c_void_p),
        ("pool_create", c_void_p),
        ("pool_destroy", c_void_p),
        ("program", c_void_p),
    )
