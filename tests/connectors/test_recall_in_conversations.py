"""What was said in turn 3 is found in turn 400, where no summary kept it; a replay does not search again."""

import asyncio
import json
from dataclasses import dataclass, replace

from connectors.retrieval.past import PastText
from connectors.tools.recall import NAME, RecallConversation
from processors.session import SessionDecider
from schemas.events.inputs import MessageReceived
from schemas.events.models import CallPurpose, ModelCallRequested, ToolCallProposed
from schemas.events.outputs import AnswerGiven, TurnStarted
from schemas.events.retrieval import RetrievalMeasured
from schemas.events.tools import ToolCallCompleted, ToolCallRequested
from schemas.ports.tool import ToolContext
from tests.processors.conversations import Conversation
from tests.processors.world import (
    ModelOutcome,
    completed,
    configuration,
    decided_again,
    obliging,
    plan_text,
    small,
    task,
    tool_completed,
)

FACTS = {
    3: ("My sailing boat is called Marlin.", "What is my sailing boat called?"),
    90: ("The invoice of the roof repair was RR-2219-B.", "Which invoice was that of the roof repair?"),
    211: ("Ich wohne seit Mai in Bremen.", "Wo wohne ich seit Mai?"),
}
TURNS = 400
RICH = small(session_budget_tokens=10**9, session_budget_nanodollars=10**15)


@dataclass
class Past:
    """What was said in a world, as the event log has it."""

    world: Conversation
    searches: int = 0

    async def texts(self, *, tenant_id: str, user_id: str, session_id: str) -> list[PastText]:
        """Return it, the latest first."""
        assert (tenant_id, user_id, session_id) == ("default", "anonymous", self.world.session_id)
        self.searches += 1
        messages = {one.event_id: one.body for one, _ in self.world.inputs}
        said = []
        for event in self.world.events:
            match event.body:
                case TurnStarted():
                    message = messages[event.body.input_id]
                    assert isinstance(message, MessageReceived)
                    said.append(
                        PastText(
                            turn=event.body.turn,
                            speaker="user",
                            event_id=event.body.input_id,
                            text=message.text,
                        )
                    )
                case AnswerGiven():
                    said.append(
                        PastText(
                            turn=event.body.turn,
                            speaker="answer",
                            event_id=event.event_id,
                            text=event.body.text,
                        )
                    )
                case _:
                    continue
        return said[::-1]


@dataclass
class Remembering(Conversation):
    """A conversation whose summaries keep nothing, and whose worker looks for what it is asked."""

    question: str = ""

    def __post_init__(self) -> None:
        """Give the worker the tool."""
        super().__post_init__()
        self.past = Past(self)
        self.recall = RecallConversation(self.past)
        known = configuration(RICH, [self.recall.spec])
        worker = replace(known.agents["worker"], tools=(NAME,))
        self.decider = SessionDecider(replace(known, agents={**known.agents, "worker": worker}))
        inner = self.answer

        def answer(call: ModelCallRequested) -> ModelOutcome:
            outcome = inner(call)
            searched = any(message.role == "tool" for message in call.messages)
            if call.purpose is not CallPurpose.STEP or not self.question or searched:
                return outcome
            wanted = ToolCallProposed(
                tool_call_id=f"{call.call_id}-0",
                name=NAME,
                arguments_json=json.dumps({"query": self.question}),
            )
            return completed(call, "", wanted)

        self.answer = answer
        self.tool = self._recalled

    def _recalled(self, call: ToolCallRequested) -> ToolCallCompleted:
        context = ToolContext(
            session_id=self.session_id,
            tenant_id="default",
            user_id="anonymous",
            call_id=call.call_id,
            idempotency_key=call.idempotency_key,
            tokens_max=0,
            nanodollars_max=0,
        )
        found = asyncio.run(self.recall.run(json.loads(call.arguments_json), context))
        return replace(
            tool_completed(call),
            result_json=json.dumps(found.result),
            result_tokens=200,
            retrieval=found.retrieval,
        )


def test_what_was_said_in_turn_3_is_found_in_turn_400() -> None:
    def forgetting(call: ModelCallRequested, _prompt: str) -> str | None:
        return "Small talk." if call.purpose is CallPurpose.SUMMARIZE else None

    world = Remembering(obliging(""), limits=RICH, says=forgetting, plan=plan_text(task("a")))
    for number in range(1, TURNS):
        world.talk(
            FACTS[number][0] if number in FACTS else f"In turn {number} we talk of sails. " + "So on. " * 20
        )
    for fact, question in FACTS.values():
        world.question = question
        world.talk(question)

        planned = world.prompts[CallPurpose.PLAN][0][1]
        assert fact not in planned
        assert NAME in planned
        *_, (_, read) = world.prompts[CallPurpose.STEP]
        assert fact in read
        world.question = ""

    searches = world.past.searches
    assert searches == len(FACTS)
    measured = world.facts(RetrievalMeasured)
    assert [one.query for one in measured] == [question for _, question in FACTS.values()]
    for turn, one in zip(FACTS, measured, strict=True):
        assert f"turn {turn} user#1" in [found.document for found in one.documents if found.used]
    assert decided_again(world) == world.events
    assert world.past.searches == searches
