"""Engines through their C APIs, in a loop in C: what small models take without Python.

Inputs and outputs are bound once, and their shapes fixed. Each engine is the library that its
Python package brings.
"""

from __future__ import annotations

import ctypes
import functools
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from ctypes import CDLL, POINTER, byref, c_char_p, c_double, c_int64, c_long, c_size_t, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import engines
from bench.engines import Arrays
from luthier.deploy import binding, read_manifest
from luthier.deploy.arrays import Arguments
from luthier.deploy.loading import LoadedLibrary, verified_library
from luthier.schedules.toolchain import find_compiler

SOURCE = Path(__file__).with_suffix(".c")
NEXT = " next"
"""After an input's name: arrays of which each call gets another, [calls, ...]. What branches do
with the same one in each call is predicted."""
LEAST_RUNS, MOST_RUNS = 3, 1 << 16
_ORT_API = 18  # what is used here is the same in all later versions
# Places in OrtApi, which only ever grows at its end (onnxruntime_c_api.h).
_ORT = {
    "GetErrorMessage": 2,
    "CreateEnv": 3,
    "CreateSession": 7,
    "Run": 9,
    "CreateSessionOptions": 10,
    "SetIntraOpNumThreads": 24,
    "CreateTensorWithDataAsOrtValue": 49,
    "CreateCpuMemoryInfo": 69,
    "ReleaseSession": 95,
}
_ORT_SEVERE, _ORT_ARENA, _ORT_DEFAULT_MEMORY = 3, 1, 0
_OPENVINO_TYPES = {
    "bool": 1,
    "float16": 3,
    "float32": 4,
    "float64": 5,
    "int8": 7,
    "int16": 8,
    "int32": 9,
    "int64": 10,
    "uint8": 16,
    "uint16": 17,
    "uint32": 18,
    "uint64": 19,
}


class _LuthierBound(ctypes.Structure):
    _fields_ = (
        ("run", c_void_p),
        ("instance", c_void_p),
        ("inputs", c_void_p),
        ("input_count", c_size_t),
        ("outputs", c_void_p),
        ("output_count", c_size_t),
    )


class _OnnxruntimeBound(ctypes.Structure):
    _fields_ = (
        ("run", c_void_p),
        ("session", c_void_p),
        ("input_names", c_void_p),
        ("inputs", c_void_p),
        ("input_count", c_size_t),
        ("output_names", c_void_p),
        ("output_count", c_size_t),
        ("outputs", c_void_p),
    )


class _OpenvinoBound(ctypes.Structure):
    _fields_ = (("infer", c_void_p), ("request", c_void_p))


class _Shape(ctypes.Structure):
    """ov_shape_t."""

    _fields_ = (("rank", c_int64), ("dims", POINTER(c_int64)))


class _Next(ctypes.Structure):
    _fields_ = (("input", c_void_p), ("arrays", c_void_p), ("bytes", c_size_t), ("count", c_size_t))


@dataclass(frozen=True)
class Bound:
    """A model whose next call needs no more than its ``context``; ``keep`` lives as long.

    Calls read ``inputs`` where they are.
    """

    adapter: str  # a function of loops.c
    context: ctypes.Structure
    inputs: Arrays
    outputs: Arrays
    keep: Sequence[Any]

    def times(self, seconds: float, following: Arrays) -> list[float]:
        """Seconds of single calls that fitted into so many; raises RuntimeError where one fails.

        ``following`` has the arrays that one of the inputs is in turn, if any.
        """
        after = _Next(None, None, 0, 0)
        for name, arrays in following.items():
            place = self.inputs[name]
            held = np.ascontiguousarray(arrays, place.dtype)
            after = _Next(place.ctypes.data, held.ctypes.data, place.nbytes, len(held))
        library = _compiled()
        room = (c_double * MOST_RUNS)()
        call = ctypes.cast(getattr(library, self.adapter), c_void_p)
        count = library.loop(
            call, byref(self.context), seconds, LEAST_RUNS, room, MOST_RUNS, byref(after)
        )
        if count < 0:
            raise RuntimeError(f"{self.adapter}: a call failed")
        return room[:count]


