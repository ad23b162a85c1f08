"""What `doctor provider` finds out, against stand-ins of known families and servers that lack something."""

import json
from collections.abc import Callable, Mapping

import pytest

from connectors.models.chat import OpenAIModel
from connectors.models.examination import Examination, Grade, examine, examine_embeddings
from schemas.configuration import RequestParameters
from schemas.frozen import replace
from streams.configuration.loading import load_profiles
from tests.connectors import quirks
from tests.connectors.conftest import EMBEDDING_MODEL, ENCODINGS, Local, Waits
from tests.connectors.families import CALLS, FAMILIES, refused
from tests.connectors.quirks import Answer, Sent, chunk, end_of, sound, stream
from tests.connectors.quirky import Body, Handler, embedding, provider
from tests.connectors.sound_model import CHAT, answer_to, sound_model

PROFILES: Mapping[str, RequestParameters] = {name: one.chat for name, one in load_profiles().items()}


async def examined(
    handler: Handler,
    parameters: RequestParameters | None = None,
    told: tuple[str, ...] = (),
    profile: str = "",
) -> tuple[Examination, int]:
    """Examine a provider; returns how many requests it got, too."""
    chat = replace(CHAT, parameters=parameters or RequestParameters(), profile=profile or "openai")
    async with provider(handler) as quirky:

        def make(asked: RequestParameters) -> OpenAIModel:
            return OpenAIModel(
                base_url=f"http://127.0.0.1:{quirky.port}/v1",
                api_key="a key",
                encodings=ENCODINGS,
                parameters={CHAT.name: asked},
                sleep=Waits(),
            )

        examination = await examine(make, chat, PROFILES, told)
        return examination, len(quirky.asked)


def grades(examination: Examination) -> dict[str, Grade]:
    return {finding.question: finding.grade for finding in examination.findings}


async def test_of_a_sound_model_all_works_in_six_requests_and_its_profile_fits() -> None:
    examination, asked = await examined(sound_model)

    assert set(grades(examination).values()) == {Grade.WORKS}
    assert (examination.fits, examination.learnt, examination.healthy) == ("openai", (), True)
    assert asked == 6


async def test_of_the_local_model_all_works(local: Local) -> None:
    examination = await examine(
        lambda parameters: OpenAIModel(
            base_url=local.base_url,
            api_key="any",
            encodings=ENCODINGS,
            parameters={CHAT.name: parameters},
        ),
        CHAT,
        PROFILES,
    )

    assert {name: grade for name, grade in grades(examination).items() if grade is not Grade.WORKS} == {}
    assert (await examine_embeddings(local.embeddings)).grade is Grade.WORKS


def _family(name: str) -> Handler:
    """A family that answers the examination, and refuses what it refuses."""
    refuses = FAMILIES[name]

    def handler(body: Body) -> Sent:
        found = refuses(body)
        return found if found.status != 200 or name in ("gemini", "deepseek") else sound_model(body)

    return handler


@pytest.mark.parametrize(
    ("family", "told", "fits"),
    [
        ("openai-reasoning", (), "openai-reasoning"),
        ("openai-reasoning", ("openai", "openai-reasoning"), "openai-reasoning"),
        ("mistral", (), "mistral"),
        ("mistral", ("mistral",), "mistral"),
        ("ollama", ("ollama",), "ollama"),
        ("llama.cpp", ("llama.cpp",), "llama.cpp"),
        ("vllm", ("vllm",), "vllm"),
        ("openai", (), "openai"),
    ],
)
async def test_the_profile_that_fits_is_found_though_another_is_configured(
    family: str, told: tuple[str, ...], fits: str
) -> None:
    examination, _ = await examined(_family(family), told=told)

    assert examination.healthy
    assert examination.fits == fits


async def test_a_profile_that_is_told_and_refused_is_not_recommended() -> None:
    examination, _ = await examined(_family("mistral"), PROFILES["mistral"], ("openai",), profile="mistral")

    assert examination.fits == "mistral"


async def test_what_no_profile_says_is_told_parameter_by_parameter() -> None:
    def handler(body: Body) -> Sent:
        if "max_tokens" in body:
            return refused("Unsupported parameter: max_tokens")
        if "stream_options" in body:
            return refused("Unsupported parameter: stream_options")
        return sound_model(body)

    examination, _ = await examined(handler)

    assert dict(examination.learnt) == {"tokens_max_field": "max_completion_tokens", "stream_usage": False}
    assert (examination.fits, examination.healthy) == (None, True)


