"""Reads a model that may be broken or hostile, and fixes its input sizes."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property

import onnx

from luthier.schedules import ModelError, ModelWarning

from ..program import Argument
from ..states.pairs import StateNames, declared_states, state_pairs
from .element_types import dtype_name
from .given import Values, arrays_of, cut, fill, make_constants
from .images.after import postprocess_outputs
from .images.before import preprocess_images
from .images.postprocess import Postprocess
from .images.preprocess import Preprocess
from .late_choices import with_late_choices
from .masks import without_masks
from .microsoft.blocked import without_blocks
from .microsoft.caches import mark_caches, mark_growing
from .microsoft.operators import set_needed
from .ml.domain import without_keys_never_met, without_wrong_shapes
from .ml.maps import Keys, without_maps
from .node_order import sort_nodes
from .node_rules import check_nodes
from .old_sets import converted
from .open_shapes import OpenShapes, Shapes, fixed_shapes, is_symbol, open_shapes
from .opset import OLDEST
from .optionals import without_optionals
from .pieces import without_pieces
from .proposals import example, proposal
from .sequence_inputs import still_taken, with_tensors
from .sized import Sized, set_shapes
from .source import source_of
from .texts.branches import is_string
from .texts.spelling import has_texts, spell_texts
from .texts.values import Texts

Bounds = Mapping[str, int]
"""By the name of a size that a run finds the largest that it may be."""
Preprocessing = Mapping[str, Preprocess]
"""By the name of an input what is done to an image that it becomes."""
Postprocessing = Mapping[str, Postprocess]
"""By the name of an output what becomes of it."""


@dataclass(frozen=True)
class ReadModel:
    """A model as it was read, once: whatever is made of it is made of the same bytes.

    ``proto`` has its external data loaded and every input's shape fixed, but for the sizes in
    ``open``, which have their names there; nobody changes it.
    ``sha256`` is of the file, followed by the data in other files, in the model's order; of a
    ModelProto its deterministic serialisation stands for the file; where there is ``processing``,
    of that hash and this. ``name`` is the file's, without its suffix, or the graph's. ``states``
    are the outputs that inputs become in the next run, by these. ``bounds`` are the largest that
    sizes may be which runs find, by name. ``labels`` are the texts for which the numbers of outputs
    stand; ``widths`` are the bytes of a text in inputs and outputs that are texts, and ``spoken``
    is then the model that still has them. ``takes`` are the model's own inputs where these are not
    all tensors, and ``counts`` the numbers of tensors of sequences that values decide.
    ``processing`` says in a line what is done to inputs and outputs that are others than the
    file's, by their names. ``keys`` are those of inputs that are maps in the file, and arrays here.
    """

    proto: onnx.ModelProto
    sha256: str
    name: str
    open: OpenShapes | None = None
    states: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, Texts] = field(default_factory=dict)
    widths: Mapping[str, int] = field(default_factory=dict)
    spoken: onnx.ModelProto | None = None
    takes: tuple[Argument, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    processing: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, Keys] = field(default_factory=dict)

    @cached_property
    def sized(self) -> Sized:
        """Ready to be imported at several sizes."""
        return Sized(self.proto)


def read_model(
    model: str | os.PathLike[str] | onnx.ModelProto | ReadModel,
    shapes: Shapes | None = None,
    values: Values | None = None,
    outputs: Sequence[str] | None = None,
    state: StateNames | None = None,
    bounds: Bounds | None = None,
    preprocess: Preprocessing | None = None,
    postprocess: Postprocessing | None = None,
    entry: str = "",
) -> ReadModel:
    """Read a model; one that was read is given back as it is.

    ``shapes`` gives sizes (in elements) for inputs that leave some open, or says which the named
    sizes may be (see ``Shapes``), and how many tensors a sequence has; ``values`` makes inputs
    constants, None one that is optional and absent, and the model ends at ``outputs``, where they
    are given. ``state`` says which inputs and outputs an instance keeps. ``bounds`` say how large
    sizes may be that a run finds, by their names, and how many bytes a text has at most, by the
    name of an input. ``preprocess`` makes images of inputs, before the others are heeded:
    ``shapes`` and ``values`` are of the images; ``postprocess`` makes others of the outputs. Of a
    file with several signatures the model is the one of the name ``entry``, if there is one.
    Initializers are no longer listed as inputs. Raises
    ModelError with one line for whatever is wrong, a file that changes meanwhile too, and
    UnsupportedOperator for sizes that are not supported.
    """
    if isinstance(model, ReadModel):
        return model
    source = source_of(model, entry)
    proto, digest, name = source.proto, source.digest, source.name
    sort_nodes(proto)
    oldest = max(OLDEST, set_needed(proto))
    if source.opset < oldest:
        proto = converted(proto, oldest, source.where)
    check_nodes(proto)
    _drop_initializer_inputs(proto)
    without_blocks(proto)
    keys = without_maps(proto, (shapes or {}).keys())
    without_wrong_shapes(proto)
    without_keys_never_met(proto)
    said = with_tensors(proto, shapes or {}, values or {})
    shapes, values = said.shapes, said.values
    proto = without_optionals(proto)
    mark_caches(proto)
    if outputs is not None:
        own = declared_states(proto).values()
        cut(proto, [*outputs, *(name for name in own if name not in outputs)])
    _check_inputs(proto)
    without_masks(proto)
    without_pieces(proto)
    with_late_choices(proto)
    preprocess_images(proto, preprocess or {}, shapes)
    labels = postprocess_outputs(proto, postprocess or {})
    processing = {n: str(p) for n, p in {**(preprocess or {}), **(postprocess or {})}.items()}
    if processing:
        digest = _digest_with(digest, processing)
    states = state_pairs(proto, state)
    mark_growing(proto, states)
    _check_whole(said.takes, states)
    for name in states.keys() & values.keys():
        raise ModelError(f"the input '{name}' is a state and has a value: it cannot be both")
    opened = open_shapes(proto, shapes, states)
    fixed = fixed_shapes(shapes) if opened is None else opened.at(opened.largest)
    varying = () if opened is None else opened.varying
    constants = arrays_of(proto, values, fixed, varying)
    _fix_inputs(proto, {**fixed, **{n: a.shape for n, a in constants.items() if a.ndim}})
    if opened is None or not opened.symbols:
        make_constants(proto, constants)
        opened = None
    else:
        set_shapes(proto, {n: dims for n, dims in opened.inputs.items() if n in varying})
        for each in constants.keys() & varying:
            fill(proto, each, constants.pop(each), opened.inputs)
        make_constants(proto, constants)
        opened = opened.of(i.name for i in proto.graph.input)
    takes = still_taken(said.takes, proto.graph)
    return _spelled(
        ReadModel(
            proto,
            digest,
            name,
            opened,
            states,
            bounds or {},
            labels,
            takes=takes,
            counts=said.counts,
            processing=processing,
            keys=keys,
        )
    )


def _spelled(read: ReadModel) -> ReadModel:
    """Without texts; what bounds say of those that are inputs is gone from them."""
    proto, opened = read.proto, read.open
    texts = [info.name for info in proto.graph.input if is_string(info)]
    spoken = deepcopy(proto) if has_texts(proto) else None
    widths = {name: bound for name, bound in read.bounds.items() if name in texts}
    found = spell_texts(proto, widths, read.states)
    if opened is not None:
        wide = {n: (*d, found.widths[n]) if n in texts else d for n, d in opened.inputs.items()}
        opened = replace(opened, inputs=wide)
    bounds = {name: bound for name, bound in read.bounds.items() if name not in texts}
    return replace(
        read,
        open=opened,
        bounds=bounds,
        labels={**read.labels, **found.labels},
        widths=found.widths,
        spoken=spoken if found.widths else None,
    )


def _digest_with(digest: str, processing: Mapping[str, str]) -> str:
    """Of a model that is another by what is done to its inputs and outputs."""
    lines = [digest, *(f"{name}={words}" for name, words in sorted(processing.items()))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _drop_initializer_inputs(model: onnx.ModelProto) -> None:
    """IR versions before 4 list initializers among the inputs."""
    names = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in names]
    if len(inputs) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        model.ir_version = max(model.ir_version, 4)


def _check_whole(takes: Sequence[Argument], states: Mapping[str, str]) -> None:
    """Raise ModelError for a state that is one tensor of a sequence."""
    for argument in () if not states else takes:
        for name in () if argument.is_tensor else argument.tensors:
            if name in states:
                raise ModelError(
                    f"the input '{name}' is a tensor of the sequence '{argument.name}': it cannot "
                    "be a state"
                )


def _check_inputs(model: onnx.ModelProto) -> None:
    if len({i.name for i in model.graph.input}) < len(model.graph.input):
        raise ModelError("two inputs of the model have the same name")
    for value in model.graph.input:
        if not is_string(value):
            dtype_name(value.type.tensor_type.elem_type, f"input '{value.name}'")


def _fix_inputs(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> None:
    symbols: dict[str, tuple[int, str]] = {}
    proposed = proposal(model)
    for value in model.graph.input:
        tensor = value.type.tensor_type
        _fix_input(value.name, tensor, shapes.get(value.name), symbols, proposed)
    # Sizes that were written for other inputs' shapes, or by a stranger, may be wrong: as in ONNX
    # Runtime they do not count. Those of the outputs are compared with what the nodes compute.
    del model.graph.value_info[:]


def _fix_input(
    name: str,
    tensor: onnx.TypeProto.Tensor,
    given: Sequence[int] | None,
    symbols: dict[str, tuple[int, str]],
    proposed: str,
) -> None:
    what = f"input '{name}'"
    if given is None:
        if not tensor.HasField("shape"):
            raise ModelError(f"{what} has no shape: {_advice(name, [1, 8])}")
        places = range(len(tensor.shape.dim))
        given = [_dimension(name, i, tensor, proposed) for i in places]
    sizes = [int(d) for d in given]
    if any(d < 0 for d in sizes):
        raise ModelError(f"{what} has the shape {sizes}; sizes are at least 0")
    if tensor.HasField("shape") and len(tensor.shape.dim) != len(sizes):
        rank = len(tensor.shape.dim)
        raise ModelError(f"{what} has {rank} dimensions in the model, but the shape {sizes}")
    old = list(tensor.shape.dim)
    for i, (dim, size) in enumerate(zip(old, sizes, strict=False)):
        if dim.HasField("dim_value") and dim.dim_value > 0 and dim.dim_value != size:
            raise ModelError(f"{what} has size {dim.dim_value} in dimension {i}, not {size}")
        if is_symbol(dim.dim_param):
            first, other = symbols.setdefault(dim.dim_param, (size, name))
            if first != size:  # as in ONNX Runtime names that are wrong do not count
                gives = f"gives '{dim.dim_param}' the size {size}, input '{other}' gives {first}"
                warnings.warn(ModelWarning(f"{what} {gives}"), stacklevel=2)
    tensor.shape.Clear()
    for size in sizes:
        tensor.shape.dim.add().dim_value = size


def _dimension(name: str, index: int, tensor: onnx.TypeProto.Tensor, proposed: str) -> int:
    dim = tensor.shape.dim[index]
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return int(dim.dim_value)
    symbol = f" ('{dim.dim_param}')" if dim.dim_param else ""
    ranges = f"; or say which sizes it is for, such as {proposed}" if proposed else ""
    advice = _advice(name, example(tensor))
    raise ModelError(f"input '{name}' has no size in dimension {index}{symbol}: {advice}{ranges}")


def _advice(name: str, shape: Sequence[int]) -> str:
    option = ",".join(map(str, shape))
    return f"give sizes, such as --shape {name}={option} or shapes={{'{name}': {tuple(shape)}}}"
