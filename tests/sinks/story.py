"""The log of one small session that answers one message by one task."""

from dataclasses import replace

from schemas.envelope import Envelope, Fact, Versions
from schemas.events.inputs import MessageReceived
from schemas.events.models import (
    CallPurpose,
    FinishReason,
    ModelCallCompleted,
    ModelCallRequested,
    UsageSource,
)
from schemas.events.outputs import AnswerGiven, AnswerReason, Citation, TurnStarted
from schemas.events.tasks import TaskCompleted
from sinks.writer import Slot, Writer
from tests.builders import task_created
from tests.projections.envelopes import CALL, ROOT, SESSION, TASK, event, event_id
from tests.sinks.records import taken
from topics.catalog import TOPICS, Topic, topic_of

MESSAGE, TURN, CREATED, ASKED, SAID, DONE, ANSWER, CONFIGURED = range(1, 9)


def story(session_id: str = SESSION, tenant_id: str = "acme") -> dict[int, Envelope]:
    """Return a session that answers one message by one task, as events by number."""

    def one(number: int, fact: Fact, cause: int | None, evidence: tuple[int, ...] = ()) -> Envelope:
        return event(
            fact,
            number,
            session_id=session_id,
            tenant_id=tenant_id,
            sequence=0 if number in (MESSAGE, SAID) else number,
            causation_id=None if cause is None else event_id(cause),
            evidence_ids=tuple(event_id(item) for item in evidence),
            versions=Versions(models="abc"),
        )

    created = replace(task_created(), task_id=TASK, parent_id=ROOT)
    asked = ModelCallRequested(
        call_id=CALL,
        task_id=TASK,
        turn=1,
        purpose=CallPurpose.STEP,
        agent="researcher",
        model="gpt-4o",
        messages=(),
        input_tokens_max=100,
        output_tokens_max=100,
        reserved_tokens=200,
        reserved_nanodollars=200,
        timeout_ms=1_000,
        attempts_max=1,
    )
    said = ModelCallCompleted(
        call_id=CALL,
        task_id=TASK,
        purpose=CallPurpose.STEP,
        agent="researcher",
        model="gpt-4o-2024-08-06",
        text="It is one.",
        finish_reason=FinishReason.STOP,
        input_tokens=10,
        output_tokens=4,
        usage_source=UsageSource.PROVIDER,
        cost_nanodollars=65,
        attempts=1,
        latency_ms=5,
    )
    done = TaskCompleted(task_id=TASK, actual_tokens=14, cost_nanodollars=65, steps=1, excerpt="It is one.")
    answer = AnswerGiven(
        turn=1,
        input_id=event_id(MESSAGE),
        task_id=ROOT,
        text="It is one. [1]",
        citations=(Citation(task_id=TASK, intent="Find it", number=1),),
        complete=True,
        reason=AnswerReason.ANSWERED,
        model="gpt-4o",
        local=False,
        tokens=14,
        cost_nanodollars=65,
    )
    return {
        MESSAGE: one(MESSAGE, MessageReceived(text="What is a sink?", tokens=5), None),
        TURN: one(TURN, TurnStarted(turn=1, input_id=event_id(MESSAGE), task_id=ROOT), MESSAGE),
        CREATED: one(CREATED, created, MESSAGE),
        ASKED: one(ASKED, asked, CREATED, (MESSAGE,)),
        SAID: one(SAID, said, ASKED),
        DONE: one(DONE, done, SAID),
        ANSWER: one(ANSWER, answer, DONE, (DONE, MESSAGE)),
    }


class Log:
    """What was written, topic by topic."""

    def __init__(self, writer: Writer) -> None:
        """Begin at the start of every topic."""
        self.writer = writer
        self.following: dict[Slot, int] = {(topic.name, 0): 0 for topic in TOPICS}

    async def add(self, envelope: Envelope, topic: Topic | None = None) -> None:
        """Write one event."""
        slot = ((topic or topic_of(envelope.body)).name, 0)
        one = await taken(topic or topic_of(envelope.body), envelope, self.following[slot])
        await self.writer.write([one.projected], self.following)
        self.following[slot] += 1
