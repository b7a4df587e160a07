"""Other engines that compute a model's true outputs: ONNX Runtime, else onnx's own evaluator."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import queue
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from luthier.frontend import ReadModel
from luthier.frontend.onnx.microsoft.caches import shared_caches
from luthier.frontend.onnx.old_sets import converted
from luthier.frontend.onnx.scopes import every_node
from luthier.frontend.program import Argument, element_name, presence_name
from luthier.schedules import Tensor
from luthier.schedules.errors import ModelError
from luthier.schedules.temporary import TemporaryFolder

from ..inputs.samples import RECURRENT
from .randomness import drawing
from .sensitivity import QUANTISATION, RUNS, shaken_inputs, shaken_model
from .texts import spoken
from .unsaturated import SATURATING, unsaturated

Array = NDArray[Any]
Outputs = Mapping[str, Array]
Types = Mapping[str, Tensor]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]

_WELL_KNOWN = 21  # the operator set of whose operators onnx's evaluator has most
ADVICE = "pip install 'luthier[reference]' gives a better reference, ONNX Runtime"


@dataclass(frozen=True)
class Engine:
    """An engine by its name; ``open`` puts a model into it and raises whatever it likes.

    One that is not ``sure`` is wrong about some models.
    """

    name: str
    open: Callable[[onnx.ModelProto], Run]
    sure: bool


@dataclass(frozen=True)
class Reference:
    """What an engine computed of a model: ``outputs[i]`` from ``inputs[i]``.

    A library rounds numbers by up to ``rounding`` of themselves, where that is more than a few
    units in their last places.
    """

    model: onnx.ModelProto
    engines: tuple[Engine, ...]  # what computed them, and the same with other settings
    inputs: tuple[Outputs, ...]
    outputs: tuple[Outputs, ...]
    rounding: float = 0.0

    @property
    def engine(self) -> str:
        """Its name and version."""
        return self.engines[0].name

    @property
    def is_sure(self) -> bool:
        """Whether it is right where it disagrees with a library."""
        return self.engines[0].sure

    def others(self, number: int) -> Iterator[Outputs]:
        """Outputs of input ``number`` again, by runs that differ by roundings alone.

        Other settings, save where they give quantised layers another arithmetic, and the same with
        inputs and weights that are changed in their last places.
        """
        kinds = {node.op_type for node in every_node(self.model.graph.node)}
        quantised = kinds & (QUANTISATION | SATURATING)
        for engine in () if quantised else self.engines[1:]:
            with suppress(Exception):
                yield {**self.outputs[number], **engine.open(self.model)(self.inputs[number])}
        for seed in range(RUNS):
            with suppress(Exception):
                run = self.engines[0].open(shaken_model(self.model, seed, self.rounding))
                given = shaken_inputs(self.inputs[number], seed, self.rounding)
                yield {**self.outputs[number], **run(given)}


def has_onnxruntime() -> bool:
    """Whether the better reference is installed."""
    try:
        return importlib.util.find_spec("onnxruntime") is not None
    except ValueError:  # its module is None
        return False


def reference(
    model: onnx.ModelProto | ReadModel,
    inputs: Sequence[Outputs],
    outputs: Types | Sequence[Types],
    seconds: float | None = None,
    rounding: float = 0.0,
) -> Reference:
    """The outputs of the best engine that is installed and can run the model.

    ``outputs`` are their types by name, the same for all inputs or those of each. An engine that
    takes longer than ``seconds`` is left alone. Of a model that was read, engines are given the
    texts that it has, and a library rows of bytes for them. ``rounding``: see ``Reference``.
    Raises ModelError where none can, with what each said and what to do.
    """
    engines = _engines()
    if isinstance(model, ReadModel):
        if model.spoken is not None:
            engines = tuple(replace(e, open=spoken(e.open, model)) for e in engines)
        model = model.spoken or model.proto
    drawn = drawing(model)
    if drawn is not None:
        raise ModelError(
            f"there is no reference: {drawn} draws random numbers, each engine its own"
        )
    refusals: dict[str, str] = {}
    for number, engine in enumerate(engines):
        try:
            computed = _limited(partial(_computed, engine, model, inputs), seconds)
            types = [outputs] * len(computed) if isinstance(outputs, Mapping) else outputs
            pairs = zip(computed, types, strict=True)
            computed = tuple(_with_absent(model, given, each) for given, each in pairs)
            _check_types(computed, types)
        except Exception as error:
            refusals.setdefault(engine.name, _line(error))
            continue
        kin = [other for other in engines[number + 1 :] if other.name == engine.name]
        return Reference(model, (engine, *kin), tuple(inputs), computed, rounding)
    said = "; ".join(f"{name}: {reason}" for name, reason in refusals.items())
    advice = "" if has_onnxruntime() else f" ({ADVICE})"
    raise ModelError(f"no reference engine can run the model: {said}{advice}")


def _engines() -> tuple[Engine, ...]:
    """Those that are installed, the most faithful first.

    ONNX Runtime's optimisations give quantised layers an integer arithmetic of their own, which
    saturates on some processors, and round float16 elsewhere; without them, and with other nodes
    for products of whole numbers, it does what ONNX says.
    """
    found = []
    if has_onnxruntime():
        version = _onnxruntime_version()
        plain, optimised = (
            Engine(f"onnxruntime {version}", partial(_onnxruntime, optimised=o), True)
            for o in (False, True)
        )
        found = [plain, optimised] if version else []
    name = f"onnx {onnx.__version__}"
    evaluators = (_onnx_evaluator, _onnx_evaluator_of_newer)
    return (*found, *(Engine(name, opened, False) for opened in evaluators))


def _onnxruntime_version() -> str:
    with suppress(Exception):  # an installation may be broken
        return str(quiet_onnxruntime().__version__)
    return ""


def quiet_onnxruntime() -> ModuleType:
    """The module; from 1.32 on its telemetry writes files, so it is off unless the user asks."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")


