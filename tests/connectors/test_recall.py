"""What is found of a conversation's own past, and what a call of the tool tells of it."""

import pytest

from connectors.retrieval.past import PastText
from connectors.tools.recall import (
    PASSAGE_CHARACTERS_MAX,
    RESULTS_MAX,
    Piece,
    RecallConversation,
    before_now,
    best,
    in_order,
    weighed,
)
from connectors.tools.registry import ToolRegistry
from schemas.ports.tool import Tool, ToolError
from tests.connectors.tool_conformance import ToolConformance
from tests.connectors.twins import context

PLANTED = {
    3: ("My sailing boat is called Marlin, and she lies in berth 42.", "What is the name of my boat?"),
    17: ("Our deadline for the tax return is the 9th of March.", "When was the tax deadline again?"),
    44: ("Please call my daughter Ines, never by her full name.", "How should you call my daughter?"),
    101: ("Das Passwort der Werkstatt heißt Rotkehlchen.", "Wie heißt das Passwort der Werkstatt?"),
    250: ("The invoice number of the roof repair was RR-2219-B.", "invoice number for the roof repair"),
    399: ("Я переехал в Казань прошлым летом.", "Когда я переехал в Казань?"),
}
TOPICS = ("weather", "football", "recipes", "trains", "novels", "gardens", "films", "maps", "shoes", "clouds")


def recalled(query: str, texts: list[PastText], k: int, *, whole: bool = False) -> list[Piece]:
    return in_order(best(weighed(query, texts, whole=whole), k, whole=whole))


class FixedPast:
    """Has always the same past."""

    def __init__(self, texts: list[PastText]) -> None:
        self.texts_said = texts
        self.asked: list[tuple[str, str, str]] = []

    async def texts(self, *, tenant_id: str, user_id: str, session_id: str) -> list[PastText]:
        """Return it."""
        self.asked.append((tenant_id, user_id, session_id))
        return self.texts_said


def conversation(turns: int = 500) -> list[PastText]:
    """Return a long conversation, the latest first, in which some turns say what matters."""
    said = []
    for turn in range(turns, 0, -1):
        topic = TOPICS[turn % len(TOPICS)]
        text = PLANTED[turn][0] if turn in PLANTED else f"Tell me something new on {topic}, number {turn}."
        said.append(PastText(turn=turn, speaker="user", event_id=f"m{turn}", text=text))
        answer = f"On {topic} there is much to say: what you call it, its name, and when it was. " * 3
        said.append(PastText(turn=turn, speaker="answer", event_id=f"a{turn}", text=answer))
    return said


@pytest.mark.parametrize("turn", PLANTED)
def test_what_was_said_once_is_found_among_five_hundred_turns(turn: int) -> None:
    fact, question = PLANTED[turn]

    found = recalled(question, conversation(), 6)

    assert fact in [piece.text for piece in found]
    assert next(piece for piece in found if piece.text == fact).turn == turn


def test_a_question_that_was_asked_before_does_not_hide_its_answer() -> None:
    fact, question = PLANTED[3]
    asked = [
        PastText(turn=turn, speaker="user", event_id=f"m{turn}", text=question)
        for turn in range(520, 500, -1)
    ]

    found = recalled(question, [*asked, *conversation()], 6)

    assert fact in [piece.text for piece in found]


def test_a_fact_in_the_middle_of_a_long_text_is_found_with_its_surroundings_alone() -> None:
    filler = "This paragraph speaks of nothing in particular. " * 300
    text = f"{filler}The spare key hangs behind the blue door.\n{filler}"
    said = [PastText(turn=5, speaker="user", event_id="m5", text=text), *conversation(100)]

    (first, *_) = [piece for piece in recalled("Where does the spare key hang?", said, 6) if piece.turn == 5]

    assert "behind the blue door" in first.text
    assert len(first.text) <= PASSAGE_CHARACTERS_MAX


@pytest.mark.parametrize(
    "text", ["x" * 5_000, "字" * 5_000, "a b " * 2_000, "\n" * 3_000 + "end", "文。" * 3_000]
)
def test_any_long_text_is_split_without_loss_of_words(text: str) -> None:
    pieces = recalled("none", [PastText(turn=1, speaker="user", event_id="m1", text=text)], 10**6, whole=True)

    assert all(0 < len(piece.text) <= PASSAGE_CHARACTERS_MAX for piece in pieces)
    assert "".join("".join(piece.text.split()) for piece in pieces) == "".join(text.split())


