"""What several commands share: options, and how a result is printed."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from enum import Enum
from inspect import cleandoc
from typing import Any, TypeVar

import click

from luthier.schedules.errors import printable
from luthier.schedules.target import ACCURACIES, DEFAULT_ACCURACY

# The one in luthier.records.sources, which would import TVM here.
DEFAULT_LOG = "luthier.db"
AUTO = "auto"  # the one in luthier.frontend.states

F = TypeVar("F", bound=Callable[..., Any])

json_flag = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."
)


def _threads(default: str) -> Callable[[F], F]:
    return click.option(
        "--threads", type=click.IntRange(1, 1024), help=f"Worker threads  [default: {default}]"
    )


threads = _threads("every core this process may use")
run_threads = _threads("as built, at most the cores this process may use")
target = click.option(
    "--target",
    default="host",
    show_default=True,
    help="'host', a level such as x86-64-v3, a processor such as znver4, or the file of a target.",
)
accuracy = click.option(
    "--accuracy",
    default=DEFAULT_ACCURACY,
    show_default=True,
    type=click.Choice(ACCURACIES),
    help="strict: no Winograd convolution; balanced: tiles of 2x2; standard: of 4x4 too; "
    "bf16: products and convolutions in bfloat16.",
)
log = click.option(
    "--log",
    default=DEFAULT_LOG,
    show_default=True,
    metavar="PATH|URL",
    help="The tuning log: a file, or a team's postgresql:// server.",
)
packs = click.option(
    "--pack",
    "packs",
    multiple=True,
    metavar="PATH|URL",
    help="More records, after the log's: a pack, as 'luthier logs export' writes it. Repeatable.",
)
no_log = click.option("--no-log", is_flag=True, help="Use default schedules, whatever was tuned.")


_DIMENSION = r"(?:\d{1,9}|[A-Za-z_(][\w+*/%()-]{0,99}|\d{1,9}[*][\w+*/%()-]{1,99})"


def _shapes(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[int | str, ...] | str]:
    """``NAME=1,3,224,224`` or ``NAME=1..512``, split at the last equals sign, which a name may hold
    too.
    """
    shapes: dict[str, tuple[int | str, ...] | str] = {}
    for value in values:
        match = re.fullmatch(
            rf"(.+)=({_DIMENSION}(?:,{_DIMENSION})*|\d{{1,9}}\.\.\d{{1,9}})", value
        )
        if not match:
            raise click.BadParameter(
                f"'{value}' is not a shape such as x=1,3,224,224, nor sizes such as tokens=1..512"
            )
        name, sizes = match[1], match[2]
        if name in shapes:
            raise click.BadParameter(f"'{name}' has two shapes")
        dims = tuple(int(size) if size.isdigit() else size for size in sizes.split(","))
        shapes[name] = sizes if ".." in sizes else dims
    return shapes


def _at(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[int, ...]]:
    """``NAME=32,128``."""
    chosen: dict[str, tuple[int, ...]] = {}
    for value in values:
        match = re.fullmatch(r"((?:[A-Za-z_]\w*:)?[A-Za-z_]\w{0,63})=(\d{1,9}(?:,\d{1,9})*)", value)
        if not match:
            raise click.BadParameter(f"'{value}' is not a choice of sizes such as tokens=32,128")
        if match[1] in chosen:
            raise click.BadParameter(f"'{match[1]}' is there twice")
        chosen[match[1]] = tuple(map(int, match[2].split(",")))
    return chosen


def _bounds(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, int]:
    """``NAME=1024``."""
    found: dict[str, int] = {}
    for value in values:
        match = re.fullmatch(r"(.+)=(\d{1,9})", value)
        if not match:
            raise click.BadParameter(f"'{value}' is not a bound such as found_y=1024")
        if match[1] in found:
            raise click.BadParameter(f"'{match[1]}' has two bounds")
        found[match[1]] = int(match[2])
    return found


def _values(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, Any]:
    """``NAME=16000``, ``NAME=1,0.5``, ``NAME=true`` or ``NAME=@FILE.npy``, split as shapes are."""
    found: dict[str, Any] = {}
    for value in values:
        name, equals, text = value.rpartition("=")
        if not (name and equals and text):
            raise click.BadParameter(f"'{value}' is not a value such as rate=16000")
        if name in found:
            raise click.BadParameter(f"'{name}' has two values")
        found[name] = _array(text[1:]) if text.startswith("@") else _numbers(value, text)
    return found


def _numbers(option: str, text: str) -> Any:
    """A number, or a list of them; None for an optional value that is absent."""
    if text.lower() == "none":
        return None
    words = {"true": True, "false": False}
    try:
        numbers = [
            words[each] if each in words else json.loads(each) for each in text.lower().split(",")
        ]
    except (ValueError, RecursionError):
        numbers = [text]
    if not all(isinstance(number, bool | int | float) for number in numbers):
        raise click.BadParameter(f"'{option}' is not a value such as rate=16000")
    return numbers if "," in text else numbers[0]


def _array(path: str) -> Any:
    from luthier.inputs.arrays import load_array  # noqa: PLC0415 - imports NumPy

    return load_array(path)


shape = click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=D,D,..|NAME=A..B",
    callback=_shapes,
    help="Sizes of an input that leaves some open; which a size may have; how many tensors a "
    "sequence has. Repeatable.",
)
at = click.option(
    "--at",
    multiple=True,
    metavar="NAME=N,N,..",
    callback=_at,
    help="Which of the open sizes  [default: the largest, the smallest, one between]",
)
at_sample = click.option(
    "--at",
    multiple=True,
    metavar="NAME=N,N,..",
    callback=_at,
    help="Time it with each of these sizes  [default: the sample's]",
)
value = click.option(
    "--value",
    "values",
    multiple=True,
    metavar="NAME=X,X,..|@FILE.npy",
    callback=_values,
    help="Make an input a constant; NAME=none leaves out one that is optional. Repeatable.",
)
bound = click.option(
    "--bound",
    "bounds",
    multiple=True,
    metavar="NAME=N",
    callback=_bounds,
    help="How large a size may be that values decide and a run finds. Repeatable.",
)
output = click.option(
    "--output",
    "outputs",
    multiple=True,
    metavar="NAME",
    callback=lambda context, parameter, names: names or None,
    help="End the model at this value, any that it computes. Repeatable.",
)


def _state(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str] | str | None:
    """``INPUT=OUTPUT``, split at the last equals sign; or ``auto``, which is its own value."""
    found: dict[str, str] = {}
    for each in values:
        before, equals, after = each.rpartition("=")
        if not equals and each.rpartition(":")[2] == AUTO:
            before = after = each
        if not (before and after):
            raise click.BadParameter(f"'{each}' is not a state such as past_0=present_0, nor auto")
        if before in found:
            raise click.BadParameter(f"'{before}' is a state twice")
        found[before] = after
    return AUTO if found == {AUTO: AUTO} else found or None


state = click.option(
    "--state",
    multiple=True,
    metavar="INPUT=OUTPUT|auto",
    callback=_state,
    help="What an instance keeps: the input is what the output was. Repeatable.",
)


def _processing(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str] | None:
    """``NAME=WORDS``, split at the first equals sign, since words have others."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, words = value.partition("=")
        if not (name and equals and words.strip()):
            raise click.BadParameter(f"'{value}' is not a name, =, and words")
        if name in found:
            raise click.BadParameter(f"'{name}' is there twice")
        found[name] = words
    return found or None


