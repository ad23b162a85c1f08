"""Forks as users begin them: of sessions that lived before the simulation, at any of their events."""

from dataclasses import replace
from functools import cache
from random import Random
from typing import Final

from schemas.events.inputs import SessionForked
from streams.history.fork import ForkImpossible, fork_point
from tests.processors.world import obliging
from tests.replay.worlds import PLAN, recorded, world

_ORIGINS: Final = 4


def fork_of(random: Random) -> SessionForked:
    """Draw a past session and a point in it; where nothing was in progress it is asked something new."""
    points = _points(random.randrange(_ORIGINS))
    fork = random.choice(points)
    return replace(
        fork,
        model=random.choice((None, None, "gpt-4o-mini")),
        budget_tokens=random.choice((None, None, 600, 6_000, 50_000)),
    )


@cache
def _points(seed: int) -> tuple[SessionForked, ...]:
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
        in_progress = point.state.turn is not None
        found.append(point.forked(message=None if in_progress else "please do more"))
    return tuple(found)
