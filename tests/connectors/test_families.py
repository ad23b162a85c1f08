"""Each known family: asked by its profile, and by the default, which is put otherwise until it fits."""

from itertools import pairwise

import pytest

from connectors.models.chat import DEFAULT_PARAMETERS, OpenAIModel
from schemas.configuration import RequestParameters
from schemas.events.models import ToolCallProposed
from schemas.frozen import replace
from schemas.ports.chat import ChatAnswer, ChatMessage, ConnectorError, RequestInvalid
from streams.configuration.loading import load_profiles
from tests.connectors.families import CALLS, FAMILIES, JSON, TEXT, refused
from tests.connectors.model_conformance import SEARCH, request, system, user
from tests.connectors.quirks import Sent
from tests.connectors.quirky import Body, asking

PROFILES = load_profiles()
SCHEMA = '{"type": "object", "properties": {"score": {"type": "number"}}}'


async def converse(model: OpenAIModel) -> tuple[ChatAnswer, ChatAnswer, ChatAnswer, ChatAnswer]:
    """Ask for JSON, for its repair, for tools, and for the answer from their results."""
    rules = (system("Answer with JSON alone."), user("How good is it?"))
    rated = await model.complete(replace(request(*rules), json_mode=True, json_schema=SCHEMA))
    repair = (*rules, ChatMessage(role="assistant", text="nine"), user("Answer with JSON."))
    repaired = await model.complete(replace(request(*repair), json_mode=True, json_schema=SCHEMA))
    asked = (system("Search."), user("How many?"))
    called = await model.complete(request(*asked, tools=(SEARCH,)))
    told = ChatMessage(
        role="assistant",
        text=called.text,
        tool_calls=called.tool_calls,
        provider_state_json=called.provider_state_json,
    )
    results = [ChatMessage(role="tool", text="42", tool_call_id=c.tool_call_id) for c in called.tool_calls]
    answered = await model.complete(request(*asked, told, *results, tools=(SEARCH,)))
    return rated, repaired, called, answered


def check(answers: tuple[ChatAnswer, ChatAnswer, ChatAnswer, ChatAnswer]) -> None:
    rated, repaired, called, answered = answers
    assert (rated.text, repaired.text, answered.text) == (JSON.text, JSON.text, TEXT.text)
    assert [(c.name, c.arguments_json) for c in called.tool_calls] == [(c.name, c.arguments) for c in CALLS]


@pytest.mark.parametrize("family", PROFILES)
async def test_a_family_refuses_nothing_of_its_profile(family: str) -> None:
    async with asking(FAMILIES[family], parameters=PROFILES[family].chat) as (model, quirky, _):
        check(await converse(model))

        expected = 5 if family == "deepseek" else 4
        assert len(quirky.asked) == expected


@pytest.mark.parametrize("family", PROFILES)
async def test_a_family_is_understood_without_its_profile_too(family: str) -> None:
    async with asking(FAMILIES[family]) as (model, quirky, _):
        check(await converse(model))
        asked = len(quirky.asked)
        check(await converse(model))

        # What was learnt from the first refusals holds from then on.
        assert len(quirky.asked) == asked + 4


def test_every_profile_is_tried_here() -> None:
    assert set(FAMILIES) == set(PROFILES)


@pytest.mark.parametrize("family", ["gemini", "mistral", "deepseek"])
async def test_calls_of_another_model_are_taken_as_well(family: str) -> None:
    others = ToolCallProposed(
        tool_call_id="cD5fG8iK1",
        name="search_documents",
        arguments_json="{}",
        provider_state_json='{"whose": "another"}' if family == "mistral" else None,
    )
    told = ChatMessage(role="assistant", text="", tool_calls=(others,), provider_state_json='{"other": 1}')
    result = ChatMessage(role="tool", text="42", tool_call_id=others.tool_call_id)

    async with asking(FAMILIES[family], parameters=PROFILES[family].chat) as (model, _, _):
        answer = await model.complete(request(user("How many?"), told, result, tools=(SEARCH,)))

    assert answer.text == TEXT.text


# What a request says.


async def sent_by(parameters: RequestParameters, **changes: object) -> Body:
    asked = replace(request(user("Rate it."), tools=(SEARCH,)), **changes)  # type: ignore[arg-type]  # of a request
    async with asking(FAMILIES["openai"], parameters=parameters) as (model, quirky, _):
        await model.complete(asked)
    return quirky.asked[0]


