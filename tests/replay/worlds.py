"""Recordings of sessions that were decided in memory."""

from dataclasses import replace
from pathlib import Path

from processors.behaviour import BEHAVIOUR
from processors.session import SessionDecider
from schemas.configuration import Limits
from schemas.envelope import Envelope, Versions
from schemas.ids import derived_id
from schemas.plain import from_plain
from streams.configuration.loading import configuration_facts
from streams.history.recording import Recorded, Recording
from tests.processors.world import World, configuration, obliging, plan_text, task
from topics.catalog import CONFIGURATION, topic_of

PLAN = plan_text(task("a"), task("b", needs=["a"]), task("c", needs=["a"]))
SHIPPED = Path(__file__).parent / f"behaviour_{BEHAVIOUR}.recording.avro"
"""What this behaviour decided; those of earlier ones stay beside it."""
EARLIER = Path(__file__).parent / "behaviour_1.recording.avro"


def world(seed: int = 0, limits: Limits | None = None) -> World:
    """Return a session whose configuration can be found by its hashes."""
    made = World(obliging(PLAN, tools=["look"]), seed=seed, limits=limits or Limits())
    plain = configuration(made.limits)
    hashes = {fact.kind.value: fact.content_hash for fact in configuration_facts(plain)}
    made.decider = SessionDecider(replace(plain, versions=_versions(hashes)))
    return made


def _versions(hashes: dict[str, str]) -> Versions:
    return from_plain(Versions, dict(hashes))


def recorded(made: World) -> Recording:
    """Record a session."""
    inputs = tuple(
        Recorded(topic=place.topic, partition=place.partition, offset=place.offset, event=event)
        for event, place in made.inputs
    )
    outputs = tuple(_output(number, event) for number, event in enumerate(made.events))
    facts = configuration_facts(made.decider.configuration)
    parts = tuple(
        Recorded(
            topic=CONFIGURATION.name,
            partition=0,
            offset=number,
            event=Envelope(
                event_id=derived_id("part", fact.kind), type=type(fact).__name__, producer="world", body=fact
            ),
        )
        for number, fact in enumerate(facts)
    )
    return Recording(session_id=made.session_id, inputs=inputs, outputs=outputs, configuration=parts)


def _output(number: int, event: Envelope) -> Recorded:
    return Recorded(topic=topic_of(event.body).name, partition=0, offset=number, event=event)
