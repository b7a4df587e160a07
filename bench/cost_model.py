"""How well cost models rank schedules of kernels that they have not seen, into RESULTS.md.

python -m bench.cost_model                  Luthier's and TVM's, grouped cross-validation
python -m bench.cost_model --search 40      hyper-parameters, drawn at random
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bench import pool, results
from bench.pool import Pool
from bench.standings import markdown
from luthier.autotune.search.boosting import Trees
from luthier.autotune.search.features import schedule_columns
from luthier.autotune.search.model import CostModel, Examples, HyperParameters
from luthier.schedules import Schedule
from luthier.schedules.templates import registry

FOLDS = 5
SHOWN = 10  # sets of hyper-parameters
IN_USE = " (in use)"
MOST = 64  # schedules of a kernel, so that TVM's features, which need its code, take minutes
Floats = NDArray[np.float64]
Model = Callable[[Sequence[Examples], Sequence[Examples]], list[Floats]]  # learn, then predict

console = Console(stderr=True)


@dataclass(frozen=True)
class Quality:
    """Of a ranking of one workload's schedules.

    ``pairwise``: the share of pairs in the right order. ``top1`` and ``top5``: the best time over
    the best among the first one and five. ``regret``: what the first costs more than the best.
    """

    pairwise: float
    top1: float
    top5: float

    @property
    def regret(self) -> float:
        """Of the first."""
        return 1 / self.top1 - 1


def quality(scores: Floats, seconds: Floats) -> Quality:
    """Higher scores should be shorter times; equal times say nothing."""
    first, second = np.triu_indices(len(seconds), 1)
    apart = seconds[first] != seconds[second]
    right = (scores[first] > scores[second]) == (seconds[first] < seconds[second])
    ranked = seconds[np.argsort(-scores, kind="stable")]
    tops = [float(seconds.min() / ranked[:k].min()) for k in (1, 5)]
    return Quality(float(right[apart].mean()), *tops)


def drawn(one: Pool, most: int) -> Examples:
    """At most ``most`` of the pool's randomly drawn schedules."""
    some = sorted(one.drawn, key=str)
    random.Random(one.name).shuffle(some)
    chosen = some[:most]
    return Examples(one.workload, one.target, chosen, [one.seconds[s] for s in chosen])


def cross_validated(model: Model, groups: Sequence[Examples]) -> list[Quality]:
    """The quality on each workload, when it and a fifth of the others were not learnt from."""
    order = list(range(len(groups)))
    random.Random(0).shuffle(order)
    found = {}
    for fold in range(FOLDS):
        held_out = order[fold::FOLDS]
        learnt = [groups[i] for i in order if i not in held_out]
        scores = model(learnt, [groups[i] for i in held_out])
        for i, score in zip(held_out, scores, strict=True):
            found[i] = quality(score, np.array(groups[i].seconds))
    return [found[i] for i in range(len(groups))]


# ---- models ----


def luthier(parameters: HyperParameters) -> Model:
    """Luthier's, whose members' mean ranks."""

    def scores(learnt: Sequence[Examples], asked: Sequence[Examples]) -> list[Floats]:
        model = CostModel(parameters)
        model.fit(learnt)
        return [_predicted(model, group) for group in asked]

    return scores


def guess(learnt: Sequence[Examples], asked: Sequence[Examples]) -> list[Floats]:
    """What Luthier assumes without records."""
    return [_predicted(CostModel(), group) for group in asked]


def _predicted(model: CostModel, group: Examples) -> Floats:
    """In the group's order; templates have tables of their own."""
    found = np.empty(len(group.schedules))
    for template in {s.template for s in group.schedules}:
        at = [i for i, s in enumerate(group.schedules) if s.template == template]
        schedules = [group.schedules[i] for i in at]
        table = schedule_columns(group.workload, group.target, schedules)
        found[at] = model.predict(table).mean(axis=0)
    return found