class Loop:
    """An engine that is bound to the inputs which it gets, and then timed in C.

    ``close`` ends what it holds, its threads first.
    """

    def __init__(self, bind: Callable[[Arrays], Bound], close: Callable[[], object]) -> None:
        self._bind, self.close = bind, close
        self._bound: Bound | None = None
        self._following: Arrays = {}

    def __call__(self, inputs: Arrays) -> Arrays:
        """Outputs of one run; see ``NEXT``."""
        ends = {name: name.removesuffix(NEXT) for name in inputs if name.endswith(NEXT)}
        self._following = {ends[name]: inputs[name] for name in ends}
        self._bound = self._bind({n: a for n, a in inputs.items() if n not in ends})
        self._bound.times(0, {})
        return self._bound.outputs

    def times(self, seconds: float) -> list[float]:
        """On the inputs of the last call."""
        assert self._bound is not None
        return self._bound.times(seconds, self._following)


@functools.cache
def _compiled() -> CDLL:
    with tempfile.TemporaryDirectory() as text:
        flags = ["-std=c11", "-O2", "-shared", "-fPIC"]
        path = Path(text) / "loops.so"
        find_compiler().run([*flags, str(SOURCE), "-o", str(path)], Path(text))
        library = CDLL(str(path))
    library.loop.restype = c_long
    library.loop.argtypes = (
        c_void_p,
        c_void_p,
        c_double,
        c_long,
        POINTER(c_double),
        c_long,
        c_void_p,
    )
    return library


def luthier(path: str, threads: int) -> Loop:
    """An artifact folder of fixed sizes."""
    folder = Path(path)
    manifest = read_manifest(folder)
    entry = manifest.entries[0]
    if entry.sizes:
        raise ValueError(f"{path} has open sizes; a loop in C binds fixed ones")
    with ExitStack() as stack:
        library = LoadedLibrary(folder, manifest, verified_library(folder, manifest, stack))
    model = library.models[entry.name]
    instance, error = c_void_p(), binding.CError()
    options = binding.COptions(binding.ABI, threads, None)
    if model.create(ctypes.addressof(model), byref(options), byref(instance), byref(error)):
        raise RuntimeError(bytes(error.message).decode())
    takes, gives = Arguments(entry.inputs), Arguments(entry.outputs)

    def bind(arrays: Arrays) -> Bound:
        inputs, outputs = takes.checked([arrays[name] for name in takes.names]), gives.empty()
        takes.name(inputs)
        context = _LuthierBound(
            ctypes.cast(model.run, c_void_p), instance, takes.address, len(inputs), gives.address,
            len(outputs),
        )  # fmt: skip
        given = dict(zip(gives.names, outputs, strict=True))
        held = dict(zip(takes.names, inputs, strict=True))
        return Bound("call_luthier", context, held, given, [library, inputs, takes, gives])

    return Loop(bind, lambda: model.destroy(instance))


def _room(run: engines.Run, inputs: Arrays) -> Arrays:
    """Outputs of an engine through Python, whose arrays the C API fills anew."""
    return {name: np.array(array) for name, array in run(inputs).items()}


