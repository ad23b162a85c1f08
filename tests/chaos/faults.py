"""The schedule that a seed gives: pure, so that a seed repeats it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from streams.process.failpoints import NAMES, SINK_NAMES
from tests.chaos.kinds import KINDS, LINKS
from tests.chaos.links import Weather

POISONS: Final = ("text", "unknown_schema", "cut_off", "null", "no_key")
_FAILPOINTS: Final = {
    "worker": tuple(sorted(NAMES - SINK_NAMES)),
    "sink": tuple(sorted(SINK_NAMES)),
}
_NTH_MAX: Final = {"recovered": 6, "revoked": 1, "timer_published": 1}
ALONE: Final = ("worker_kill", "sink_kill", "kafka_kill", "postgres_kill")
"""Of these, every third one has the deployment for itself, so that recovery times say what they seem to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One fault of a schedule."""

    number: int
    kind: str
    target: str
    gap_s: float
    """After the fault before it began."""
    seconds: float
    """How long it lasts; 0: it is over at once."""
    detail: str = ""
    """Failpoint, weather, poison, or how many records."""
    alone: bool = False
    """It waits until the others are over, and others wait until it is."""


def plan(seed: int, faults: int, *, short: bool = False) -> tuple[Planned, ...]:
    """Return the schedule of a seed; every kind occurs, and failpoints take turns.

    Args:
        seed: the same gives the same.
        faults: how many on processes; the others come in proportion.
        short: leaves out what takes long.
    """
    chance = random.Random(seed)
    deck = _deck(faults, short=short)
    chance.shuffle(deck)
    turns = {name: list(points) for name, points in _FAILPOINTS.items()}
    for points in turns.values():
        chance.shuffle(points)
    seen: dict[str, int] = {}
    planned = []
    for number, name in enumerate(deck, 1):
        kind = KINDS[name]
        seen[name] = seen.get(name, 0) + 1
        planned.append(
            Planned(
                number=number,
                kind=name,
                target=kind.targets[seen[name] % len(kind.targets)]
                if name == "link"
                else chance.choice(kind.targets),
                gap_s=round(chance.uniform(0.2, 1.5) if short else chance.uniform(0.3, 4.0), 2),
                seconds=round(chance.uniform(*kind.seconds), 2),
                detail=_detail(chance, name, seen[name], turns),
                alone=not short and name in ALONE and seen[name] % 3 == 1,
            )
        )
    return tuple(planned)


def _deck(faults: int, *, short: bool) -> list[str]:
    """Return names of kinds, in proportion to their weights and each at least once."""
    weights = {kind.name: kind.weight_short if short else kind.weight for kind in KINDS.values()}
    share = faults / sum(weight for name, weight in weights.items() if KINDS[name].on_process)
    counts = {name: max(1, round(weight * share)) for name, weight in weights.items() if weight}
    deck = [name for name, count in counts.items() for _ in range(count)]
    return deck + ["worker_kill"] * (faults - sum(1 for name in deck if KINDS[name].on_process))


def _detail(chance: random.Random, kind: str, nth: int, turns: Mapping[str, Sequence[str]]) -> str:
    match kind:
        case "worker_failpoint" | "worker_zombie_at_failpoint" | "sink_failpoint":
            points = turns[kind.partition("_")[0]]
            point = points[nth % len(points)]
            return f"{point}:{chance.randint(1, _NTH_MAX.get(point, 4))}"
        case "link":
            weathers = [weather for weather in Weather if weather is not Weather.CLEAR]
            return str(weathers[nth // len(LINKS) % len(weathers)])
        case "model_misbehaves":
            return f"{chance.uniform(0.2, 0.7):.2f}"
        case "duplicate" | "replay":
            return str(chance.randint(1, 40))
        case "poison":
            return POISONS[nth % len(POISONS)]
        case _:
            return ""
