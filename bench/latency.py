"""Latency against other engines, into RESULTS.md.

python -m bench.latency                     every model, with 1 thread and with all
python -m bench.latency resnet18 --threads 2 --print
python -m bench.latency --log tuned.jsonl   with the schedules of a tuning log
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import luthier
from bench import results
from bench.models import all_models, cache_folder
from bench.turns import DIFFERS, OURS, ROUNDS, Entry, Row, measure
from luthier.schedules.target import available_cores

PEERS = {"onnxruntime": "onnxruntime", "openvino": "openvino", "torch": "torch.compile"}  # labels


def table(rows: Sequence[Row], peers: Sequence[str]) -> str:
    """A Markdown table of the rows, and geometric means of the ratios."""
    head = ["model", "threads", "Luthier ms", *(f"{p} ms" for p in peers)]
    head += [f"{p} / Luthier" for p in peers]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for row in rows:
        ms = [_milliseconds(row, p) for p in peers]
        cells = [row.model, str(row.threads), f"{row.milliseconds(OURS):.2f}", *ms]
        lines.append(cells + [_spread(row, p) if p in row.turns else "" for p in peers])
    text = _markdown(lines)
    text += "\n\nRatios are medians over turns, with their quartiles; above 1, Luthier is faster."
    for peer in peers:
        for threads in sorted({r.threads for r in rows}):
            text += _mean(peer, [r for r in rows if r.threads == threads and peer in r.turns])
    return text


def short_table(rows: Sequence[Row], peers: Sequence[str]) -> str:
    """Milliseconds alone, with the most threads."""
    threads = max(row.threads for row in rows)
    lines = [["model", "Luthier", *peers], ["---"] + ["---:"] * (1 + len(peers))]
    for row in (r for r in rows if r.threads == threads):
        ms = [_milliseconds(row, p) for p in (OURS, *peers)]
        lines.append([row.model, *ms])
    return _markdown(lines)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _milliseconds(row: Row, label: str) -> str:
    if label in row.turns:
        return f"{row.milliseconds(label):.2f}"
    return DIFFERS if row.failures[label].startswith(DIFFERS) else "fails"


def _spread(row: Row, peer: str) -> str:
    low, middle, high = row.ratios(peer, OURS)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _mean(peer: str, rows: Sequence[Row]) -> str:
    medians = [row.ratios(peer, OURS)[1] for row in rows]
    if not medians:
        return ""
    threads = f"{rows[0].threads} thread{'s' * (rows[0].threads > 1)}"
    return (
        f"\n\n**{peer} / Luthier, {threads}**: geometric mean "
        f"{statistics.geometric_mean(medians):.2f}, least {min(medians):.2f} "
        f"({len(medians)} models)."
    )


def main() -> None:
    """Build the models, measure them and write the table."""
    parser = argparse.ArgumentParser(description="Latency against other engines.")
    parser.add_argument("models", nargs="*", help="names of bench.models (default: all)")
    parser.add_argument("--threads", type=int, nargs="*", default=sorted({1, available_cores()}))
    parser.add_argument("--peers", nargs="*", default=[*PEERS], choices=PEERS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--log", type=Path, help="use a tuning log (only with --print)")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    if options.log and not options.print:
        parser.error("--log needs --print: RESULTS.md has the default schedules")
    models = all_models(cache_folder())
    console = Console(stderr=True)
    rows = []
    for threads in options.threads:
        for model in options.models or models:
            with tempfile.TemporaryDirectory() as folder:
                artifact = Path(folder) / model
                luthier.build(models[model], artifact, threads=threads, log=options.log)
                entries = [Entry(OURS, OURS, artifact)]
                entries += [Entry(PEERS[peer], peer, models[model]) for peer in options.peers]
                row = measure(model, models[model], threads, entries, options.rounds)
            rows.append(row)
            times = [f"{label} {row.milliseconds(label):.2f} ms" for label in row.turns]
            fails = [f"{label} fails: {why}" for label, why in row.failures.items()]
            console.print(f"{model} x{threads}: {', '.join(times + fails)}", highlight=False)
    labels = [PEERS[peer] for peer in options.peers]
    text = table(rows, labels)
    print(text)
    if not options.print:
        results.write("latency", "python -m bench.latency", text)
        results.replace(results.README, "numbers", short_table(rows, labels))


if __name__ == "__main__":
    main()