class _OrtApi:
    """Functions of ONNX Runtime by name, which raise RuntimeError where they give a status."""

    def __init__(self) -> None:
        import onnxruntime

        (path,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
        base = CDLL(str(path)).OrtGetApiBase
        base.restype = POINTER(c_void_p)
        get = ctypes.CFUNCTYPE(c_void_p, ctypes.c_uint32)(base()[0])
        self._table = ctypes.cast(get(_ORT_API), POINTER(c_void_p))

    def address(self, name: str) -> int:
        """Of a function."""
        return int(self._table[_ORT[name]] or 0)

    def call(self, name: str, *arguments: Any) -> None:
        """A function that gives a status."""
        failed = ctypes.CFUNCTYPE(c_void_p)(self.address(name))(*arguments)
        if failed:
            text = ctypes.CFUNCTYPE(c_char_p, c_void_p)(self.address("GetErrorMessage"))(failed)
            raise RuntimeError(text.decode())


def onnxruntime(path: str, threads: int) -> Loop:
    """ONNX Runtime, whose inputs and outputs are values that are made once."""
    from onnx.helper import np_dtype_to_tensor_dtype

    api = _OrtApi()
    env, options, session, memory = c_void_p(), c_void_p(), c_void_p(), c_void_p()
    api.call("CreateEnv", _ORT_SEVERE, c_char_p(b"bench"), byref(env))
    api.call("CreateSessionOptions", byref(options))
    api.call("SetIntraOpNumThreads", options, threads)
    api.call("CreateSession", env, c_char_p(path.encode()), options, byref(session))
    api.call("CreateCpuMemoryInfo", _ORT_ARENA, _ORT_DEFAULT_MEMORY, byref(memory))

    def values(arrays: Arrays) -> Any:
        made = (c_void_p * len(arrays))()
        for i, array in enumerate(arrays.values()):
            shape = (c_int64 * array.ndim)(*array.shape)
            place = ctypes.cast(ctypes.byref(made, i * ctypes.sizeof(c_void_p)), c_void_p)
            kind = np_dtype_to_tensor_dtype(array.dtype)
            data = c_void_p(array.ctypes.data), c_size_t(array.nbytes)
            api.call(
                "CreateTensorWithDataAsOrtValue", memory, *data, shape, c_size_t(array.ndim),
                kind, place,
            )  # fmt: skip
        return made

    def bind(given: Arrays) -> Bound:
        inputs = {name: np.ascontiguousarray(array) for name, array in given.items()}
        outputs = _room(engines.onnxruntime(path, 1), inputs)
        names = [(c_char_p * len(each))(*(n.encode() for n in each)) for each in (inputs, outputs)]
        made = values(inputs), values(outputs)
        address = functools.partial(ctypes.cast, typ=c_void_p)
        context = _OnnxruntimeBound(
            api.address("Run"), session, address(names[0]), address(made[0]), len(inputs),
            address(names[1]), len(outputs), address(made[1]),
        )  # fmt: skip
        return Bound("call_onnxruntime", context, inputs, outputs, [inputs, names, made])

    release = ctypes.CFUNCTYPE(None, c_void_p)(api.address("ReleaseSession"))
    return Loop(bind, lambda: release(session))


def openvino(path: str, threads: int) -> Loop:
    """OpenVINO tuned for latency, in float32 as the others."""
    import openvino as ov

    (library,) = (Path(ov.__file__).parent / "libs").glob("libopenvino_c.so*")
    api = CDLL(str(library))

    def call(name: str, *arguments: Any) -> None:
        status = getattr(api, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} gives {status}")

    core, compiled, request = c_void_p(), c_void_p(), c_void_p()
    properties = engines.openvino_properties(path, threads)
    texts = [c_char_p(text.encode()) for item in properties.items() for text in item]
    call("ov_core_create", byref(core))
    call(
        "ov_core_compile_model_from_file", core, c_char_p(path.encode()), c_char_p(b"CPU"),
        c_size_t(len(texts)), byref(compiled), *texts,
    )  # fmt: skip
    call("ov_compiled_model_create_infer_request", compiled, byref(request))

    def set_tensor(name: str, array: NDArray[Any]) -> Any:
        dims = (c_int64 * array.ndim)(*array.shape)
        tensor, shape = c_void_p(), _Shape(array.ndim, dims)
        kind = _OPENVINO_TYPES[array.dtype.name]
        data = c_void_p(array.ctypes.data)
        call("ov_tensor_create_from_host_ptr", kind, shape, data, byref(tensor))
        call("ov_infer_request_set_tensor", request, c_char_p(name.encode()), tensor)
        return dims, tensor

    def bind(given: Arrays) -> Bound:
        inputs = {name: np.ascontiguousarray(array) for name, array in given.items()}
        outputs = _room(engines.openvino(path, 1), inputs)
        tensors = [set_tensor(*item) for item in (*inputs.items(), *outputs.items())]
        infer = ctypes.cast(api.ov_infer_request_infer, c_void_p)
        context = _OpenvinoBound(infer, request)
        return Bound("call_openvino", context, inputs, outputs, [inputs, tensors])

    def close() -> None:
        api.ov_infer_request_free(request)
        api.ov_compiled_model_free(compiled)
        api.ov_core_free(core)

    return Loop(bind, close)
