"""A worker that is killed while a summary is written: no turn is lost, and none is summed up twice."""

from dataclasses import dataclass, field

import pytest

from connectors.local_model.faults import Fault, FaultScript, RequestSeen
from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged
from schemas.events.inputs import MessageReceived
from schemas.events.models import CallPurpose, ModelCallCompleted, ModelCallFailed, ModelCallRequested
from schemas.ids import derived_id
from tests.streams.real_scene import Scene
from topics.catalog import BUDGET_EVENTS, MODEL_CALLS, MODEL_RESULTS

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(240)]

FACT = "Please remember that the boat of my sister is called Marlin."
SMALL_TALK = "We talk of the weather and of what there is to eat, as people do who have time. " * 4


@dataclass
class Listening:
    """Notes what the model is sent, and never answers the first request for a summary."""

    seen: list[RequestSeen] = field(default_factory=list)
    script: FaultScript = field(default_factory=lambda: FaultScript([Fault(kind="hang", role="summarizer")]))

    def __call__(self, request: RequestSeen) -> Fault | None:
        """Note a request, and tell what meets it."""
        self.seen.append(request)
        return self.script(request)

    def of(self, role: str) -> list[str]:
        """Return what was sent to a role."""
        return [request.text for request in self.seen if request.role == role]


def text_of(number: int) -> str:
    return FACT if number == 3 else f"This is message {number}. {SMALL_TALK}"


def said(number: int) -> Envelope:
    return Envelope(
        event_id=derived_id("input", "talk", str(number)),
        session_id=derived_id("session", "talk"),
        body=MessageReceived(text=text_of(number), agent="writer"),
    )


async def test_a_worker_killed_while_a_summary_is_written_loses_no_turn_and_sums_up_none_twice(
    scene: Scene,
) -> None:
    heard = Listening()
    scene.model.set_faults(heard)
    worker = scene.worker()
    await scene.ready(worker)
    turns = 0

    async def talk() -> None:
        nonlocal turns
        turns += 1
        await scene.send(said(turns))
        await scene.answers(turns)

    async def is_asked() -> bool:
        return bool(heard.of("summarizer"))

    while not await summaries_of(scene):
        await talk()
    await scene.until(is_asked)
    await worker.killed()
    worker = scene.worker()
    await scene.ready(worker)
    while len(heard.of("summarizer")) < 3:
        await talk()
    await talk()

    async def is_settled() -> bool:
        charged = {
            one.body.reservation_id
            for one in await scene.events(BUDGET_EVENTS)
            if isinstance(one.body, BudgetCharged)
        }
        return charged >= {one.call_id for one in await summaries_of(scene)}

    await scene.until(is_settled)
    calls = await summaries_of(scene)
    outcomes = {
        one.body.call_id: one.body
        for one in await scene.events(MODEL_RESULTS)
        if isinstance(one.body, ModelCallCompleted | ModelCallFailed)
    }
    first, *others = [outcomes[call.call_id] for call in calls]
    assert isinstance(first, ModelCallFailed)
    assert first.maybe_billed
    assert [type(one) for one in others] == [ModelCallCompleted] * len(others)
    written = heard.of("summarizer")[1:]
    times = [
        sum(f"The user said:\n{text_of(number)}" in prompt for prompt in written)
        for number in range(1, turns)
    ]
    summed = times.index(0)
    assert summed > 3
    assert times == [1] * summed + [0] * (len(times) - summed)
    assert "Marlin" in heard.of("agent writer")[-1]
    await scene.assert_sequences_sound()


async def summaries_of(scene: Scene) -> list[ModelCallRequested]:
    """Return the calls for summaries, in their order; what a kill had published again is one call."""
    asked = [one.body for one in await scene.events(MODEL_CALLS)]
    of_summaries = [
        one for one in asked if isinstance(one, ModelCallRequested) and one.purpose is CallPurpose.SUMMARIZE
    ]
    return list({one.call_id: one for one in of_summaries}.values())