preprocess = click.option(
    "--preprocess",
    multiple=True,
    metavar="NAME=WORDS",
    callback=_processing,
    help="Let an input be an image, such as 'image=480x640 bgr resize=bilinear'. Repeatable.",
)
postprocess = click.option(
    "--postprocess",
    multiple=True,
    metavar="NAME=WORDS",
    callback=_processing,
    help="Make another of an output, such as 'scores=softmax top=5'. Repeatable.",
)


def as_read(function: F) -> F:
    """The options that say what of a model is read."""
    return shape(value(output(state(bound(preprocess(postprocess(function)))))))


def examples(*lines: str) -> Callable[[F], F]:
    """Add the examples that ``--help`` ends with."""

    def decorate(function: F) -> F:
        text = "\n".join(f"  {line}" for line in lines)
        function.__doc__ = f"{cleandoc(function.__doc__ or '')}\n\n\b\nExamples:\n{text}\n"
        return function

    return decorate


def emit(result: Any, as_json: bool, text: Callable[[], str]) -> None:
    """Print a result: the dataclass as JSON, or what ``text`` makes of it."""
    if as_json:
        click.echo(json.dumps(plain(result), indent=1, allow_nan=False))
    else:
        click.echo("\n".join(one_line(line) for line in text().split("\n")))


def one_line(text: str) -> str:
    """``text`` in one line, nothing in it that a terminal obeys: names come from strangers."""
    return printable(" ".join(text.split("\n")))


def count(number: int, noun: str) -> str:
    """``1 line``, ``2 lines``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def percent(fraction: float | None) -> str:
    """``97%``, or ``busy`` where the machine was."""
    return "busy" if fraction is None else f"{fraction:.0%}"


def log_notes(report: Any) -> list[str]:
    """Lines about what a log holds that was not used."""
    lines = []
    if report.foreign_records:
        lines.append(
            f"hints: {count(report.foreign_records, 'record')} of other kinds of machines, or of "
            "other numbers of threads"
        )
    if report.skipped_records:
        lines.append(f"skipped: {count(report.skipped_records, 'record')}, unreadable")
    return lines + [f"  {problem}" for problem in report.problems]


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it; infinities and NaN become strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    if isinstance(value, Enum):
        return plain(value.value)
    if hasattr(value, "to_json"):
        return plain(value.to_json())
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return str(value)
