"""Plans: sound ones are put in order, unsound ones are rejected for a clear reason, and none hangs."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.outputs import read_critique
from processors.plans import PlanFault, parse_plan, prerequisites_of
from schemas.configuration import Limits
from schemas.events.plans import Relation
from tests.processors.world import configuration, plan_text, task

AGENTS = configuration().agents
LIMITS = Limits()


def fault_of(text: str) -> PlanFault:
    fault = parse_plan(text, AGENTS, LIMITS)
    assert isinstance(fault, PlanFault)
    return fault


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not JSON at all", "parse_error"),
        ('{"tasks": [', "parse_error"),
        ("[]", "schema_error"),
        ('{"tasks": [{"key": "a"}]}', "schema_error"),
        (plan_text(task("a", priority=11)), "schema_error"),
        (plan_text({**task("a"), "edges": [{"relation": "hates", "task": "a"}]}), "schema_error"),
        (plan_text(task("a"), task("a")), "schema_error"),
        (plan_text(), "empty"),
        (plan_text(task("a", agent="nobody")), "unknown_agent"),
        (plan_text(task("a", needs=["z"])), "unknown_task"),
        (plan_text(task("a", parent="z")), "unknown_task"),
        (plan_text(task("a", needs=["a"])), "cycle"),
        (plan_text(task("a", needs=["c"]), task("b", needs=["a"]), task("c", needs=["b"])), "cycle"),
        (plan_text(task("a", parent="b"), task("b", parent="a")), "cycle"),
        (plan_text(*(task(f"t{n}") for n in range(25))), "too_wide"),
        (plan_text(*(task(f"t{n}", needs=[f"t{n - 1}"] if n else []) for n in range(10))), "too_deep"),
    ],
)
def test_an_unsound_plan_is_rejected_for_its_reason(text: str, reason: str) -> None:
    fault = fault_of(text)

    assert fault.reason == reason
    assert fault.detail


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("not JSON at all", "the answer: this is not JSON: it begins with “not JSON at all”"),
        ("[]", "the answer: this must be an object"),
        ('{"tasks": 5}', "tasks: this must be a list"),
        ('{"tasks": [7]}', "tasks.0: this must be an object"),
        ('{"tasks": [{"key": "a"}]}', "tasks.0.intent: this is missing; tasks.0.agent: this is missing"),
        (plan_text({**task("a"), "key": ""}), "tasks.0.key: this must not be empty"),
        (plan_text({**task("a"), "key": [5]}), "tasks.0.key: this must be a text"),
        (plan_text({**task("a"), "key": "k" * 61}), "tasks.0.key: this may have at most 60 characters"),
        (plan_text(task("a", priority=11)), "tasks.0.priority: this must be at most 10"),
        (plan_text(task("a", priority=0)), "tasks.0.priority: this must be at least 1"),
        (plan_text({**task("a"), "priority": "high"}), "tasks.0.priority: this must be a whole number"),
        (plan_text({**task("a"), "priority": 1.5}), "tasks.0.priority: this must be a whole number"),
        (plan_text({**task("a"), "priority": []}), "tasks.0.priority: this must be a whole number"),
        (
            plan_text({**task("a"), "edges": [{"relation": "hates", "task": "b"}]}),
            "tasks.0.edges.0.relation: this must be depends_on, blocks, enables or refines",
        ),
        (
            plan_text({**task("a"), "edges": [{"relation": "blocks", "task": "b", "weight": "x"}]}),
            "tasks.0.edges.0.weight: this must be a number",
        ),
    ],
)
def test_what_is_wrong_is_said_in_our_own_words(text: str, detail: str) -> None:
    assert fault_of(text).detail == detail


def test_the_relations_that_a_planner_may_write_are_those_of_the_contract() -> None:
    for relation in Relation:
        edges = [{"relation": relation.value, "task": "b"}]
        text = plan_text({**task("a"), "edges": edges}, task("b"))
        assert not isinstance(parse_plan(text, AGENTS, LIMITS), PlanFault)


def test_a_cycle_is_told_task_by_task() -> None:
    fault = fault_of(plan_text(task("a", needs=["c"]), task("b", needs=["a"]), task("c", needs=["b"])))

    assert "a → b → c → a" in fault.detail


def test_a_hub_with_too_many_relations_is_too_wide() -> None:
    plan = plan_text(*(task(f"t{n}") for n in range(13)), task("hub", needs=[f"t{n}" for n in range(13)]))

    assert fault_of(plan).reason == "too_wide"


def test_an_intent_may_be_as_long_as_the_limits_say() -> None:
    long = {**task("a"), "intent": "x" * 5_000}
    limits = replace(LIMITS, intent_characters_max=5_000)

    assert not isinstance(parse_plan(plan_text(long), AGENTS, limits), PlanFault)
    assert fault_of(plan_text(long)).reason == "schema_error"
    assert "2,000" in fault_of(plan_text(long)).detail


def test_each_task_follows_what_it_waits_for() -> None:
    tasks = (task("d", needs=["b", "c"]), task("c"), task("b", needs=["a"]), task("a"))
    plan = parse_plan(plan_text(*tasks), AGENTS, LIMITS)

    assert not isinstance(plan, PlanFault)
    assert [planned.key for planned in plan] == ["c", "a", "b", "d"]


@pytest.mark.parametrize(
    ("relation", "later", "must_complete"),
    [("depends_on", "a", True), ("refines", "a", True), ("enables", "b", True), ("blocks", "b", False)],
)
def test_relations_say_who_waits_for_whom(relation: str, later: str, must_complete: bool) -> None:
    first = {**task("a"), "edges": [{"relation": relation, "task": "b"}]}
    plan = parse_plan(plan_text(first, task("b")), AGENTS, LIMITS)
    assert not isinstance(plan, PlanFault)

    before = prerequisites_of(plan)

    earlier = "b" if later == "a" else "a"
    assert before == {later: {earlier: must_complete}, earlier: {}}


def test_a_parent_waits_for_its_children_whatever_their_ends() -> None:
    plan = parse_plan(plan_text(task("whole"), task("part", parent="whole")), AGENTS, LIMITS)
    assert not isinstance(plan, PlanFault)

    assert prerequisites_of(plan) == {"whole": {"part": False}, "part": {}}


KEYS = st.sampled_from(["tasks", "key", "intent", "agent", "edges", "relation", "task"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text()
ANY_JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS | st.text(), inner))
RELATIONS = st.sampled_from(["depends_on", "blocks", "enables", "refines"])
ANY_EDGES = st.lists(st.tuples(st.integers(0, 9), RELATIONS, st.integers(0, 9)), max_size=40)


@given(ANY_JSON)
@settings(max_examples=300)
def test_any_json_is_a_plan_or_a_fault(value: object) -> None:
    assert isinstance(parse_plan(json.dumps(value), AGENTS, LIMITS), PlanFault | tuple)


@given(ANY_EDGES)
@settings(max_examples=300)
def test_every_graph_ends_in_an_order_or_a_fault(edges: list[tuple[int, str, int]]) -> None:
    tasks = [
        {
            **task(f"t{number}"),
            "edges": [{"relation": r, "task": f"t{b}"} for a, r, b in edges if a == number],
        }
        for number in range(10)
    ]

    plan = parse_plan(plan_text(*tasks), AGENTS, LIMITS)

    if not isinstance(plan, PlanFault):
        order = [planned.key for planned in plan]
        for later, earlier in prerequisites_of(plan).items():
            assert all(order.index(key) < order.index(later) for key in earlier)


def test_critiques_are_checked_too() -> None:
    good = read_critique('{"score": 0.4, "remarks": "split it"}')
    assert not isinstance(good, str)
    assert good.score == 0.4
    assert isinstance(read_critique('{"score": 4}'), str)
    assert isinstance(read_critique("well done"), str)
