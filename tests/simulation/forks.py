"""Forks as users begin them: of sessions that lived before the simulation, at any of their events."""

from dataclasses import replace
from functools import cache
from random import Random
from typing import Final

from schemas.envelope import Envelope
from schemas.events.inputs import ForkRequested, SessionForked
from streams.history.fork import ForkImpossible, ForkPoint, fork_point
from tests.processors.world import obliging
from tests.replay.worlds import PLAN, recorded, world

_ORIGINS: Final = 4


def fork_of(random: Random) -> ForkRequested:
    """Draw a past session and a point in it; where nothing was in progress it is asked something new."""
    point = random.choice(_points(random.randrange(_ORIGINS)))
    message = None if point.state.turn is not None else "please do more"
    return replace(
        point.requested(message=message),
        model=random.choice((None, None, "gpt-4o-mini")),
        budget_tokens=random.choice((None, None, 600, 6_000, 50_000)),
    )


async def folded(wanted: Envelope) -> SessionForked:
    """Begin a fork, as from the log."""
    request = wanted.body
    assert isinstance(request, ForkRequested)
    return _by_event()[request.origin_session_id, request.origin_event_id].forked(request)


@cache
def _by_event() -> dict[tuple[str, str], ForkPoint]:
    """Return every point, by session and event."""
    points = [point for seed in range(_ORIGINS) for point in _points(seed)]
    return {(point.state.session_id, point.event.event_id): point for point in points}


@cache
def _points(seed: int) -> tuple[ForkPoint, ...]:
    made = world(seed)
    made.answer = obliging(PLAN, score=0.4 if seed % 2 else 0.9, tools=["look", "guarded", "analyze"][:seed])
    made.say()
    made.run()
    recording = recorded(made)
    found = []
    for event in (*made.events, *(given for given, _ in made.inputs)):
        try:
            point = fork_point(recording, event.event_id)
        except ForkImpossible:
            continue  # a timer, say, that found nothing due
        found.append(point)
    return tuple(found)