@pytest.mark.parametrize(
    ("parameters", "present", "absent"),
    [
        (RequestParameters(), {"max_tokens", "temperature", "stream_options"}, {"tool_choice"}),
        (
            RequestParameters(tokens_max_field="max_completion_tokens"),
            {"max_completion_tokens"},
            {"max_tokens"},
        ),
        (RequestParameters(temperature=False), {"max_tokens"}, {"temperature"}),
        (RequestParameters(stream_usage=False), {"stream"}, {"stream_options"}),
        (RequestParameters(stream=False), {"stream"}, {"stream_options"}),
        (RequestParameters(tool_choice="auto"), {"tool_choice"}, {"parallel_tool_calls"}),
        (RequestParameters(parallel_tool_calls=False), {"parallel_tool_calls"}, {"tool_choice"}),
        (RequestParameters(extra_body_json='{"reasoning_effort": "low"}'), {"reasoning_effort"}, set()),
    ],
)
async def test_a_request_says_what_its_models_parameters_say(
    parameters: RequestParameters, present: set[str], absent: set[str]
) -> None:
    body = await sent_by(parameters)

    assert present <= set(body)
    assert not absent & set(body)


@pytest.mark.parametrize(
    ("response_format", "schema", "sent"),
    [
        ("json_schema", SCHEMA, "json_schema"),
        ("json_schema", None, "json_object"),
        ("json_object", SCHEMA, "json_object"),
        ("none", SCHEMA, None),
    ],
)
async def test_json_is_asked_for_as_the_model_takes_it(
    response_format: str, schema: str | None, sent: str | None
) -> None:
    body = await sent_by(
        RequestParameters(response_format=response_format), tools=(), json_mode=True, json_schema=schema
    )

    given = body.get("response_format")
    assert given is None if sent is None else isinstance(given, dict) and given["type"] == sent


async def test_the_limit_is_always_sent_once() -> None:
    for family, profile in PROFILES.items():
        body = await sent_by(profile.chat)
        limits = [name for name in ("max_tokens", "max_completion_tokens") if name in body]
        assert len(limits) == 1, family
        assert body[limits[0]] == request().output_tokens_max


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("/openai/v1?api-version=preview", "/openai/v1/chat/completions?api-version=preview"),
        ("/openai/v1/?api-version=preview", "/openai/v1/chat/completions?api-version=preview"),
        (
            "/openai/deployments/{model}?api-version=2024-10-21",
            "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21",
        ),
        ("/gateway/{model}/v1/", "/gateway/gpt-4o-mini/v1/chat/completions"),
        ("/v1?a=1&b=x%20y", "/v1/chat/completions?a=1&b=x%20y"),
    ],
)
async def test_an_address_may_have_a_query_and_the_models_name(base: str, path: str) -> None:
    async with asking(FAMILIES["azure"], path=base, parameters=PROFILES["azure"].chat) as (model, quirky, _):
        await model.complete(request())

    headers = {name.lower(): value for name, value in quirky.headers[0].items()}
    assert [one.replace("+", "%20") for one in quirky.paths] == [path]
    assert (headers["api-key"], "authorization" in headers) == ("a key", False)


async def test_no_key_is_sent_where_none_is_configured() -> None:
    async with asking(FAMILIES["ollama"], api_key="") as (model, quirky, _):
        await model.complete(request())

    assert "authorization" not in {name.lower() for name in quirky.headers[0]}


@pytest.mark.parametrize(
    ("message", "status"),
    [("tools param requires --jinja flag", 500), ("Unsupported param: tools", 500), ("no such model", 404)],
)
async def test_what_a_server_will_never_take_is_asked_once(message: str, status: int) -> None:
    async with asking(lambda _: refused(message, status)) as (model, quirky, _):
        with pytest.raises(RequestInvalid, match=message):
            await model.complete(request())

    assert len(quirky.asked) == 1


async def test_a_server_that_refuses_everything_is_not_asked_for_ever() -> None:
    every = "max_tokens max_completion_tokens temperature stream_options response_format are not supported"
    async with asking(lambda _: refused(every)) as (model, quirky, _):
        with pytest.raises(ConnectorError):
            await model.complete(request())

    assert 1 < len(quirky.asked) <= 9
    assert all(one != other for one, other in pairwise(quirky.asked[:-1]))


async def test_a_value_that_is_out_of_range_is_not_put_under_another_name() -> None:
    def handler(body: Body) -> Sent:
        assert "max_tokens" in body
        return refused("max_tokens is too large: 4096. This model takes at most 2048 completion tokens")

    async with asking(handler, parameters=DEFAULT_PARAMETERS) as (model, quirky, _):
        with pytest.raises(RequestInvalid, match="too large"):
            await model.complete(request())

    assert len(quirky.asked) == 1