class TvmModel:
    """TVM's XGBModel with the features that it reads off each candidate's lowered program."""

    def __init__(self, groups: Sequence[Examples]) -> None:
        """Extract the features of all candidates."""
        import tvm
        from tvm.s_tir import meta_schedule

        # A minute of parsing CUDA's tensor intrinsics, which no feature needs.
        unused = types.ModuleType("tvm.s_tir.tensor_intrin")
        sys.modules.setdefault(unused.__name__, unused)
        tvm.s_tir.tensor_intrin = unused
        self._extractor = meta_schedule.feature_extractor.PerStoreFeature()
        self._features = {}
        begin = time.perf_counter()
        for group in groups:
            for schedule in group.schedules:
                self._features[group.workload, schedule] = self._extract(group, schedule)
        self.seconds = (time.perf_counter() - begin) / len(self._features)

    def __call__(self, learnt: Sequence[Examples], asked: Sequence[Examples]) -> list[Floats]:
        """As ``update`` and ``predict`` of TVM's model do, given all that was learnt at once."""
        from tvm.s_tir.meta_schedule.cost_model.xgb_model import XGBConfig, XGBModel

        features = [self._features[g.workload, s] for g in learnt for s in g.schedules]
        # A candidate's score is the sum over its stores, each of which takes a full step: with more
        # than 2 / 0.2 stores TVM's own learning rate, 0.2, diverges.
        rate = min(0.2, 1 / max(len(stores) for stores in features))
        model: Any = XGBModel(config=XGBConfig(eta=rate, nthread=2), verbose_eval=0)
        ratios = [min(g.seconds) / np.array(g.seconds) for g in learnt]
        model._train(features, np.concatenate(ratios).astype(np.float32))
        return [
            np.array(model._predict([self._features[g.workload, s] for s in g.schedules]))
            for g in asked
        ]

    def _extract(self, group: Examples, schedule: Schedule) -> NDArray[np.float32]:
        """[stores of all phases, 164]."""
        import tvm
        from tvm import s_tir
        from tvm.s_tir.meta_schedule import MeasureCandidate, TuneContext

        kernel = registry.instantiate(group.workload, group.target, schedule)
        found = []
        for phase in kernel.phases:
            module = tvm.IRModule({"main": phase.func.with_attr("global_symbol", "main")})
            target = tvm.target.Target({"kind": "llvm", "num-cores": group.target.threads})
            context = TuneContext(mod=module, target=target)
            candidate = MeasureCandidate(s_tir.Schedule(module), [])
            found += [f.numpy() for f in self._extractor.extract_from(context, [candidate])]
        return np.concatenate(found).astype(np.float32)


# ---- tables ----

READING = """
Grouped cross-validation over {kernels} kernels ({folds} folds; no schedule of a kernel that is
asked about was learnt from), on schedules that chance drew from the whole space. *Pairwise*: pairs
in the right order. *Top 1* and *top 5*: the best time over the best among the first one and five,
as in TenSet, and how much slower the first is than the best (*regret*). Means over kernels, the
worst kernel in brackets. *A candidate*: what its features and prediction take. TVM's model has a
smaller learning rate than its own, which diverges on programs with this many stores.
"""


def row(label: str, rows: int, found: Sequence[Quality], microseconds: float) -> list[str]:
    """A line of the table."""

    def cell(values: Sequence[float]) -> str:
        return f"{statistics.mean(values):.3f} ({min(values):.2f})"

    regret = statistics.median(q.regret for q in found)
    return [
        label,
        str(rows),
        cell([q.pairwise for q in found]),
        cell([q.top1 for q in found]),
        cell([q.top5 for q in found]),
        f"{regret:.1%}",
        f"{microseconds:,.1f} µs",
    ]


def compared(pools: Sequence[Pool]) -> list[list[str]]:
    """Luthier's model, its guess, and TVM's, on the same schedules; and Luthier's on all."""
    few, every = ([drawn(p, most) for p in pools] for most in (MOST, sys.maxsize))
    parameters = HyperParameters()
    found = []
    for label, model, groups in (
        ("without records", guess, few),
        ("Luthier", luthier(parameters), few),
        ("Luthier", luthier(parameters), every),
    ):
        rows = sum(len(g.schedules) for g in groups)
        found.append(row(label, rows, cross_validated(model, groups), _pace(pools[0])))
        console.print(" ".join(found[-1]), highlight=False)
    tvm_model = TvmModel(few)
    rows = sum(len(g.schedules) for g in few)
    found.append(
        row("TVM's XGBModel", rows, cross_validated(tvm_model, few), 1e6 * tvm_model.seconds)
    )
    return found


