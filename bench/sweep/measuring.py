"""A point of the sweep measured: ours and the peers in turns, through loops in C."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import onnx

import luthier
from bench.roofline import Limits
from bench.sweep.point import Point
from bench.turns import (
    SEED,
    Arrays,
    Contender,
    Entry,
    in_turns,
)
from luthier.deploy import Manifest, read_manifest
from luthier.inputs.samples import random_inputs

OURS, PEERS = "luthier", ("onnxruntime", "openvino")
ROUNDS, SECONDS = 5, 0.06
_RENEWED = 40  # models, after which a process is started anew: what an engine keeps adds up


@dataclass(frozen=True)
class Outcome:
    """Seconds of ours (medians), each peer's over ours, what the machine's limits allow.

    ``failures`` says by label why one is not there; ``build`` are the seconds of our build.
    """

    family: str
    name: str
    threads: int
    seconds: float
    ratios: Mapping[str, float]
    floor: float
    build: float
    failures: Mapping[str, str]

    @property
    def best(self) -> float:
        """The best peer's time over ours; 0 where ours fails, infinite where all peers do."""
        if OURS in self.failures:
            return 0
        return min(self.ratios.values(), default=math.inf)

    @property
    def of_limit(self) -> float:
        """Above 1 where data come from the caches."""
        return self.floor / self.seconds if self.seconds else 0

    def to_json(self) -> str:
        """A line of a file of outcomes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Outcome:
        """Of ``to_json``."""
        return cls(**json.loads(line))


class Bench:
    """Engines that wait for points; a context, which ends their processes."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._contenders: dict[str, Contender] = {}
        self._loaded = 0

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        self._folder.cleanup()

    def measure(self, point: Point, limits: Limits, rounds: int = ROUNDS) -> Outcome:
        """With as many threads as the limits are of, and default schedules."""
        folder, threads = Path(self._folder.name), limits.threads
        model = point.model()
        path, built = folder / "point.onnx", folder / "built"
        onnx.save(model, path)
        nothing = dict[str, float]()
        start = time.perf_counter()
        try:
            luthier.build(path, built, log=None, threads=threads)
        except luthier.LuthierError as error:
            failures = {OURS: str(error)}
            return Outcome(point.family, point.name, threads, 0, nothing, 0, 0, failures)
        build = time.perf_counter() - start
        entries = [Entry(OURS, "luthier_loop", built)]
        entries += [Entry(peer, f"{peer}_loop", path) for peer in PEERS]
        floor = least_seconds(read_manifest(built), limits)
        try:
            row = in_turns(
                point.name, threads, entries, self._ready(), _inputs(point, model), rounds, folder,
                SECONDS, point.alike,
            )  # fmt: skip
        except (ValueError, RuntimeError) as error:
            self._end()
            failures = {OURS: str(error)}
            return Outcome(point.family, point.name, threads, 0, nothing, floor, build, failures)
        ratios = {p: row.ratios(p, OURS)[1] for p in PEERS if p in row.turns}
        seconds = row.milliseconds(OURS) / 1e3
        return Outcome(
            point.family, point.name, threads, seconds, ratios, floor, build, row.failures
        )

    def _ready(self) -> Mapping[str, Contender]:
        """The engines, each of which can load a model."""
        if self._loaded >= _RENEWED:
            self._end()
        self._loaded += 1
        for label in (OURS, *PEERS):
            if label not in self._contenders or not self._contenders[label].alive:
                self._contenders[label] = Contender(f"{label}_loop", Path(self._folder.name))
        return self._contenders

    def _end(self) -> None:
        for contender in self._contenders.values():
            with suppress(OSError):
                contender.close()
        self._contenders, self._loaded = {}, 0


def _inputs(point: Point, model: onnx.ModelProto) -> Arrays:
    inputs = random_inputs(model, SEED)
    if point.positive:
        return {name: _between(array) for name, array in inputs.items()}
    return inputs


def _between(array: Any) -> Any:
    """Of the same type, in (0, 1) where it has fractions: where every function is defined."""
    if array.dtype.kind != "f":
        return array
    rng = np.random.default_rng(SEED)
    return rng.uniform(0.05, 0.95, array.shape).astype(array.dtype)


def least_seconds(manifest: Manifest, limits: Limits) -> float:
    """For the operations (convolutions by the direct algorithm) or for inputs, weights and outputs
    once, whichever takes longer."""
    ports = (*manifest.inputs, *manifest.outputs)
    moved = sum(port.tensor.nbytes for port in ports) + manifest.weight_bytes
    return max(limits.arithmetic(manifest.kernels), moved / limits.gbytes_per_s / 1e9)