def _but(question: str, changed: Callable[[Answer], Sent]) -> Handler:
    """A sound model but for the answers to requests that have these words."""
    return lambda body: (changed if question in json.dumps(body) else sound)(answer_to(body))


LONG = Answer(text="one " * 100, usage={"prompt_tokens": 50, "completion_tokens": 100, "total_tokens": 150})
THOUGHT = stream([chunk({"reasoning_content": "hm"}), *end_of(Answer(text="x"), "length")])


@pytest.mark.parametrize(
    ("handler", "question", "grade", "words"),
    [
        (_but("apple is", quirks.QUIRKS["not_streamed"]), "stream", Grade.WEAK, "whole"),
        (_but("apple is", quirks.QUIRKS["nothing_but_what_is_needed"]), "usage", Grade.WEAK, "counted here"),
        (
            _but("apple is", lambda a: sound(replace(a, usage=LONG.usage))),
            "usage",
            Grade.WEAK,
            "billed as 50",
        ),
        (_but("Repeat this", lambda _: sound(LONG)), "limit", Grade.FAILS, "100 tokens came"),
        (_but("Repeat this", lambda a: sound(replace(a, reason="stop"))), "limit", Grade.WEAK, "'stop'"),
        (_but("a fruit", lambda _: sound(Answer(text="Yes."))), "json", Grade.FAILS, "no JSON"),
        (_but("a fruit", lambda _: THOUGHT), "json", Grade.FAILS, "needs a higher limit"),
        (_but("a fruit", lambda _: sound(Answer(text='{"a": 1}'))), "json", Grade.WEAK, "another shape"),
        (
            _but("a fruit", lambda a: sound(Answer(text=f"```json\n{a.text}\n```"))),
            "json",
            Grade.WEAK,
            "words around it",
        ),
        (
            _but("Use population_of.", lambda _: sound(Answer(text="Ten."))),
            "tools",
            Grade.FAILS,
            "without calling",
        ),
        (
            _but("Use population_of.", lambda _: sound(Answer(calls=CALLS[:1]))),
            "tools",
            Grade.FAILS,
            "it called",
        ),
        (_but("10092000", lambda _: refused("missing state")), "tools", Grade.FAILS, "missing state"),
        (_but("10092000", lambda _: sound(Answer(reason="stop"))), "tools", Grade.FAILS, "no text came"),
        (
            _but("at once", lambda a: sound(replace(a, calls=a.calls[:1]))),
            "parallel tools",
            Grade.WEAK,
            "one call",
        ),
        (
            _but("tools", lambda _: refused("tools param requires --jinja flag", 500)),
            "tools",
            Grade.FAILS,
            "--jinja",
        ),
    ],
)
async def test_what_a_server_lacks_is_found_and_told(
    handler: Handler, question: str, grade: Grade, words: str
) -> None:
    examination, _ = await examined(handler)

    finding = next(one for one in examination.findings if one.question == question)
    assert (finding.grade, words in finding.detail) == (grade, True), finding.detail
    assert examination.healthy is (grade is not Grade.FAILS)


@pytest.mark.parametrize("name", [*quirks.CALL_QUIRKS, *quirks.STREAM_QUIRKS])
async def test_quirks_that_are_read_are_no_fault(name: str) -> None:
    examination, _ = await examined(lambda body: quirks.QUIRKS[name](answer_to(body)))

    assert examination.healthy


async def test_where_nothing_answers_nothing_more_is_asked() -> None:
    examination, asked = await examined(lambda _: refused("bad key", 401))

    assert (grades(examination), examination.fits, asked) == ({"answers": Grade.FAILS}, None, 1)


@pytest.mark.parametrize(
    ("sent", "grade", "words"),
    [
        (Sent(body=b'{"error": "not found"}', status=404), Grade.WEAK, "there are none"),
        (
            Sent(body=b'{"data": []}', content_type="application/json"),
            Grade.FAILS,
            "2 vectors were asked for",
        ),
        (
            Sent(
                body=json.dumps({"data": [{"embedding": [1.0, 2.0]}] * 2}).encode(),
                content_type="application/json",
            ),
            Grade.FAILS,
            "the same vector",
        ),
    ],
)
async def test_vectors_are_asked_for_too(sent: Sent, grade: Grade, words: str) -> None:
    async with embedding(lambda _: sent, replace(EMBEDDING_MODEL, dimensions=2)) as (embeddings, _):
        finding = await examine_embeddings(embeddings)

    assert (finding.grade, words in finding.detail) == (grade, True), finding.detail
