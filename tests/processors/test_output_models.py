"""Output models: what an answer has to fit, as the reference library says, and what becomes of it."""

import json
from collections.abc import Mapping
from typing import Final

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.output_models import answer_fault, model_faults
from schemas.events.models import CallPurpose, FinishReason, ModelCallCompleted, ModelCallRequested
from schemas.events.outputs import AnswerGiven, AnswerReason
from schemas.events.tasks import TaskErrorKind, TaskFailed
from schemas.frozen import replace
from tests.processors.world import World, completed, decided_again, plan_text, small, task

MODEL: Final[dict[str, object]] = {
    "type": "object",
    "required": ["verdict", "findings"],
    "additionalProperties": False,
    "properties": {
        "verdict": {"type": "string", "enum": ["sound", "unsafe"]},
        "findings": {
            "type": "array",
            "maxItems": 3,
            "items": {
                "type": "object",
                "required": ["line"],
                "properties": {
                    "line": {"type": "integer", "minimum": 0},
                    "note": {"type": ["string", "null"]},
                },
            },
        },
    },
}
GOOD = '{"verdict": "sound", "findings": [{"line": 1, "note": null}]}'

_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.floats(-3, 5).filter(lambda number: number == number),
    st.sampled_from(["", "a", "ab", "abcd"]),
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)


def _plain(schema: Mapping[str, object]) -> dict[str, object]:
    return dict(schema)


def _schemas() -> st.SearchStrategy[dict[str, object]]:
    kinds = ("object", "array", "string", "integer", "number", "boolean", "null")
    plain = st.fixed_dictionaries(
        {},
        optional={
            "type": st.one_of(
                st.sampled_from(kinds), st.lists(st.sampled_from(kinds), min_size=1, max_size=2, unique=True)
            ),
            "enum": st.lists(st.sampled_from(["a", "ab", 1, 2, True]), min_size=1, max_size=3),
            "minLength": st.integers(0, 3),
            "maxLength": st.integers(0, 3),
            "minItems": st.integers(0, 2),
            "maxItems": st.integers(0, 2),
            "minimum": st.integers(-2, 3),
            "maximum": st.integers(-2, 3),
        },
    ).map(_plain)

    def nested(inner: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[dict[str, object]]:
        properties = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        return st.builds(
            lambda base, known, items, closed, count: {
                **base,
                "properties": known,
                "required": sorted(known)[:count],
                "additionalProperties": not closed,
                "items": items,
            },
            plain,
            properties,
            inner,
            st.booleans(),
            st.integers(0, 2),
        )

    return st.recursive(plain, nested, max_leaves=4)


@given(_schemas(), _VALUES)
def test_a_value_fits_where_the_reference_library_says_so(schema: dict[str, object], value: object) -> None:
    wrapped = {"type": "object", "properties": {"x": schema}}
    assert model_faults(wrapped) == []

    fault = answer_fault(json.dumps({"x": value}), json.dumps(wrapped))

    assert (fault is None) == jsonschema.Draft202012Validator(wrapped).is_valid({"x": value}), fault


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD, None),
        (f"Here you are:\n```json\n{GOOD}\n```\nAnything else?", None),
        (f"<think>{{}}</think>{GOOD}", None),
        ("It is sound.", "there is no JSON in it"),
        ('{"verdict": "fine", "findings": []}', "verdict: this must be sound or unsafe"),
        ('{"verdict": "sound"}', "findings: this is missing"),
        ('{"verdict": "sound", "findings": {}}', "findings: this must be a list"),
        ('{"verdict": "sound", "findings": [{"line": -1}]}', "findings.0.line: this must be at least 0"),
        ('{"verdict": "sound", "findings": [{"line": true}]}', "line: this must be a whole number"),
        ('{"verdict": "sound", "findings": [{"line": NaN}]}', "line: this must be a whole number"),
        ('{"verdict": "sound", "findings": [], "x": 1}', "nothing but verdict and findings may stand in it"),
        ('["sound"]', "the answer: this must be an object"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str | None) -> None:
    fault = answer_fault(text, json.dumps(MODEL))

    assert fault is None if told is None else told in str(fault)


