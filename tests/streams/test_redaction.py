"""No credential is produced: by what models and tools tell, by what people say, or as a dead letter."""

import json

import pytest

from schemas.envelope import Envelope, Fact
from schemas.events.dead_letters import RecordRejected
from schemas.events.deltas import ModelDeltaReceived, ToolDeltaReceived
from schemas.events.inputs import Attachment, FeedbackGiven, MessageReceived, Rating
from schemas.events.models import ModelCallCompleted, ModelCallFailed, ToolCallProposed
from schemas.events.tools import ToolCallCompleted, ToolCallFailed
from schemas.frozen import replace
from schemas.ports.chat import ProviderFailed
from schemas.ports.tool import ToolError
from tests.credentials import ALNUM, Maker
from tests.streams.scene import Scene, model_call, tool_call
from tests.streams.test_ingress_shell import ID, SESSION, taken
from tests.streams.twin import CODEC
from topics.catalog import DEAD_LETTERS, SESSION_INPUTS

TOKEN = "ghp_" + Maker(5).some(ALNUM, 36)
TOLD = "[redacted: github token]"


def said(body: Fact) -> Envelope:
    return Envelope(event_id=ID, session_id=SESSION, body=body)


@pytest.mark.parametrize("cut", [1, 3, 4, 20, 39])
async def test_what_a_model_streams_is_what_the_log_says_and_neither_has_a_credential(cut: int) -> None:
    scene = Scene()
    scene.model.pieces = ["Take ", TOKEN[:cut], TOKEN[cut:], ", it", " is new"]

    outcome = await scene.models.run(model_call(), 1)

    answer = outcome.events[0].body
    assert isinstance(answer, ModelCallCompleted)
    pieces = [one.event.body for one in scene.offers.records]
    told = [one for one in pieces if isinstance(one, ModelDeltaReceived)]
    assert "".join(one.text for one in told) == answer.text == f"Take {TOLD}, it is new"
    assert [one.index for one in told] == list(range(len(told)))


async def test_arguments_that_a_model_writes_have_none_and_are_counted_anew() -> None:
    scene = Scene()
    call = ToolCallProposed(
        tool_call_id="1", name="search", arguments_json=json.dumps({"q": TOKEN, TOKEN: 1}), arguments_tokens=3
    )
    scene.model.tool_calls = (call, replace(call, arguments_json='{"q": "1"}'))

    outcome = await scene.models.run(model_call(), 1)

    answer = outcome.events[0].body
    assert isinstance(answer, ModelCallCompleted)
    one, other = answer.tool_calls
    assert json.loads(one.arguments_json) == {"q": TOLD, TOLD: 1}
    assert (one.arguments_tokens, other.arguments_tokens) == (len(one.arguments_json), 3)


@pytest.mark.parametrize("fails", [False, True])
async def test_what_a_tool_tells_has_none(fails: bool) -> None:
    scene = Scene()
    scene.tools.result = {"found": [f"x={TOKEN}"], TOKEN: None}
    scene.tools.output = ["got ", TOKEN[:9], TOKEN[9:]]
    scene.tools.failure = ToolError("execution_error", f"refused: {TOKEN} " + "y" * 3_000) if fails else None

    outcome = await scene.toolbox.run(tool_call(), 1)

    body = outcome.events[0].body
    if isinstance(body, ToolCallCompleted):
        assert json.loads(body.result_json) == {"found": [f"x={TOLD}"], TOLD: None}
        assert body.result_tokens == len(body.result_json)
    else:
        assert isinstance(body, ToolCallFailed)
        assert body.message.startswith(f"refused: {TOLD}")
    pieces = [one.event.body for one in scene.offers.records]
    assert "".join(one.text for one in pieces if isinstance(one, ToolDeltaReceived)) == f"got {TOLD}"


async def test_what_a_provider_says_when_it_fails_has_none() -> None:
    scene = Scene()
    scene.model.failure = ProviderFailed("refused", f"Incorrect API key: {TOKEN}", retryable=False)

    outcome = await scene.models.run(model_call(), 1)

    body = outcome.events[0].body
    assert isinstance(body, ModelCallFailed)
    assert body.message == f"Incorrect API key: {TOLD}"


async def test_what_somebody_says_is_taken_in_without_and_counted_so() -> None:
    message = MessageReceived(
        text=f"my key is {TOKEN[:10]}\U000e0041{TOKEN[10:]}",
        attachments=(Attachment(name="a.txt", text=f"KEY={TOKEN}"),),
        metadata_json=json.dumps({"x": TOKEN}),
    )

    kafka = await taken(said(message), said(message))

    (first, again) = kafka.events(SESSION_INPUTS)
    assert first == again
    assert isinstance(first.body, MessageReceived)
    assert first.body.text == f"my key is {TOLD}"
    assert first.body.tokens == len(first.body.text.split())
    assert TOKEN not in repr(first.body)
    assert (first.event_id, first.session_id) == (ID, SESSION)


async def test_what_is_put_aside_has_asterisks_in_its_place_and_the_same_form() -> None:
    kafka = await taken(said(FeedbackGiven(answer_id=TOKEN, rating=Rating.GOOD, comment=f"x {TOKEN} y")))

    (letter,) = kafka.events(DEAD_LETTERS)
    assert isinstance(letter.body, RecordRejected)
    assert TOKEN.encode() not in (letter.body.value or b"")
    read = (await CODEC.decode(letter.body.value, ())).body
    assert isinstance(read, FeedbackGiven)
    assert read.comment == f"x {'*' * len(TOKEN)} y"


async def test_what_cannot_be_read_is_put_aside_without_too() -> None:
    kafka = await taken(said(MessageReceived(text="x")), value=json.dumps({"text": TOKEN}).encode())

    (letter,) = kafka.events(DEAD_LETTERS)
    assert isinstance(letter.body, RecordRejected)
    assert letter.body.value == json.dumps({"text": "*" * len(TOKEN)}).encode()


async def test_an_answer_brings_no_hidden_text_into_later_prompts() -> None:
    scene = Scene()
    scene.model.pieces = ["Do\U000e0041", "\U000e0042 so\u202e, \u0645\u06cc\u200c\u062e", "."]

    outcome = await scene.models.run(model_call(), 1)

    answer = outcome.events[0].body
    assert isinstance(answer, ModelCallCompleted)
    pieces = [one.event.body for one in scene.offers.records]
    told = "".join(one.text for one in pieces if isinstance(one, ModelDeltaReceived))
    assert told == answer.text == "Do so, \u0645\u06cc\u200c\u062e."
