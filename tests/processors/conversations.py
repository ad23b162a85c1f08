"""Conversations whose models read what they are sent: texts are looked up as the model shell does."""

from collections.abc import Callable
from dataclasses import dataclass, field

from processors.prompts import both_ends
from schemas.envelope import Envelope
from schemas.events.inputs import ImportedText, MessageReceived, SessionImported
from schemas.events.models import CallPurpose, ModelCallCompleted, ModelCallRequested, PromptMessage
from schemas.events.tools import ToolCallCompleted
from schemas.ids import derived_id
from tests.processors.world import World, completed, obliging, plan_text, task
from topics.catalog import SESSION_IMPORTS

ALONE = plan_text(task("a", agent="writer"))


def read(world: "Conversation", message: PromptMessage) -> str:
    """Return the text of a prompt's message."""
    text = message.text or ""
    if message.source is None:
        return text
    if message.source.topic == SESSION_IMPORTS.name:
        return text + both_ends(world.imported[message.source.offset], message.characters_max)
    # The place in this world is that in the list of its inputs.
    body = world.inputs[message.source.offset][0].body
    match body:
        case MessageReceived() | ModelCallCompleted():
            return text + both_ends(body.text, message.characters_max)
        case ToolCallCompleted():
            return text + body.result_json
        case _:
            raise AssertionError(f"a prompt refers to a {type(body).__name__}")


@dataclass
class Conversation(World):
    """A session in which somebody talks for long; what came out of old turns is dropped on the way."""

    plan: str = ALONE
    says: Callable[[ModelCallRequested, str], str | None] = lambda _call, _prompt: None
    """What a model answers to a prompt that it reads; None: as an obliging one does."""
    prompts: dict[CallPurpose, list[tuple[ModelCallRequested, str]]] = field(default_factory=dict)
    """Of the latest turn."""
    imported: list[str] = field(default_factory=list)
    """What was said in V1, by its place on the topic of imports."""

    def __post_init__(self) -> None:
        super().__post_init__()
        inner = obliging(self.plan)

        def answer(call: ModelCallRequested) -> ModelCallCompleted:
            prompt = "\n\n".join(read(self, message) for message in call.messages)
            self.prompts.setdefault(call.purpose, []).append((call, prompt))
            said = self.says(call, prompt)
            outcome = inner(call)
            assert isinstance(outcome, ModelCallCompleted)
            return outcome if said is None else completed(call, said)

        self.answer = answer

    def came_over(
        self, *said: tuple[str, str], sender: tuple[str, str] = ("default", "anonymous"), messages: int = 0
    ) -> Envelope:
        """Tell the session what was said in V1, as the ingress shell does."""
        told = tuple(
            ImportedText(
                role=role,
                partition=0,
                offset=len(self.imported) + number,
                event_id=derived_id(self.session_id, "said", str(number)),
                tokens=len(text),
                characters=len(text),
            )
            for number, (role, text) in enumerate(said)
        )
        self.imported += [text for _, text in said]
        fact = SessionImported(origin="old", title="Old", messages=messages or len(said), told=told)
        return self.post(fact, input_id=derived_id(self.session_id, "imported"), sender=sender)

    def talk(self, text: str) -> None:
        """Take one whole turn."""
        self.prompts.clear()
        self.say(text)
        self.run()
        assert self.state.turn is None
