"""``luthier logs``: what is in tuning logs, and sharing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from luthier.schedules.errors import LogError

from . import options
from .times import milliseconds

if TYPE_CHECKING:
    from luthier.logs import (
        BestRecord,
        DiffReport,
        LogStats,
        MergeReport,
        PruneReport,
        VerifyReport,
    )

_source = click.argument("source", metavar="[SOURCE]", default=options.DEFAULT_LOG)
_sources = click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
_out = click.option("-o", "--out", required=True, metavar="PATH|URL", help="The pack to write.")


@click.group(no_args_is_help=False)
def logs() -> None:
    """Look into tuning logs, share them, check them and clean them.

    A SOURCE is a store (a file of 'luthier tune', or a postgresql:// URL) or a pack (a JSON Lines
    file, or a URL of one).
    """


@logs.command()
@_source
@options.json_flag
@options.examples("luthier logs stats", "luthier logs stats postgresql://tuning.example/luthier")
def stats(*, source: str, as_json: bool) -> None:
    """Count what SOURCE holds."""
    from luthier import logs as api  # noqa: PLC0415 - imports a database's library

    report = api.stats(source)
    options.emit(report, as_json, lambda: _stats(report))


@logs.command()
@options.log
@options.packs
@options.target
@options.accuracy
@options.threads
@options.json_flag
@options.examples("luthier logs best", "luthier logs best --pack team.jsonl --threads 4")
def best(*, log: str, as_json: bool, **settings: Any) -> None:
    """List what 'luthier build' takes for each kernel that has a record."""
    from luthier import logs as api  # noqa: PLC0415

    found = api.best(log, **settings)
    options.emit(found, as_json, lambda: "\n".join(map(_best, found)) or "no kernel has a record")


@logs.command()
@click.argument("prefix", metavar="HASH")
@_source
@options.examples("luthier logs show a0054fb9", "luthier logs show a0054fb9 team.jsonl")
@options.json_flag
def show(*, prefix: str, source: str, as_json: bool) -> None:
    """Print the records of SOURCE whose hash begins with HASH."""
    from luthier import logs as api  # noqa: PLC0415

    found = api.show(prefix, source)
    options.emit(found, as_json, lambda: "\n".join(record.line for record in found))


@logs.command()
@_sources
@click.option("--signers", metavar="PATH", help="Each pack must be signed by one of this file's.")
@click.option(
    "--sample", type=click.IntRange(0), default=0, help="Measure again so many records, here."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sample.")
@options.json_flag
@options.examples(
    "luthier logs verify luthier.db",
    "luthier logs verify team.jsonl --signers allowed_signers",
    "luthier logs verify team.jsonl --sample 10",
)
def verify(*, sources: tuple[str, ...], as_json: bool, **settings: Any) -> None:
    """Check every record's hash and schema, and signatures.

    Ends with exit code 4 where something is wrong. A signature is OpenSSH's:
    'ssh-keygen -Y sign -n luthier -f KEY PACK' writes PACK.sig.
    """
    from luthier import logs as api  # noqa: PLC0415

    report = api.verify(sources, **settings)
    options.emit({**options.plain(report), "ok": report.ok}, as_json, lambda: _verify(report))
    if not report.ok:
        raise LogError("not all is well with the records; what is sound can be exported")


@logs.command()
@_sources
@_out
@options.json_flag
@options.examples("luthier logs merge ours.jsonl theirs.jsonl -o team.jsonl")
def merge(*, sources: tuple[str, ...], out: str, as_json: bool) -> None:
    """Write all records of the SOURCEs into one pack, each once.

    The order of the sources does not matter, nor how often one is named.
    """
    from luthier import logs as api  # noqa: PLC0415

    report = api.merge(sources, out)
    options.emit(report, as_json, lambda: _merge(report))


@logs.command()
@_source
@_out
@click.option(
    "--best", type=click.IntRange(1), metavar="N", help="The N fastest of a kernel and machine."
)
@options.json_flag
@options.examples("luthier logs export -o team.jsonl", "luthier logs export -o team.jsonl --best 3")
def export(*, source: str, out: str, best: int | None, as_json: bool) -> None:
    """Write SOURCE's records into a pack, for git or object storage.

    With --best the default's record goes along, and what crashed or gave a wrong result.
    """
    from luthier import logs as api  # noqa: PLC0415

    report = api.export(source, out, best=best)
    options.emit(report, as_json, lambda: _merge(report))


@logs.command("import")
@_sources
@options.log
@options.json_flag
@options.examples(
    "luthier logs import team.jsonl",
    "luthier logs import nightly.jsonl --log postgresql://tuning.example/luthier",
)
def import_(*, sources: tuple[str, ...], log: str, as_json: bool) -> None:
    """Add the SOURCEs' records to a log."""
    from luthier import logs as api  # noqa: PLC0415

    report = api.import_(sources, log)
    options.emit(report, as_json, lambda: _merge(report))


