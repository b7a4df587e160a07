"""Records of strangers: whatever stands in them, they are asked for no more than they can tell."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from luthier.autotune.records.parse import parse_record
from luthier.autotune.records.record import Record, normal
from luthier.autotune.records.retention import best_of, is_stale, latest, winners
from luthier.autotune.records.sources import Sources
from luthier.autotune.records.store import Store
from luthier.autotune.search.model import CostModel, examples
from luthier.schedules import LuthierError, Tensor, Workload, node
from luthier.schedules.templates import registry

ROUNDS = 300
SLOWEST = 5.0  # seconds for a record, far beyond what any takes

IMAGE, OUT = Tensor((1, 14, 14, 32)), Tensor((1, 14, 14, 64))
ATTRS = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "groups": 1}
POOL = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
KERNELS = [
    Workload(
        (IMAGE, Tensor((64, 3, 3, 32)), Tensor((64,))),
        (False, True, True),
        (node("conv2d", (0, 1), OUT, **ATTRS), node("add", (3, 2), OUT), node("relu", (4,), OUT)),
    ),
    Workload(
        (Tensor((64, 128)), Tensor((128, 96))),
        (False, True),
        (node("matmul", (0, 1), Tensor((64, 96))),),
    ),
    Workload((IMAGE,), (False,), (node("max_pool2d", (0,), Tensor((1, 7, 7, 32)), **POOL),)),
    Workload((Tensor((8, 100)),), (False,), (node("softmax", (0,), Tensor((8, 100)), axis=1),)),
    Workload(
        (Tensor((2, 3, 4)),),
        (False,),
        (node("transpose", (0,), Tensor((4, 2, 3)), axes=(2, 0, 1)),),
    ),
]
NUMBERS = (0, -1, 1, 3, 1 << 20, 1 << 31, 1 << 62)
WORDS = ("add", "conv2d", "matmul", "softmax", "relax.argmax", "concat", "attention", "x", "")
SIZES = ("0", "1", "2", "3", "1000003", str((1 << 31) - 1), "999999999999999989")


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    yield path
    items: Any = data.items() if isinstance(data, dict) else ()
    for key, value in enumerate(data) if isinstance(data, list) else items:
        yield from places(value, (*path, key))


def forged(workload: Workload, rng: random.Random) -> dict[str, Any]:
    """Its JSON with one or two values that make no sense."""
    data: dict[str, Any] = json.loads(workload.text)
    for _ in range(rng.randrange(1, 3)):
        *path, last = rng.choice([p for p in places(data) if p])
        holder: Any = data
        for key in path:
            holder = holder[key]
        value = holder[last]
        if isinstance(value, str) and "[" in value:
            kind, _, sizes = value.rstrip("]").partition("[")
            changed = sizes.split(",")
            changed[rng.randrange(len(changed))] = rng.choice(SIZES)
            shape = rng.choice([changed, changed[:-1], [*changed, "3"]])
            holder[last] = f"{rng.choice([kind, 'int8', 'const bool'])}[{','.join(shape)}]"
        elif isinstance(value, str):
            holder[last] = rng.choice(WORDS)
        elif isinstance(value, int):
            holder[last] = rng.choice(NUMBERS)
        elif isinstance(value, list) and value:
            holder[last] = rng.choice([value[:-1], [*value, value[0]]])
        elif isinstance(value, dict) and value:
            del value[rng.choice(sorted(value))]
    return data


@pytest.fixture
def forgeries(make_record, target) -> list[Record]:
    """Records whose workloads can be read, though no frontend makes such."""
    rng = random.Random(7)
    found = []
    while len(found) < ROUNDS:
        workload = rng.choice(KERNELS)
        schedule = normal(registry.default(workload, target))
        try:
            strange = Workload.from_json(forged(workload, rng))
        except LuthierError:
            continue
        found.append(replace(make_record(of=strange), schedule=schedule))
    return found


@pytest.mark.slow
def test_workloads_that_make_no_sense_are_never_fatal(forgeries, target):
    for record in forgeries:
        begin = time.monotonic()
        assert parse_record(record.line) == record
        sources = Sources(Store.in_memory("own"), [Store.in_memory("pack", [record])], target)
        choice = sources.best(record.workload)
        assert choice is None or choice.record == record
        assert is_stale(record) in (True, False)
        assert winners([record], 1) == [record]
        model = CostModel()
        model.fit([examples({record.schedule: record})])
        assert time.monotonic() - begin < SLOWEST


def test_many_of_them_are_like_any_records(forgeries):
    store = Store.in_memory("pack", forgeries)
    assert store.count() == len({r.hash for r in forgeries})
    assert len(latest(forgeries)) == len(best_of(forgeries)) > ROUNDS / 2


def test_knobs_outside_their_space_are_refused(make_record, target):
    workload = KERNELS[1]
    fine = normal(registry.default(workload, target))
    for name, value in (("rows", 1000), ("vectors", "many"), ("order", "sideways"), ("x", 1)):
        knobs = tuple(sorted({**dict(fine.knobs), name: value}.items()))
        record = replace(make_record(of=workload), schedule=replace(fine, knobs=knobs))
        sources = Sources(Store.in_memory("own", [record]), [], target)
        assert sources.best(workload) is None
        assert sources.hints(workload) == []
        assert is_stale(record)
