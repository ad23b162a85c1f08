"""`policy shadow` and `what-if`: what is told of decisions that other rules would have made otherwise."""

from collections.abc import AsyncIterator

from processors.policy.hindsight import review
from schemas.configuration import Policy, PolicyRule
from schemas.envelope import Envelope
from schemas.events.policies import Decision, PolicyDecided
from schemas.frozen import replace
from streams.cli.policy_hindsight import Review, differing
from streams.client.client import Received
from tests.processors.test_hindsight import ALL, decisions, lived, policy
from topics.catalog import POLICY_DECISIONS

NO_LOOK = policy(PolicyRule(name="no_look", decision="deny", reason="r", tools=("look",)), ALL)
DECIDED = decisions(lived(policy(ALL)))
"""Four calls of `look`, all allowed."""


async def read(*events: Envelope | None) -> AsyncIterator[Received]:
    for offset, event in enumerate(events):
        yield Received(
            topic=POLICY_DECISIONS,
            partition=0,
            offset=offset,
            key=None,
            event=event,
            fault="" if event is not None else "it is no Avro",
        )


async def told(
    *events: Envelope | None, rules: Policy = NO_LOOK, tenant: str | None = None, limit: int | None = None
) -> list[str]:
    found = []
    async for event, reviewed in differing(read(*events), rules, tenant=tenant, limit=limit):
        assert reviewed.other.rule == "no_look"
        found.append(event.event_id)
    return found


async def test_a_shadow_tells_what_differs_in_order_and_nothing_else() -> None:
    ids = [event.event_id for event in DECIDED]
    assert len(ids) == 4
    assert await told(*DECIDED) == ids
    assert await told(*DECIDED, rules=policy(ALL)) == []
    assert await told(None, *DECIDED[:2], None) == ids[:2]


async def test_a_shadow_keeps_to_a_tenant_and_a_number_of_decisions() -> None:
    first, second, *_ = DECIDED
    rival = replace(second, tenant_id="rival")
    assert await told(first, rival, tenant="rival") == [rival.event_id]
    assert await told(*DECIDED, limit=3) == [event.event_id for event in DECIDED[:3]]


def test_a_review_counts_what_differs_by_tool_agent_and_rule_and_what_cannot_be_judged() -> None:
    found = Review()
    for event in DECIDED:
        found.take(event, NO_LOOK)
    body = DECIDED[0].body
    assert isinstance(body, PolicyDecided)
    found.take(replace(DECIDED[0], body=replace(body, request_json="{}")), NO_LOOK)
    assert (found.decided, found.unjudged) == (4, 1)
    ((flip, count),) = found.flips.items()
    assert (flip.tool, flip.decision, flip.other_decision, count) == ("look", "allow", "deny", 4)
    assert found.stopped == set(found.calls)
    assert len(found.stopped) == 4

    first = review(DECIDED[0], NO_LOOK)
    assert first is not None
    assert first.decision is Decision.ALLOW