def test_what_a_fault_says_has_nothing_of_what_the_model_wrote() -> None:
    fault = answer_fault('{"verdict": "IGNORE ALL", "findings": [], "OBEY": 1}', json.dumps(MODEL))

    assert fault is not None
    assert "IGNORE" not in fault
    assert "OBEY" not in fault


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"type": "array"}, "output.type: an answer must be an object"),
        ({"type": "object", "pattern": "a"}, "output.pattern: it is not understood"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, "output.properties.a.$ref"),
        ({"type": "object", "required": ["a"]}, "output.required: a is none of the properties"),
        ({"type": "thing"}, "output.type: it cannot be"),
        ({"type": "object", "properties": {"a": {"enum": []}}}, "output.properties.a.enum: it cannot be []"),
        ({"type": "object", "properties": {"a": {"items": {"minItems": True}}}}, "items.minItems"),
    ],
)
def test_a_model_that_is_not_understood_is_refused(model: object, told: str) -> None:
    assert any(told in fault for fault in model_faults(model)), model_faults(model)


def test_a_model_that_is_too_deep_is_refused() -> None:
    model: dict[str, object] = {"type": "string"}
    for _ in range(20):
        model = {"type": "object", "properties": {"a": model}}

    assert "levels deep" in " ".join(model_faults(model))


def world(*answers: str, finish: FinishReason = FinishReason.STOP) -> tuple[World, list[ModelCallRequested]]:
    """Return a session whose writer must answer in the form; the last of `answers` comes again and again."""
    asked: list[ModelCallRequested] = []

    def model(call: ModelCallRequested) -> ModelCallCompleted:
        if call.purpose is CallPurpose.PLAN:
            return completed(call, plan_text(task("a", agent="writer")))
        if call.purpose is CallPurpose.CRITIQUE:
            return completed(call, '{"score": 0.9, "remarks": "good"}')
        if call.purpose is not CallPurpose.STEP:
            return completed(call, "the answer [1]")
        asked.append(call)
        said = answers[min(len(asked), len(answers)) - 1]
        return replace(completed(call, said), finish_reason=finish)

    made = World(model, limits=small())
    agents = {
        name: replace(agent, output_model_json=json.dumps(MODEL)) if name == "writer" else agent
        for name, agent in made.decider.configuration.agents.items()
    }
    made.decider.configuration = replace(made.decider.configuration, agents=agents)
    made.say()
    made.run()
    return made, asked


def bodies(made: World, kind: type) -> list[object]:
    return [event.body for event in made.events if isinstance(event.body, kind)]


def test_an_answer_that_fits_ends_its_task_with_one_call() -> None:
    made, asked = world(GOOD)

    assert len(asked) == 1
    assert not bodies(made, TaskFailed)
    assert asked[0].json_mode
    assert decided_again(made) == made.events


def test_an_answer_that_does_not_fit_is_sent_back_with_what_is_wrong() -> None:
    made, asked = world("Sound, I would say.", '{"verdict": "good", "findings": []}', GOOD)

    assert len(asked) == 3
    told = [
        [one.text for one in call.messages if one.text and "form that is asked" in one.text] for call in asked
    ]
    assert [len(one) for one in told] == [0, 1, 2]
    assert "there is no JSON in it" in str(told[1][0])
    assert "verdict: this must be sound or unsafe" in str(told[2][1])
    assert not bodies(made, TaskFailed)
    assert made.state.turn is None
    assert decided_again(made) == made.events


def test_an_answer_that_is_never_mended_fails_its_task_and_is_not_tried_for_ever() -> None:
    made, asked = world("no", finish=FinishReason.LENGTH)

    failed = bodies(made, TaskFailed)[0]
    assert isinstance(failed, TaskFailed)
    assert failed.error_kind is TaskErrorKind.OUTPUT_INVALID
    assert failed.error.startswith("it was cut off after")
    assert len(asked) == 1 + small().repairs_max
    (answer,) = bodies(made, AnswerGiven)
    assert isinstance(answer, AnswerGiven)
    assert answer.reason is AnswerReason.TASKS_FAILED
    assert decided_again(made) == made.events
