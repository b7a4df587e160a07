"""All templates, and the way from a workload to its spaces, schedules and kernels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, reduce
from operator import and_
from types import MappingProxyType
from typing import Any

from ..errors import ScheduleError
from ..ir.kernel import Kernel
from ..ir.placement import DENSE, Placement
from ..ir.space import Schedule, Space
from ..ir.workload import Workload
from ..target.target import Target
from .abilities import Abilities
from .across.form import Across
from .attention.form import FusedAttention
from .attention_bfloat16.form import Bfloat16Attention
from .attention_integer.form import IntegerAttention
from .attention_keys.form import KeyAttention
from .attention_rows.form import RowAttention
from .channelwise.form import Channelwise
from .channelwise_integer.form import IntegerChannelwise
from .conv.form import Conv
from .conv_bfloat16.form import Bfloat16Conv
from .conv_dots.form import ConvDots
from .conv_integer.form import IntegerConv
from .conv_planes.form import ConvPlanes
from .conv_transpose.form import ConvTranspose
from .conv_transpose_bfloat16.form import Bfloat16ConvTranspose
from .conv_transpose_dots.form import ConvTransposeDots
from .coupling.form import Coupling
from .distinct.form import Distinct
from .dots.form import Dots
from .elimination.form import Elimination
from .few_bits.form import FewBits
from .few_bits_gemm.form import FewBitsGemm
from .few_bits_integer.form import FewBitsInteger
from .form import Form
from .gemm.form import Gemm
from .gemm_bfloat16.form import Bfloat16Gemm
from .gemm_integer.form import IntegerGemm
from .group_norm.form import GroupNorm
from .images.form import Images
from .loops import Loops, Table
from .nonzero.form import NonZero
from .normalize.form import Normalize
from .patches_bfloat16.form import Bfloat16Patches
from .place.form import Place
from .pointwise.form import Pointwise
from .pool_integer.form import IntegerPool
from .pool_planes.form import PoolPlanes
from .recurrent.form import RecurrentLayer
from .reduction.form import Reduction
from .relax_op.form import RelaxOp
from .rows_bfloat16.form import Bfloat16Rows
from .scan.form import Scan
from .scatter.form import Scatter
from .separable.form import Separable
from .separable_bfloat16.form import Bfloat16Separable
from .sort.form import Sort
from .suppression.form import Suppression
from .texts.form import Texts
from .transpose.form import Transpose
from .trees.form import Trees
from .warping.form import Warping
from .winograd.form import Winograd
from .winograd_integer.form import IntegerWinograd
from .winograd_line.form import WinogradLine

# In order of preference, which counts where estimates are the same.
TEMPLATES: tuple[type[Form[Any]], ...] = (
    Bfloat16Separable,
    Separable,
    PoolPlanes,
    Channelwise,
    Bfloat16Gemm,
    Bfloat16Rows,
    Dots,
    Gemm,
    FewBits,
    FewBitsGemm,
    FewBitsInteger,
    RowAttention,
    Bfloat16Attention,
    FusedAttention,
    KeyAttention,
    IntegerAttention,
    Conv,
    ConvDots,
    Bfloat16Patches,
    Bfloat16Conv,
    Winograd,
    WinogradLine,
    ConvPlanes,
    Bfloat16ConvTranspose,
    ConvTranspose,
    ConvTransposeDots,
    IntegerGemm,
    IntegerChannelwise,
    IntegerConv,
    IntegerWinograd,
    IntegerPool,
    GroupNorm,
    Normalize,
    Reduction,
    Place,
    NonZero,
    Suppression,
    Sort,
    Distinct,
    RecurrentLayer,
    Scan,
    Scatter,
    Elimination,
    Coupling,
    Texts,
    Images,
    Warping,
    Trees,
    Transpose,
    Across,
    Pointwise,
    RelaxOp,
)


def _anchors() -> dict[str, Abilities]:
    names = dict.fromkeys(name for template in TEMPLATES for name in template.anchors)
    of = {name: [t.anchors[name] for t in TEMPLATES if name in t.anchors] for name in names}
    return {name: reduce(and_, found) for name, found in of.items()}


ANCHORS: Mapping[str, Abilities] = MappingProxyType(_anchors())
"""By operator, what all templates that compute it can do: fusion comes before the choice."""


@lru_cache(maxsize=1024)
def forms(workload: Workload, target: Target) -> tuple[Form[Any], ...]:
    """The workload's form in each template that fits; the first has the default schedule.

    Raises ScheduleError where none fits.
    """
    for tensor in (*workload.inputs, *(node.out for node in workload.nodes)):
        if tensor.size == 0:  # the frontend lets none through, and no template expects one
            raise ScheduleError(f"{tensor} has no elements, in the workload {workload}")
    found = [form for t in TEMPLATES if (form := t.match(workload, target)) is not None]
    if not found:
        raise ScheduleError(f"no template computes the workload {workload}")
    return tuple(sorted(found, key=lambda form: form.estimate()))


def spaces(workload: Workload, target: Target) -> tuple[Space, ...]:
    """One space for each template that fits; the first holds the default schedule.

    Raises ScheduleError where none fits.
    """
    return tuple(form.space for form in forms(workload, target))


def default(workload: Workload, target: Target) -> Schedule:
    """The schedule that an analytic model picks without measuring; raises ScheduleError."""
    return forms(workload, target)[0].space.default_schedule()


def instantiate(
    workload: Workload, target: Target, schedule: Schedule, placement: Placement = DENSE
) -> Kernel:
    """The kernel that ``schedule`` makes of ``workload`` where its tensors lie so.

    Raises ScheduleError where the template is unknown, has another version, does not fit the
    workload, or the knobs are not in its space.
    """
    form = _form(workload, target, schedule.template)
    if schedule.version != form.version:
        raise ScheduleError(
            f"template '{form.name}' is at version {form.version}, not {schedule.version}"
        )
    return form.kernel(form.space.schedule(dict(schedule.knobs)), placement)


def loops(workload: Workload, target: Target, template: str, table: Table) -> Loops:
    """The loop nests that ``template`` makes of a table of knobs.

    Raises ScheduleError where there is no such template, or it does not fit the workload.
    """
    return _form(workload, target, template).nests(table)


def _form(workload: Workload, target: Target, template: str) -> Form[Any]:
    if template not in {t.name for t in TEMPLATES}:
        raise ScheduleError(f"there is no template '{template}'")
    for form in forms(workload, target):
        if form.name == template:
            return form
    raise ScheduleError(f"template '{template}' does not fit {workload}")
