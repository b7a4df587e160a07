"""The command line: what users do wrong ends in one line and its own exit code."""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

import click

import luthier
from luthier.schedules.errors import (
    LuthierError,
    ModelError,
    ModelWarning,
    UnsupportedOperator,
    UsageError,
    of_system,
)
from luthier.schedules.redaction import redacted, shown

from .commands.bench import bench
from .commands.build import build
from .commands.check import check
from .commands.doctor import doctor
from .commands.interrupts import INTERRUPTED, MESSAGE, came, raise_from_now
from .commands.logs import logs
from .commands.options import one_line
from .commands.quantize import quantize
from .commands.run import run
from .commands.target import target
from .commands.tune import tune

INTERNAL = 70
TRACEBACK = "LUTHIER_TRACEBACK"


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.version_option(luthier.__version__, prog_name="luthier")
def cli() -> None:
    """Tune a trained model for your machine and build one C library that needs no runtime.

    \b
    Examples:
      luthier tune model.onnx --trials 500
      luthier build model.onnx -o model
      luthier run model --inputs in.npz --outputs out.npz
    """


for command in (tune, build, run, check, bench, quantize, logs, target, doctor):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit; see ``luthier.schedules.errors`` for the exit codes."""
    _prepare_process()
    if sys.stdout is None:
        _fail("stdout is closed, where results go", LuthierError.exit_code)
    try:
        code = cli.main(arguments, prog_name="luthier", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        _fail(MESSAGE, INTERRUPTED)
    except Exception as error:
        if came():  # what a library made of it
            _fail(MESSAGE, INTERRUPTED)
        given = sys.argv[1:] if arguments is None else arguments
        if isinstance(error, UnsupportedOperator) and error.operators and "--json" in given:
            click.echo(json.dumps({"error": str(error), "operators": error.operators}, indent=1))
        _fail(*_told(error, given))
    sys.exit(code if isinstance(code, int) else 0)


def _told(error: Exception, arguments: Sequence[str]) -> tuple[str, int]:
    """What is said of an error, and the exit code."""
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "luthier"
        said = _without_passwords(error.format_message(), arguments)
        return f"{said} See '{command} --help'.", UsageError.exit_code
    if isinstance(error, LuthierError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError):
        return "the model needs more memory than is free", ModelError.exit_code
    _trace()
    if isinstance(error, OSError):  # the disk is full, say
        return of_system(error), LuthierError.exit_code
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"internal error: {what} (set {TRACEBACK}=1 for details)", INTERNAL


def _prepare_process() -> None:
    """Being told to end is like Ctrl-C; what the terminal's encoding lacks is printed escaped.

    TVM imports torch and XGBoost scikit-learn where they are installed, which takes seconds; no
    command needs them.
    """
    _fill_closed_streams()
    for package in ("torch", "sklearn"):
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]
    raise_from_now()
    warnings.simplefilter("default", ModelWarning)
    warnings.showwarning = partial(_warn, warnings.showwarning)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fill_closed_streams() -> None:
    """A log that is opened must not become the stdout or stderr that libraries print to."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _without_passwords(message: str, arguments: Sequence[str]) -> str:
    """What click says of arguments, which may be URLs with blanks and quotes in them."""
    for argument in arguments:
        message = message.replace(argument, shown(argument))
    return message


def _trace() -> None:
    if os.environ.get(TRACEBACK):
        click.echo(redacted(traceback.format_exc()), err=True, nl=False)


def _warn(others: Callable[..., None], message: Warning | str, *args: Any, **kwargs: Any) -> None:
    """A line for what a model says wrongly; ``others`` show the warnings of libraries."""
    if isinstance(message, ModelWarning):
        click.echo(f"luthier: warning: {redacted(one_line(str(message)))}", err=True)
    else:
        others(message, *args, **kwargs)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"luthier: error: {redacted(one_line(message))}", err=True)
    sys.exit(code)
