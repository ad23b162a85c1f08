"""Following one message to its answer: what the session tells of it, until it is settled."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected, RejectionCode
from schemas.events.deltas import ModelDeltaReceived
from schemas.events.outputs import (
    AnswerGiven,
    ApprovalRequested,
    ErrorReported,
    NoticeGiven,
    OutcomeAsked,
    ProgressReported,
    SessionEnded,
    TurnStarted,
)
from streams.client.client import Client, Received
from topics.catalog import DEAD_LETTERS, SESSION_DELTAS, SESSION_OUTPUTS, USER_INPUTS, Topic

Update = TurnStarted | ProgressReported | NoticeGiven | ModelDeltaReceived | ApprovalRequested | OutcomeAsked
Settled = AnswerGiven | ErrorReported | SessionEnded | RecordRejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something that the session said of the message; the last thing told is one of Settled."""

    fact: Update | Settled
    event: Envelope


async def ask(client: Client, message: Envelope, topic: Topic = USER_INPUTS) -> AsyncGenerator[Told, None]:
    """Post an input and tell what happens to it, until it is answered, refused or put aside.

    Raises:
        KafkaError: Kafka is away.
    """
    async with client.listening((SESSION_OUTPUTS, SESSION_DELTAS, DEAD_LETTERS)) as records:
        place = (topic.name, *await client.post(message, topic))
        async with aclosing(_follow(records, message, place)) as updates:
            async for update in updates:
                yield update
                if isinstance(update.fact, Settled):
                    return


async def _follow(
    records: AsyncIterator[Received], message: Envelope, place: tuple[str, int, int]
) -> AsyncGenerator[Told, None]:
    turn = 0
    seen: set[str] = set()
    async for received in records:
        event = received.event
        # A worker that was killed may publish again what it had published already.
        if event is None or event.event_id in seen:
            continue
        seen.add(event.event_id)
        fact = event.body
        if isinstance(fact, RecordRejected):
            is_at_place = fact.topic.endswith(place[0]) and (fact.partition, fact.offset) == place[1:]
            # Beyond the ingress it is told by its id, as when its session has ended long ago.
            is_ours = is_at_place or event.causation_id == message.event_id
            # What came of the message, such as a model's answer, can put the session aside as well.
            if is_ours or (fact.code == RejectionCode.QUARANTINED and event.session_id == message.session_id):
                yield Told(fact=fact, event=event)
        elif event.session_id == message.session_id:
            if isinstance(fact, TurnStarted) and fact.input_id == message.event_id:
                turn = fact.turn
            if _concerns(fact, message.event_id, turn):
                yield Told(fact=fact, event=event)  # type: ignore[arg-type]  # as `_concerns` has found


def _concerns(fact: object, input_id: str, turn: int) -> bool:
    match fact:
        case AnswerGiven() | ErrorReported() | TurnStarted() | NoticeGiven():
            return fact.input_id == input_id
        case ProgressReported():
            return fact.turn == turn
        case ApprovalRequested() | OutcomeAsked() | ModelDeltaReceived():
            return turn > 0
        case SessionEnded():
            # A closing session ends after its last answer, and an idle one has none to give; what comes later
            # is refused by name. Only a cancel, or an account without means, leaves the message unanswered.
            return fact.reason not in ("closed", "idle")
        case _:
            return False
