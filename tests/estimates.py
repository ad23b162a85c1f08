"""How far the estimates of tasks are off what the tasks used."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.envelope import Envelope
from schemas.events.tasks import CallRetried, TaskCompleted, TaskCreated, TaskRetried


@dataclass(frozen=True, slots=True, kw_only=True)
class Off:
    """What one task was expected to use, and what it used."""

    agent: str
    estimated: int
    actual: int
    tried_again: bool = False
    """Whether it, or a call of it, failed before: what that used counts too, and no estimate knows of it."""

    @property
    def error(self) -> float:
        """Return how far the estimate is off, as a share of what was used."""
        return abs(self.estimated - self.actual) / self.actual


def offs(events: Iterable[Envelope]) -> list[Off]:
    """Return the tasks of plans that ended well, each once, of events in any order."""
    created: dict[str, TaskCreated] = {}
    ended: dict[str, TaskCompleted] = {}
    tried_again = set()
    for event in events:
        match event.body:
            case TaskCreated() as body:
                created[body.task_id] = body
            case TaskCompleted() as body:
                ended[body.task_id] = body
            case TaskRetried() | CallRetried() as body:
                tried_again.add(body.task_id)
            case _:
                pass
    return [
        Off(
            agent=created[one.task_id].agent,
            estimated=created[one.task_id].estimated_tokens,
            actual=one.actual_tokens,
            tried_again=one.task_id in tried_again,
        )
        for one in ended.values()
        if one.actual_tokens > 0 and created[one.task_id].plan_id is not None
    ]


def told(found: Sequence[Off]) -> str:
    """Say by agent how many tasks there were and how far off the estimates, and in all."""
    parts = [_told(agent, [one for one in found if one.agent == agent]) for agent in _agents(found)]
    return "; ".join([*parts, _told("all", found)])


def _agents(found: Sequence[Off]) -> list[str]:
    return sorted({one.agent for one in found})


def _told(name: str, found: Sequence[Off]) -> str:
    if not found:
        return f"{name}: no tasks"
    median = statistics.median(one.error for one in found)
    within = sum(one.error <= 0.5 for one in found) / len(found)
    return (
        f"{name}: {len(found)} tasks, off by {median:.0%} in the median, {within:.0%} of them by at most half"
    )