@logs.command()
@options.log
@click.option("--stale", is_flag=True, help="Records of templates that have changed, too.")
@click.option(
    "--best", type=click.IntRange(1), metavar="N", help="All but the N fastest of a kernel, too."
)
@click.option("--dry-run", is_flag=True, help="Only count.")
@options.json_flag
@options.examples("luthier logs prune --dry-run", "luthier logs prune --stale --best 20")
def prune(*, log: str, as_json: bool, **settings: Any) -> None:
    """Remove records whose schedule was measured again since."""
    from luthier import logs as api  # noqa: PLC0415

    report = api.prune(log, **settings)
    options.emit(report, as_json, lambda: _prune(report))


@logs.command()
@click.argument("first")
@click.argument("second")
@options.json_flag
@options.examples("luthier logs diff luthier.db team.jsonl")
def diff(*, first: str, second: str, as_json: bool) -> None:
    """Compare two sources: their records, and each kernel's best."""
    from luthier import logs as api  # noqa: PLC0415

    report = api.diff(first, second)
    options.emit(report, as_json, lambda: _diff(report))


def _stats(report: LogStats) -> str:
    def lines(title: str, counts: Any) -> list[str]:
        return [f"{title if i == 0 else '':10}{n:8}  {k}" for i, (k, n) in enumerate(counts)]

    text = [
        f"{report.source}: {options.count(report.records, 'record')} of {report.kernels} kernels"
    ]
    for title, counts in (
        ("outcomes", report.outcomes),
        ("machines", report.machines),
        ("templates", report.templates),
    ):
        text += lines(title, counts.items())
    if report.records:
        text.append(f"measured from {report.first} to {report.last}")
    return "\n".join(text + _skipped(report))


def _best(found: BestRecord) -> str:
    record = found.record
    return (
        f"{record.hash}  {milliseconds(record.seconds):>10}  {found.trust:8}  {found.workload}\n"
        f"  {found.schedule}  ({found.layer})"
    )


def _verify(report: VerifyReport) -> str:
    text = []
    for source in report.sources:
        signed = f", signed by {source.signer}" if source.signer else ""
        text.append(f"{source.source}: {options.count(source.records, 'sound record')}{signed}")
        text += _skipped(source)
    for each in report.remeasured:
        then, now = milliseconds(each.record.seconds), milliseconds(each.seconds)
        text.append(f"{each.record.hash}  {each.outcome.value}  {then} -> {now}")
    return "\n".join(text)


def _merge(report: MergeReport) -> str:
    counted = options.count(report.records, "record")
    return "\n".join([f"{report.out}: {counted}, {report.added} of them new", *_skipped(report)])


def _prune(report: PruneReport) -> str:
    verb = "would be removed" if report.dry_run else "removed"
    gone = report.stale + report.superseded + report.slow
    return (
        f"{report.log}: {options.count(gone, 'record')} {verb} ({report.stale} stale, "
        f"{report.superseded} measured again since, {report.slow} slow), {report.left} left"
    )


def _diff(report: DiffReport) -> str:
    text = [
        f"only in the first: {report.only_first}, only in the second: {report.only_second}, "
        f"in both: {report.both}"
    ]
    for kernel in report.kernels:
        pair = [milliseconds(s) if s else "none" for s in (kernel.first, kernel.second)]
        place = f"{kernel.target.cpu}, threads: {kernel.target.threads}"
        text.append(f"{pair[0]:>10} {pair[1]:>10}  {kernel.workload}  ({place})")
    return "\n".join(text)


def _skipped(report: Any) -> list[str]:
    lines = [f"skipped: {options.count(report.skipped, 'record')}, unreadable"]
    return (lines if report.skipped else []) + [f"  {problem}" for problem in report.problems]
