"""All templates, and the way from a workload to its spaces, schedules and kernels."""

from __future__ import annotations

from ..errors import ScheduleError
from ..ir.kernel import Kernel
from ..ir.space import Schedule, Space
from ..ir.workload import Workload
from ..target.target import Target
from .attention import emit as attention
from .conv import emit as conv
from .conv_transpose import emit as conv_transpose
from .depthwise import emit as depthwise
from .gemm import emit as gemm
from .group_norm import emit as group_norm
from .loops import Knobs, Loops
from .normalize import emit as normalize
from .pointwise import emit as pointwise
from .reduction import emit as reduction
from .relax_op import emit as relax_op
from .separable import emit as separable
from .template import Template
from .transpose import emit as transpose
from .winograd import emit as winograd

# In order of preference: the first template that fits a workload and expects to pay gives its
# default schedule.
TEMPLATES: tuple[Template, ...] = (
    separable.TEMPLATE,
    depthwise.TEMPLATE,
    gemm.TEMPLATE,
    attention.TEMPLATE,
    winograd.TEMPLATE,
    conv.TEMPLATE,
    conv_transpose.TEMPLATE,
    group_norm.TEMPLATE,
    normalize.TEMPLATE,
    reduction.TEMPLATE,
    transpose.TEMPLATE,
    pointwise.TEMPLATE,
    relax_op.TEMPLATE,
)


def spaces(workload: Workload, target: Target) -> tuple[Space, ...]:
    """One space for each template that fits; the first holds the default schedule.

    Raises ScheduleError where none fits.
    """
    _refuse_empty(workload)
    found = [(t, s) for t in TEMPLATES if (s := t.space(workload, target)) is not None]
    if not found:
        raise ScheduleError(f"no template computes the workload {workload}")
    found.sort(key=lambda pair: not pair[0].pays(workload, target))
    return tuple(s for _, s in found)


def default(workload: Workload, target: Target) -> Schedule:
    """The schedule that an analytic model picks without measuring; raises ScheduleError."""
    return spaces(workload, target)[0].default_schedule()


def instantiate(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """The kernel that ``schedule`` makes of ``workload``.

    Raises ScheduleError where the template is unknown, has another version, does not fit the
    workload, or the knobs are not in its space.
    """
    template = _template(schedule.template)
    _refuse_empty(workload)
    space = template.space(workload, target)
    if space is None:
        raise ScheduleError(f"template '{template.name}' does not fit {workload}")
    if schedule.version != space.version:
        raise ScheduleError(
            f"template '{template.name}' is at version {space.version}, not {schedule.version}"
        )
    return template.kernel(workload, target, space.schedule(dict(schedule.knobs)))


def loops(workload: Workload, target: Target, template: str, knobs: Knobs) -> Loops:
    """The loop nests that ``template``, which fits the workload, makes of a table of knobs.

    Raises ScheduleError where there is no such template.
    """
    return _template(template).loops(workload, target, knobs)


def _template(name: str) -> Template:
    for template in TEMPLATES:
        if template.name == name:
            return template
    raise ScheduleError(f"there is no template '{name}'")


def _refuse_empty(workload: Workload) -> None:
    """No template expects a tensor without elements; the frontend lets none through."""
    for tensor in (*workload.inputs, *(node.out for node in workload.nodes)):
        if tensor.size == 0:
            raise ScheduleError(f"{tensor} has no elements, in the workload {workload}")
