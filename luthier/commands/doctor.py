"""``luthier doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import luthier

from . import options

if TYPE_CHECKING:
    from luthier import Finding


@click.command()
@options.json_flag
@options.examples("luthier doctor")
def doctor(as_json: bool) -> None:
    """See whether all that is needed is here and works.

    The last finding builds and runs a tiny model.
    """
    findings = luthier.doctor()
    broken = [f.name for f in findings if f.required and not f.ok]
    result = {"ok": not broken, "findings": findings}
    options.emit(result, as_json, lambda: "\n".join(map(_line, findings)))
    if broken:
        raise luthier.LuthierError(f"this installation does not work: {', '.join(broken)}")


def _line(finding: Finding) -> str:
    mark = "ok" if finding.ok else "BROKEN" if finding.required else "absent"
    return f"{mark:7} {finding.name:14} {finding.detail}"
