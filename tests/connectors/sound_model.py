"""A provider that passes every question of `cartrita doctor provider`."""

import json

from schemas.configuration import ChatModel
from schemas.frozen import replace
from tests.connectors.families import answer_of
from tests.connectors.quirks import Answer, Call, Sent, sound
from tests.connectors.quirky import Body

CHAT = ChatModel(
    name="gpt-4o-mini",
    tier="standard",
    input_nanodollars=1,
    output_nanodollars=1,
    context_tokens=8_000,
    encoding="o200k_base",
)


def answer_to(body: Body) -> Answer:
    """Answer the examination as a sound model does."""
    messages = json.dumps(body["messages"])
    answer = answer_of(body)
    if "Repeat this" in messages:
        return Answer(text="one two three", reason="length")
    if answer.calls:
        both = (Call(id="aB3dE6gH9", name="population_of", arguments='{"city": "Lima"}'),) * 2
        second = replace(both[0], id="bC4eF7hJ0", name="area_of")
        return Answer(calls=(both[0], second) if "area_of" in messages else both[:1])
    text = '{"answer": "yes"}' if "JSON" in messages else "An apple is a fruit."
    return Answer(text=text, usage={"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25})


def sound_model(body: Body) -> Sent:
    return sound(answer_to(body))