def _computed(
    engine: Engine, model: onnx.ModelProto, inputs: Sequence[Outputs]
) -> tuple[Outputs, ...]:
    run = engine.open(model)
    return tuple(run(each) for each in inputs)


def _with_absent(model: onnx.ModelProto, outputs: Outputs, wanted: Types) -> Outputs:
    """As a library gives optional outputs of which each run decides whether they are there: a
    truth for each, and zeros in place of what is not."""
    whole = dict(outputs)
    optional = [o.name for o in model.graph.output if o.type.HasField("optional_type")]
    for name in optional:
        if presence_name(name) not in wanted:
            continue
        count = None if name in wanted or name in outputs else len(wanted)
        own = Argument(name, count, optional=True).tensors[:-1]
        whole[presence_name(name)] = np.array(any(each in outputs for each in own))
        gone = [each for each in own if each in wanted and each not in outputs]
        whole |= {n: np.zeros(wanted[n].shape, wanted[n].element.numpy) for n in gone}
    return whole


def _check_types(computed: Sequence[Outputs], types: Sequence[Types]) -> None:
    for outputs, each in zip(computed, types, strict=True):
        for name, tensor in each.items():
            array = outputs[name]
            if (array.dtype, array.shape) != (tensor.element.numpy, tensor.shape):
                given = f"{array.dtype}[{','.join(map(str, array.shape))}]"
                raise ModelError(f"it gives '{name}' as {given}, the model as {tensor}")


def _onnxruntime(model: onnx.ModelProto, *, optimised: bool) -> Run:
    onnxruntime = quiet_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    )
    with TemporaryFolder() as folder:
        source = _session_source(unsaturated(model), folder)
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    shared = shared_caches(model)
    recurrent = any(node.op_type in RECURRENT for node in every_node(model.graph.node))

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        if recurrent and not all(array.size for array in inputs.values()):
            raise ModelError("it may end the process where a recurrent layer has no step")
        if shared:
            return _run_in_place(session, names, inputs, shared)
        return _tensors(names, session.run(names, dict(inputs)))

    return run


def _run_in_place(
    session: Any, names: Sequence[str], inputs: Mapping[str, Array], shared: Mapping[str, str]
) -> dict[str, Array]:
    """The outputs where some lie in inputs' buffers, as in a program whose caches keep their size:
    elsewhere ONNX Runtime leaves rows after the last one as they are."""
    value_of = quiet_onnxruntime().OrtValue.ortvalue_from_numpy
    values = {name: value_of(array.copy()) for name, array in inputs.items()}
    binding = session.io_binding()
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    places = {output: values[name] for name, output in shared.items()}
    for name in names:
        if name in places:
            binding.bind_ortvalue_output(name, places[name])
        else:
            binding.bind_output(name)
    session.run_with_iobinding(binding)
    found = binding.copy_outputs_to_cpu()
    return {name: np.array(output) for name, output in zip(names, found, strict=True)}


def _tensors(names: Sequence[str], outputs: Sequence[Any]) -> dict[str, Array]:
    """Outputs by name, those of a sequence each under its own; what is absent is none."""
    found = dict[str, Array]()
    for name, output in zip(names, outputs, strict=True):
        if isinstance(output, list):
            found |= {element_name(name, i): np.asarray(each) for i, each in enumerate(output)}
        elif output is not None:
            found[name] = np.asarray(output)
    return found


def _session_source(model: onnx.ModelProto, folder: Path) -> bytes | str:
    """A serialised model; above protobuf's 2 GB, a file with the weights beside it."""
    if model.ByteSize() < 2**31:
        return bytes(model.SerializeToString())
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    path = folder / "model.onnx"
    onnx.save_model(copy, path, save_as_external_data=True, location="weights")
    return str(path)


def _onnx_evaluator(model: onnx.ModelProto) -> Run:
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - slow to import

    evaluator = ReferenceEvaluator(model)
    names = list(evaluator.output_names)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs = evaluator.run(names, dict(inputs))
        return _tensors(names, list(outputs))

    return run


def _onnx_evaluator_of_newer(model: onnx.ModelProto) -> Run:
    """The evaluator lacks the older versions of some operators."""
    return _onnx_evaluator(converted(model, _WELL_KNOWN, "the model"))


def _limited(work: Callable[[], Any], seconds: float | None) -> Any:
    """What ``work`` gives or raises, and ModelError where that takes longer."""
    if seconds is None:
        return work()
    answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put((work(), None))
        except BaseException as error:  # also what ends the thread
            answers.put((None, error))

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        value, error = answers.get(timeout=seconds)
    except queue.Empty:
        _end(thread)
        raise ModelError(f"it takes longer than {seconds:g} s") from None
    if error is not None:
        raise error
    return value


def _end(thread: threading.Thread) -> None:
    """Let a thread end at its next step in Python; what it waits for elsewhere goes on."""
    if thread.ident is not None:
        ended = ctypes.py_object(SystemExit)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ended)


def _line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it needs more memory than is free"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return " ".join(str(error).split())[:300] or type(error).__name__