def test_what_is_asked_now_is_not_found_in_itself() -> None:
    question = PLANTED[3][1]
    now = PastText(turn=501, speaker="user", event_id="m501", text=question)

    assert before_now([now, *conversation()]) == conversation()
    assert before_now(conversation()) == conversation()
    assert before_now([]) == before_now([now]) == []


def test_nothing_is_found_where_nothing_was_said_of_it() -> None:
    assert recalled("zeppelin", conversation(50), 6) == []
    assert recalled("the of and", conversation(50), 6) == []
    assert recalled("anything", [], 6) == []


class TestRecallConversation(ToolConformance):
    """The suite."""

    @pytest.fixture
    def tool(self) -> Tool:
        """The tool under test."""
        return RecallConversation(FixedPast(conversation()))

    @pytest.fixture
    def example(self) -> dict[str, object]:
        """Arguments that fit."""
        return {"query": "name of my boat", "k": 2}


async def test_the_tool_asks_for_the_session_of_the_call_alone_and_tells_turn_and_speaker() -> None:
    past = FixedPast(conversation())
    registry = ToolRegistry([RecallConversation(past)])

    result = await registry.invoke(
        "recall_conversation", '{"query": "name of my boat"}', context(tenant_id="t"), 1_000
    )

    assert past.asked == [("t", "user", "session")]
    said = result.result["said"]
    assert isinstance(said, list)
    assert {
        "citation": "turn 3 user#1",
        "turn": 3,
        "speaker": "user",
        "event_id": "m3",
        "text": PLANTED[3][0],
    } in said
    assert result.result["turns_searched"] == 500
    assert result.used_tokens == 0
    told = result.retrieval
    assert told is not None
    assert {one["citation"] for one in said} == {one.document for one in told.documents if one.used}
    assert 0 < told.context_tokens_after == sum(one.tokens for one in told.documents if one.used)
    assert told.context_tokens_before == sum(one.tokens for one in told.documents) > told.context_tokens_after
    assert (told.k_initial, told.k_rerank, told.query_embedding) == (24, 6, ())


async def test_a_turn_is_read_as_it_was() -> None:
    registry = ToolRegistry([RecallConversation(FixedPast(conversation()))])

    result = await registry.invoke(
        "recall_conversation", '{"query": "all of it", "turn": 17}', context(), 1_000
    )

    said = result.result["said"]
    assert isinstance(said, list)
    assert [(one["turn"], one["speaker"]) for one in said] == [(17, "user"), (17, "answer")]
    assert said[0]["text"] == PLANTED[17][0]


@pytest.mark.parametrize(
    "arguments",
    ["{}", '{"query": "  "}', '{"query": "a", "k": 0}', f'{{"query": "a", "k": {RESULTS_MAX + 1}}}',
     '{"query": "a", "session_id": "another"}', '{"query": "a", "turn": -1}'],
)  # fmt: skip
async def test_arguments_that_do_not_fit_are_refused(arguments: str) -> None:
    registry = ToolRegistry([RecallConversation(FixedPast([]))])

    with pytest.raises(ToolError) as refused:
        await registry.invoke("recall_conversation", arguments, context(), 1_000)

    assert refused.value.kind == "validation_error"


async def test_a_database_that_is_away_fails_the_call_which_may_be_repeated() -> None:
    class Away(FixedPast):
        async def texts(self, *, tenant_id: str, user_id: str, session_id: str) -> list[PastText]:
            raise ConnectionError("it is away")

    with pytest.raises(ToolError, match="cannot be searched") as failed:
        await RecallConversation(Away([])).run({"query": "boat"}, context())

    assert failed.value.retryable


async def test_what_came_over_is_found_beside_what_was_said_since_and_has_citations_of_its_own() -> None:
    there = [
        PastText(turn=0, number=number, speaker=speaker, event_id=f"v{number}", text=text)
        for number, speaker, text in (
            (2, "answer", "Marlin is a fine name."),
            (1, "user", "My boat is called Marlin."),
        )
    ]
    now = PastText(turn=1, speaker="user", event_id="m1", text="What is Marlin?")
    tool = RecallConversation(FixedPast([now, *there]))

    told = [
        (await tool.run({"query": "Marlin", **more}, context())).result
        for more in ({}, {"turn": 0}, {"turn": 1})
    ]

    for one in told[:2]:
        assert isinstance(one["said"], list)
        assert [said["citation"] for said in one["said"]] == ["imported 1 user#1", "imported 2 answer#1"]
        assert one["turns_searched"] == 0
    assert told[2]["said"] == []
