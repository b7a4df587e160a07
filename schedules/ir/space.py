"""Schedules and the spaces they come from: named knobs with few choices each."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ScheduleError

Choice = int | str
Config = Mapping[str, Choice]


@dataclass(frozen=True)
class Schedule:
    """How a template makes a kernel of a workload. This is what a record keeps.

    ``version`` rises when the template changes what its knobs mean.
    """

    template: str
    version: int
    knobs: tuple[tuple[str, Choice], ...]

    def __getitem__(self, name: str) -> Choice:
        return dict(self.knobs)[name]

    def __str__(self) -> str:
        knobs = " ".join(f"{k}={v}" for k, v in self.knobs)
        return f"{self.template}@{self.version} {knobs}".rstrip()

    def to_json(self) -> dict[str, Any]:
        """The readable form that records and manifests carry."""
        return {"template": self.template, "version": self.version, "knobs": dict(self.knobs)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Schedule:
        """Read ``to_json``'s form from untrusted data; raises ScheduleError."""
        try:
            template, version = data["template"], data["version"]
            knobs = tuple((str(k), v) for k, v in data["knobs"].items())
        except (KeyError, TypeError, AttributeError) as error:
            raise ScheduleError(f"malformed schedule: {error!r:.200}") from error
        if not isinstance(template, str) or type(version) is not int:
            raise ScheduleError("a schedule has a template's name and an integer version")
        if not all(type(v) in (int, str) for _, v in knobs):
            raise ScheduleError("a knob's value is an integer or a string")
        return Schedule(template, version, knobs)


@dataclass(frozen=True)
class Knob:
    """A named choice; ``doc`` says what it means."""

    name: str
    choices: tuple[Choice, ...]
    doc: str


@dataclass(frozen=True)
class Space:
    """Every schedule that one template offers for one workload on one target.

    ``valid`` says which combinations of choices make sense (fit the registers, say).
    """

    template: str
    version: int
    knobs: tuple[Knob, ...]
    default: Config
    valid: Callable[[Config], bool] = lambda config: True

    @property
    def upper_size(self) -> int:
        """Number of combinations, invalid ones included."""
        return math.prod(len(k.choices) for k in self.knobs)

    def schedule(self, config: Config) -> Schedule:
        """The schedule of a configuration; raises ScheduleError where it is not in the space."""
        if set(config) != {k.name for k in self.knobs}:
            raise ScheduleError(f"{self.template} has the knobs {[k.name for k in self.knobs]}")
        for knob in self.knobs:
            if config[knob.name] not in knob.choices:
                raise ScheduleError(
                    f"{self.template}: {knob.name}={config[knob.name]!r} is none of {knob.choices}"
                )
        if not self.valid(config):
            raise ScheduleError(f"{self.template}: the knobs {dict(config)} do not go together")
        ordered = tuple((k.name, config[k.name]) for k in self.knobs)
        return Schedule(self.template, self.version, ordered)

    def default_schedule(self) -> Schedule:
        """What the template's analytic model picks without measuring."""
        return self.schedule(self.default)

    def __iter__(self) -> Iterator[Schedule]:
        """All valid schedules, in the knobs' order."""
        names = [k.name for k in self.knobs]
        for values in itertools.product(*(k.choices for k in self.knobs)):
            if self.valid(dict(zip(names, values, strict=True))):
                yield Schedule(self.template, self.version, tuple(zip(names, values, strict=True)))

    def sample(self, rng: random.Random) -> Schedule:
        """A random valid schedule (the default after a thousand invalid draws)."""
        for _ in range(1000):
            config = {k.name: rng.choice(k.choices) for k in self.knobs}
            if self.valid(config):
                return self.schedule(config)
        return self.default_schedule()

    def nearest(self, config: Config) -> Schedule:
        """The valid schedule that is most like a configuration of another space.

        Knobs keep their value or take the nearest choice, numbers by their ratio; as few as need be
        take the default's.
        """
        close = {k.name: _nearest(k, config.get(k.name), self.default[k.name]) for k in self.knobs}
        sizes = range(len(self.knobs) + 1)
        replaced = itertools.chain.from_iterable(itertools.combinations(close, n) for n in sizes)
        tries = ({**close, **{name: self.default[name] for name in names}} for names in replaced)
        return self.schedule(next(found for found in tries if self.valid(found)))

    def neighbours(self, schedule: Schedule) -> Iterator[Schedule]:
        """Valid schedules that differ from ``schedule`` in one knob."""
        config = dict(schedule.knobs)
        for knob in self.knobs:
            for choice in knob.choices:
                changed = {**config, knob.name: choice}
                if choice != config[knob.name] and self.valid(changed):
                    yield self.schedule(changed)


def _nearest(knob: Knob, wanted: Choice | None, default: Choice) -> Choice:
    if wanted in knob.choices:
        return wanted
    numbers = [choice for choice in knob.choices if isinstance(choice, int)]
    if not isinstance(wanted, int) or not numbers:
        return default
    size = math.log(1 + abs(wanted))
    return min(numbers, key=lambda choice: abs(math.log(1 + abs(choice)) - size))