def _pace(one: Pool) -> float:
    """Microseconds for the features and the prediction of a candidate, in a table of thousands."""
    group = drawn(one, sys.maxsize)
    model = CostModel()
    model.fit([group])
    many = replace(group, schedules=[*group.schedules] * 10)
    begin = time.perf_counter()
    _predicted(model, many)
    return 1e6 * (time.perf_counter() - begin) / len(many.schedules)


def searched(pools: Sequence[Pool], count: int) -> list[list[str]]:
    """Hyper-parameters drawn at random beside those in use, the best first."""
    groups = [drawn(p, sys.maxsize) for p in pools]
    rng = random.Random(0)
    used = HyperParameters().general
    found: list[tuple[float, list[str]]] = []
    for trees in [used, *(_random_trees(rng) for _ in range(count))]:
        begin = time.perf_counter()
        qualities = cross_validated(luthier(replace(HyperParameters(), general=trees)), groups)
        seconds = (time.perf_counter() - begin) / FOLDS
        pairwise, top1, top5 = (
            statistics.mean(getattr(q, name) for q in qualities)
            for name in ("pairwise", "top1", "top5")
        )
        cells = [
            trees.objective,
            str(trees.rounds),
            f"{trees.learning_rate:g}",
            str(trees.depth),
            f"{trees.least_child_weight:g}",
            f"{trees.row_share:g}",
            f"{trees.column_share:g}",
            f"{trees.regularisation:g}",
            f"{pairwise:.3f}",
            f"{top1:.3f}",
            f"{top5:.3f}",
            f"{seconds:.1f} s" + (IN_USE if trees is used else ""),
        ]
        found.append((pairwise + top1 + top5, cells))
        console.print(" ".join(cells), highlight=False)
    return [cells for _, cells in sorted(found, key=lambda pair: -pair[0])]


def _random_trees(rng: random.Random) -> Trees:
    return Trees(
        rounds=rng.choice((75, 150, 300)),
        learning_rate=rng.choice((0.05, 0.1, 0.2)),
        depth=rng.choice((4, 6, 8)),
        least_child_weight=rng.choice((1.0, 4.0, 16.0)),
        row_share=rng.choice((0.6, 0.8, 1.0)),
        column_share=rng.choice((0.3, 0.5, 0.8)),
        regularisation=rng.choice((1.0, 4.0)),
        objective=rng.choice(("reg:squarederror", "rank:pairwise")),
    )


HEAD = ["model", "rows", "pairwise", "top 1", "top 5", "regret", "a candidate"]
SEARCH_HEAD = "objective trees rate depth child rows columns L2 pairwise top1 top5 fit".split()


def main() -> None:
    """Compare, or search, and write the section."""
    parser = argparse.ArgumentParser(description="Cost models on held-out kernels.")
    parser.add_argument("--search", type=int, metavar="N", help="draw N sets of hyper-parameters")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    pools = [pool.read(name) for name in pool.names()]
    if options.search:
        section, lines = "hyper-parameters", [SEARCH_HEAD, ["---"] * len(SEARCH_HEAD)]
        ranked = searched(pools, options.search)
        shown = [cells for i, cells in enumerate(ranked) if i < SHOWN or IN_USE in cells[-1]]
        text = markdown(lines + shown)
    else:
        section, lines = "cost-model", [HEAD, ["---", *["---:"] * (len(HEAD) - 1)]]
        reading = READING.format(kernels=len(pools), folds=FOLDS)
        text = f"{markdown(lines + compared(pools))}\n{reading}".rstrip()
    print(text)
    if not options.print:
        results.write(section, results.command("bench.cost_model"), text)


if __name__ == "__main__":
    main()
