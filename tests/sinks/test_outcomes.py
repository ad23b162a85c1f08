"""Calls with two outcomes, as `rebuild --verify` and `doctor` see them."""

from dataclasses import replace
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.embedded.stack import Endpoints
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected, RejectionCode
from schemas.events.models import ModelCallCompleted
from schemas.events.tools import ToolCallCompleted
from schemas.ids import derived_id
from sinks.outcomes import calls_with_several
from sinks.sink import SinkSettings
from tests.sinks.kafka import producing
from tests.sinks.programs import command_environment, run, run_program
from tests.sinks.running import logged, running, until
from tests.sinks.whole_session import whole_session


def first(events: list[Envelope], kind: type) -> Envelope:
    return next(event for event in events if isinstance(event.body, kind))


def forged(outcome: Envelope) -> Envelope:
    return replace(outcome, event_id=derived_id(outcome.event_id, "forged"), producer="mallory")


def refusal(event: Envelope) -> Envelope:
    body = RecordRejected(
        topic="model.results",
        partition=0,
        offset=1,
        key=None,
        value=None,
        headers=(),
        code=RejectionCode.UNEXPECTED_OUTCOME,
        reason="no call waits for it",
        shell="session",
    )
    return replace(
        event,
        event_id=derived_id(event.event_id, "letter"),
        type="RecordRejected",
        causation_id=event.event_id,
        sequence=0,
        body=body,
    )


async def filled(
    settings: SinkSettings, connection: AsyncConnection[TupleRow], events: list[Envelope], before: int = 0
) -> None:
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put(events)
    async with running(settings) as sink:
        await until(logged(connection, before + len(events)), sink)


async def finding_of(environment: dict[str, str]) -> dict[str, Any]:
    """Return what `doctor` says of outcomes."""
    _, told = await run_program(environment, "doctor", "--json")
    found: dict[str, Any] = next(one for one in told if one["check"] == "outcomes")
    return found


@pytest.mark.stack
@pytest.mark.parametrize("kind", [ModelCallCompleted, ToolCallCompleted])
async def test_two_outcomes_of_a_call_are_found_and_are_no_fault_once_one_of_them_was_put_aside(
    settings: SinkSettings, connection: AsyncConnection[TupleRow], endpoints: Endpoints, kind: type
) -> None:
    events = [*whole_session()]
    outcome = first(events, kind)
    assert isinstance(outcome.body, ModelCallCompleted | ToolCallCompleted)
    await filled(settings, connection, events)
    assert await calls_with_several(connection) == []
    environment = command_environment(settings, endpoints)

    await filled(settings, connection, [forged(outcome)], before=len(events))
    (several,) = await calls_with_several(connection)
    code, told = await run(environment, "--verify", "--json")
    finding = await finding_of(environment)
    await filled(settings, connection, [refusal(forged(outcome))], before=len(events) + 1)
    (explained,) = await calls_with_several(connection)
    code_after, _ = await run(environment, "--verify", "--json")
    finding_after = await finding_of(environment)

    assert str(several.call_id) == outcome.body.call_id
    assert (several.outcomes, several.put_aside, several.is_explained) == (2, 0, False)
    assert "mallory" in several.producers
    assert code == 1
    assert [one["call_id"] for one in told["compared"]["several_outcomes"]] == [outcome.body.call_id]
    assert not finding["ok"]
    assert outcome.body.call_id in finding["detail"]
    assert (explained.put_aside, explained.is_explained) == (1, True)
    assert code_after == 0
    assert finding_after["ok"]
