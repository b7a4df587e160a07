"""The command line: what users do wrong ends in one line and its own exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

import luthier
from luthier.schedules.errors import LuthierError, ModelError, UsageError

from .commands.bench import bench
from .commands.build import build
from .commands.check import check
from .commands.doctor import doctor
from .commands.run import run
from .commands.target import target
from .commands.tune import tune

INTERRUPTED = 130
INTERNAL = 70
TRACEBACK = "LUTHIER_TRACEBACK"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(luthier.__version__, prog_name="luthier")
def cli() -> None:
    """Tune a trained model for your machine and build one C library that needs no runtime.

    \b
    Examples:
      luthier tune model.onnx --trials 500
      luthier build model.onnx -o model
      luthier run model --inputs in.npz --outputs out.npz
    """


for command in (tune, build, run, check, bench, target, doctor):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit; see ``luthier.schedules.errors`` for the exit codes."""
    try:
        code = cli.main(arguments, prog_name="luthier", standalone_mode=False)
    except click.ClickException as error:
        _fail(error.format_message(), UsageError.exit_code)
    except LuthierError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted; nothing was left half-written", INTERRUPTED)
    except MemoryError:
        _fail("the model needs more memory than is free", ModelError.exit_code)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        _fail(f"internal error: {what} (set {TRACEBACK}=1 for details)", INTERNAL)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    line = " ".join(message.split())
    click.echo(f"luthier: error: {line}", err=True)
    sys.exit(code)
