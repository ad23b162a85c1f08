"""Rules over arguments: each operator, what tricks it, and what is made of what cannot be judged."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.policy.conditions import TEXT_CHARACTERS_MAX, condition_of, fault_of
from processors.policy.decide import (
    HOUR_MS,
    VALUES_MAX,
    PolicyRequest,
    Verdict,
    compiled,
    decide,
    narrowed,
)
from processors.policy.explain import explain
from processors.policy.hosts import Host, host_of, is_meant, pattern_of
from processors.policy.paths import lies_under, plain_path
from processors.session import SessionDecider
from schemas.configuration import ArgumentCondition, Policy, PolicyRule
from schemas.events.policies import Decision, PolicyDecided
from schemas.events.tools import ToolCallRequested
from tests.processors.world import (
    World,
    configuration,
    decided_again,
    obliging,
    plan_text,
    task,
    tool_spec,
)

CONFIGURATION = configuration()
PLAN = plan_text(task("a"))


def request(arguments: object = None, **more: object) -> PolicyRequest:
    """Return a call of `look` by the worker."""
    given_json = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    base = PolicyRequest(
        agent="worker",
        tool="look",
        spec=tool_spec("look"),
        calls_before=0,
        share_left=1.0,
        arguments_json=given_json,
    )
    return replace(base, **more)  # type: ignore[arg-type]  # fields of the request


def rule(decision: str, *conditions: ArgumentCondition, name: str = "r", **more: object) -> PolicyRule:
    base = PolicyRule(name=name, decision=decision, reason="so it is", arguments=conditions)
    return replace(base, **more)  # type: ignore[arg-type]  # fields of the rule


def where(
    argument: str, operator: str, *values: str, number: float | None = None, negate: bool = False
) -> ArgumentCondition:
    return ArgumentCondition(
        argument=argument, operator=operator, values=values, number=number, negate=negate
    )


def decided(arguments: object, *rules: PolicyRule) -> str:
    """Return by which rule a call is decided."""
    return decide(request(arguments), Policy(rules=rules)).rule


def is_allowed(arguments: object, *conditions: ArgumentCondition) -> bool:
    return decided(arguments, rule("allow", *conditions)) == "r"


def is_forbidden(arguments: object, *conditions: ArgumentCondition) -> bool:
    """Tell whether a prohibition catches the arguments; what it does not catch is allowed."""
    return decided(arguments, rule("deny", *conditions), rule("allow", name="else")) == "r"


FOLDER = where("path", "path_under", "/srv/data")
PLAIN_PATHS = [
    "/srv/data",
    "/srv/data/",
    "/srv/data/a",
    "/srv//data/./a b/c.txt",
    "/srv/data/ä/文.txt",
    "/srv/data/.hidden",
]
OUTSIDE = ["/", "/srv", "/srv/database", "/srv/dat", "/etc/passwd", "/data/srv/data"]
TRICKS = [
    "/srv/data/..",
    "/srv/data/../../etc/passwd",
    "/srv/data/a/../../b",
    "/srv/./data/../data",
    "/srv/data/...",
    "/srv/data/%2e%2e/etc",
    "/srv/data/%252e%252e/etc",
    "/srv/data%2f..%2fetc",
    "/srv/data/..%c0%af",
    "\\srv\\data\\a",
    "/srv/data\\..\\..\\etc",
    "C:/srv/data",
    "file:///srv/data/a",
    "FILE:/srv/data/a",
    "~/data",
    "~root/x",
    "$HOME/data",
    "/srv/data/${HOME}",
    "/srv/data/*",
    "/srv/data/?",
    "//srv/data/a",
    "/srv/data/a\x00b",
    "/srv/data/a\n/etc",
    "/srv/data /a",
    "/srv/data./a",
    "/srv/data/. ./a",
    "/srv/data/．．/etc",
    "/srv/data／../etc",
    "/srv/data/\u2024\u2024/x",
    "/srv/data/\u202egnp.exe",
    "/srv/data/a\u200bb",
    "/SRV/DATA/a",
    "/srv/Data/a",
    "/ſrv/data/a",
    "/srv/data\u0300/..",
    "data",
    "./a",
    "../srv/data",
    "",
]


@pytest.mark.parametrize("path", PLAIN_PATHS)
def test_a_plain_path_below_a_folder_is_under_it(path: str) -> None:
    assert is_allowed({"path": path}, FOLDER)
    assert is_forbidden({"path": path}, FOLDER)
    assert not is_forbidden({"path": path}, replace(FOLDER, negate=True))


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_plain_path_elsewhere_is_not(path: str) -> None:
    assert not is_allowed({"path": path}, FOLDER)
    assert not is_forbidden({"path": path}, FOLDER)
    assert is_allowed({"path": path}, replace(FOLDER, negate=True))


@pytest.mark.parametrize("path", TRICKS)
def test_a_path_that_can_be_read_in_two_ways_is_permitted_nothing_and_is_caught_by_every_prohibition(
    path: str,
) -> None:
    for condition in (FOLDER, replace(FOLDER, negate=True)):
        assert not is_allowed({"path": path}, condition)
        assert is_forbidden({"path": path}, condition)


@pytest.mark.parametrize(
    "value", [None, 1, True, ["/srv/data"], {"a": "/srv/data"}, "/srv/data/" + "x" * 9_000]
)
def test_a_path_of_another_type_or_length_is_judged_for_the_worse(value: object) -> None:
    assert not is_allowed({"path": value}, FOLDER)
    assert is_forbidden({"path": value}, FOLDER)


def test_relative_folders_are_for_relative_paths() -> None:
    docs = where("path", "path_under", "docs", "./notes")
    assert is_allowed({"path": "docs/a.md"}, docs)
    assert is_allowed({"path": "./notes/b"}, docs)
    assert not is_allowed({"path": "other/a"}, docs)
    assert not is_forbidden({"path": "other/a"}, docs)
    assert is_forbidden({"path": "/docs/a"}, docs)
    assert is_forbidden({"path": "docs/../x"}, docs)


@given(st.text(max_size=40), st.sampled_from(["/srv/data", "docs"]))
def test_no_text_is_under_a_folder_that_the_text_does_not_begin_with(text: str, folder: str) -> None:
    root = plain_path(folder)
    assert root is not None
    if lies_under(plain_path(text), root):
        whole = "/".join(part for part in text.split("/") if part not in ("", "."))
        assert (whole + "/").startswith(folder.strip("/") + "/")
        assert ".." not in text.split("/")


HOSTS = where("url", "host_in", "example.org", "*.example.org", "10.0.0.0/8", "::1")
MEANT = [
    "https://example.org",
    "https://example.org/a?b#c",
    "HTTPS://EXAMPLE.ORG:443/",
    "https://example.org./",
    "http://a.b.example.org:8080/x@y",
    "http://10.1.2.3/",
    "http://[::ffff:10.1.2.3]/",
    "http://[::1]:80/",
    "http://[0:0:0:0:0:0:0:1]/",
    "example.org",
    "example.org:443",
    "10.0.0.1",
]
NOT_MEANT = [
    "https://example.com",
    "https://example.org.evil.com/",
    "https://evilexample.org/",
    "https://xn--xample-9ua.org/",
    "http://11.0.0.1/",
    "http://[::2]/",
    "http://[2001:db8::1]/",
    "https://example.orgs",
]
ODD_HOSTS = [
    "https://example.org@evil.com/",
    "https://evil.com@example.org/",
    "https://user:pw@example.org/",
    "https://example.org\\@evil.com/",
    "https://example.org\\.evil.com/",
    "https:\\\\example.org/",
    "https:/example.org/",
    "https:example.org",
    "//example.org/",
    "///example.org",
    "example.org/path",
    "https://",
    "https:///example.org",
    "https://éxample.org/",
    "https://exampl\u0435.org/",
    "https://example。org/",
    "https://example\u2024org/",
    "https://exam\u00adple.org",
    "https://example.org\u200b/",
    "https://example.org%2eevil.com/",
    "https://%65xample.org/",
    "https://example.org /",
    " https://example.org/",
    "https://example.org\t/",
    "https://exam\nple.org/",
    "https://example.org\x00.evil.com/",
    "https://example..org/",
    "https://example.org../",
    "https://.example.org/",
    "https://-example.org/",
    "https://example.org:99999/",
    "https://example.org:80:80/",
    "https://example.org:/\x00",
    "http://2130706433/",
    "http://167772161/",
    "http://0x0a000001/",
    "http://012.0.0.1/",
    "http://10.1/",
    "http://10.0.0.1.1/",
    "http://10.0.0.256/",
    "http://010.0.0.1/",
    "http://①⓪.0.0.1/",
    "http://[::1%25lo]/",
    "http://[::1/",
    "http://::1/",
    "http://[10.0.0.1]x/",
    "javascript:alert(1)",
    "1http://example.org/",
    "",
]


@pytest.mark.parametrize("url", MEANT)
def test_a_plain_url_of_a_listed_host_is_meant(url: str) -> None:
    assert is_allowed({"url": url}, HOSTS)
    assert is_forbidden({"url": url}, HOSTS)


@pytest.mark.parametrize("url", NOT_MEANT)
def test_a_plain_url_of_another_host_is_not(url: str) -> None:
    assert not is_allowed({"url": url}, HOSTS)
    assert not is_forbidden({"url": url}, HOSTS)


@pytest.mark.parametrize("url", ODD_HOSTS)
def test_a_url_that_programs_read_in_different_ways_is_permitted_nothing(url: str) -> None:
    for condition in (HOSTS, replace(HOSTS, negate=True)):
        assert not is_allowed({"url": url}, condition)
        assert is_forbidden({"url": url}, condition)


def test_a_star_means_what_is_below_a_name_and_not_the_name() -> None:
    below = where("url", "host_in", "*.example.org")
    assert is_allowed({"url": "https://a.example.org"}, below)
    assert not is_allowed({"url": "https://example.org"}, below)


def test_this_machines_own_name_is_its_address_too() -> None:
    own = where("url", "host_in", "127.0.0.0/8")
    for url in ("http://localhost:80/", "http://a.localhost/", "http://LOCALHOST./", "http://127.9.9.9"):
        assert is_forbidden({"url": url}, own)
    assert host_of("http://localhost") == Host(name="localhost", address=host_of("127.0.0.1").address)  # type: ignore[union-attr]  # it is one


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.", "a b", "exämple.org", "10.0.0.1/8", "http://example.org", "a..b", "*.10.0.0.1", "1.2.3"],
)
def test_what_is_no_host_is_refused_in_a_rule(text: str) -> None:
    assert pattern_of(text) is None
    assert fault_of(where("url", "host_in", text)) is not None


@given(st.text(max_size=60))
def test_no_text_makes_the_readers_of_hosts_and_paths_raise(text: str) -> None:
    host = host_of(text)
    pattern = pattern_of("example.org")
    assert pattern is not None
    assert host is None or is_meant(host, pattern) is (host.name == "example.org")
    plain_path(text)


@pytest.mark.parametrize(
    ("condition", "holds", "fails", "unsure"),
    [
        (where("a", "equal", "5"), [5, 5.0], [6, "5", None, True, [5]], []),
        (where("a", "equal", '"x"'), ["x"], ["X", "x ", 1], []),
        (where("a", "equal", "true"), [True], [1, "true", False], []),
        (where("a", "in", '"r"', '"w"', "1"), ["r", "w", 1], ["rw", 2, None], []),
        (
            where("a", "prefix", "SELECT ", "select "),
            ["SELECT 1"],
            [" SELECT 1", "DROP"],
            [1, None, ["SELECT "]],
        ),
        (where("a", "glob", "*.txt"), ["a.txt", ".txt"], ["a/b.txt", "a.txt\n", "a.TXT"], [1]),
        (where("a", "glob", "/a/**/x?"), ["/a/b/c/x1", "/a//xy"], ["/a/x1", "/a/b/x/"], [None]),
        (where("a", "glob", "a.b+(c)"), ["a.b+(c)"], ["axb+(c)", "a.bb(c)"], []),
        (where("a", "at_most", number=10), [10, 9.9, -1], [10.1, 11], ["5", True, None, [1]]),
        (where("a", "length_at_most", number=2), ["ab", [], {"x": 1}], ["abc", [1, 2, 3]], [5, None]),
        (
            where("a", "matches", "[a-z]+", "[0-9]{2}"),
            ["abc", "12"],
            ["abc1", "ABC", "", "abc\n"],
            [12, ["a"]],
        ),
        (
            where("a", "matches", "(a+)+$"),
            ["a" * 8_000],
            ["a" * 8_000 + "b"],
            ["a" * (TEXT_CHARACTERS_MAX + 1)],
        ),
    ],
)
def test_operators_tell_what_holds_what_fails_and_what_cannot_be_judged(
    condition: ArgumentCondition, holds: list[object], fails: list[object], unsure: list[object]
) -> None:
    negated = replace(condition, negate=True)
    for value in holds:
        assert is_allowed({"a": value}, condition), value
        assert is_forbidden({"a": value}, condition), value
        assert not is_allowed({"a": value}, negated), value
        assert not is_forbidden({"a": value}, negated), value
    for value in fails:
        assert not is_allowed({"a": value}, condition), value
        assert not is_forbidden({"a": value}, condition), value
        assert is_allowed({"a": value}, negated), value
        assert is_forbidden({"a": value}, negated), value
    for value in unsure:
        for either in (condition, negated):
            assert not is_allowed({"a": value}, either), value
            assert is_forbidden({"a": value}, either), value


def test_of_several_values_a_permission_needs_all_and_a_prohibition_one() -> None:
    urls = where("requests.*.url", "host_in", "example.org")
    good, bad = {"url": "https://example.org"}, {"url": "https://evil.com"}

    assert is_allowed({"requests": [good, good]}, urls)
    assert not is_allowed({"requests": [good, bad]}, urls)
    assert is_forbidden({"requests": [bad, good]}, urls)
    assert is_forbidden({"requests": [good, bad]}, replace(urls, negate=True))
    assert is_allowed({"requests": {"x": good}}, urls)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"path": None}, {"Path": "/srv/data"}, {"path ": "/srv/data"}, {"a": {"path": "/srv/data"}}],
)
def test_what_is_not_there_is_permitted_nothing(arguments: dict[str, object]) -> None:
    assert not is_allowed(arguments, FOLDER)
    assert is_forbidden(arguments, replace(FOLDER, negate=True))


def test_all_conditions_have_to_hold() -> None:
    both = (FOLDER, where("limit", "at_most", number=10))

    assert is_allowed({"path": "/srv/data/a", "limit": 10}, *both)
    assert not is_allowed({"path": "/srv/data/a", "limit": 11}, *both)
    assert not is_allowed({"path": "/srv/data/a"}, *both)


@pytest.mark.parametrize(
    "arguments",
    [
        "[]",
        "7",
        "no JSON",
        '{"path": "/srv/data/a", "path": "/etc/passwd"}',
        '{"path": "/srv/data/a", "n": 9007199254740993}',
        '{"path": "/srv/data/a", "x": "\\ud800"}',
        '{"path": "/srv/data/a", "x": NaN}',
        '{"path": "/srv/data/a", "x": ' + "[" * 40 + "]" * 40 + "}",
        '{"path": "/srv/data/a", "x": "' + "x" * 70_000 + '"}',
        '{"path": "/srv/data/a", "x": [' + "1," * VALUES_MAX + "1]}",
        "[" * 100_000,
        "\ud800",
    ],
)
@pytest.mark.parametrize("decision", ["allow", "deny", "escalate", "audit"])
def test_arguments_that_cannot_be_judged_are_denied_whatever_the_rule_would_say(
    arguments: str, decision: str
) -> None:
    verdict = decide(request(arguments), Policy(rules=(rule(decision, FOLDER), rule("allow", name="else"))))

    assert (verdict.decision, verdict.rule) == (Decision.DENY, "arguments_unreadable")


def test_arguments_that_no_rule_asks_for_are_not_read() -> None:
    other = rule("deny", FOLDER, name="other", tools=("buy",))

    assert decide(request("no JSON"), Policy(rules=(other, rule("allow")))).decision is Decision.ALLOW


@pytest.mark.parametrize(
    ("more", "changed"),
    [
        ({"agents": ("worker",)}, {"agent": CONFIGURATION.agents["writer"]}),
        ({"tools": ("look",)}, {"tool": "buy"}),
        ({"categories": ("test",)}, {"spec": replace(tool_spec("look"), category="other")}),
        ({"safety_levels": ("safe",)}, {"spec": tool_spec("look", "caution")}),
        ({"tenants": ("default",)}, {"tenant": "acme"}),
        ({"users": ("anonymous",)}, {"user": "ann"}),
        ({"hours": (0, 23)}, {"now_ms": 1 * HOUR_MS}),
        ({"share_left_below": 1.1}, {"share_left": 1.1}),
    ],
)
def test_each_thing_that_a_rule_asks_for_makes_a_difference(
    more: dict[str, object], changed: dict[str, object]
) -> None:
    policy = Policy(rules=(rule("allow", **more),))  # type: ignore[arg-type]  # fields of the rule

    assert decide(request(), policy).rule == "r"
    assert decide(request(**changed), policy).rule == "default_deny"


@pytest.mark.parametrize(
    ("scope", "counts"),
    [("task", "calls_before"), ("turn", "calls_in_turn"), ("session", "calls_in_session")],
)
def test_counts_are_of_the_scope_that_is_named(scope: str, counts: str) -> None:
    policy = Policy(rules=(rule("deny", calls_above=3, calls_scope=scope), rule("allow", name="else")))

    assert decide(request(**{counts: 3}), policy).rule == "r"
    assert decide(request(**{counts: 2}), policy).rule == "else"
    others = {"calls_before", "calls_in_turn", "calls_in_session"} - {counts}
    assert decide(request(**dict.fromkeys(others, 9)), policy).rule == "else"


def test_hours_go_by_the_time_of_the_input_and_in_utc() -> None:
    policy = Policy(rules=(rule("deny", hours=(22, 23, 0)), rule("allow", name="else")))
    day = 20_000 * 24 * HOUR_MS

    assert decide(request(now_ms=day + 22 * HOUR_MS), policy).rule == "r"
    assert decide(request(now_ms=day + 1 * HOUR_MS - 1), policy).rule == "r"
    assert decide(request(now_ms=day + 1 * HOUR_MS), policy).rule == "else"


def test_a_rule_that_cannot_be_denies() -> None:
    policy = Policy(rules=(rule("allow", where("a", "matches", "(")),))

    assert decide(request(), policy).decision is Decision.DENY


@pytest.mark.parametrize(
    "condition",
    [
        where("", "equal", "1"),
        where("a..b", "equal", "1"),
        where("a", "resembles", "1"),
        where("a", "equal"),
        where("a", "at_most"),
        where("a", "length_at_most"),
        where("a", "matches", "(?=x)"),
        where("a", "matches", "(a)\\1"),
        where("a", "matches", "x" * 1_001),
        where("a", "path_under", "/"),
        where("a", "path_under", "/a/../b"),
        where("a", "path_under", "."),
        where("a", "in", *("1",) * 1_001),
    ],
)
def test_a_condition_that_cannot_be_is_named(condition: ArgumentCondition) -> None:
    assert fault_of(condition)


def test_the_stricter_verdict_counts() -> None:
    allow = Verdict(decision=Decision.ALLOW, rule="a", reason="")
    deny = Verdict(decision=Decision.DENY, rule="d", reason="")

    assert narrowed(allow, deny) is deny
    assert narrowed(deny, allow) is deny


def test_rules_are_made_ready_once_for_a_policy() -> None:
    policy = Policy(rules=(rule("allow"),))

    assert compiled(policy) is compiled(policy)
    assert compiled(replace(policy)) is not compiled(policy)


def test_an_explanation_tells_what_each_rule_lacked_and_which_was_nearest() -> None:
    far = rule("allow", name="far", tools=("buy",), tenants=("acme",), users=("ann",))
    near = rule("allow", FOLDER, where("limit", "at_most", number=10), name="near")
    behind = rule("allow", name="behind")
    stop = rule("deny", name="stop")
    policy = Policy(rules=(far, near, stop, behind))

    told = explain(request({"path": "/srv/data/a", "limit": 11}), policy)

    assert told.verdict == decide(request({"path": "/srv/data/a", "limit": 11}), policy)
    assert [len(one.unmet) for one in told.looked] == [3, 1, 0, 0]
    assert told.nearest is not None
    assert told.nearest.rule is near
    assert told.nearest.unmet == ("the argument limit is not at most 10",)
    assert explain(request(spec=None), policy).verdict.rule == "unknown_tool"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner),
        max_leaves=6,
    )
)
def test_every_condition_tells_something_of_every_value(value: object) -> None:
    for condition in (
        where("a", "equal", "1"),
        where("a.b", "prefix", "x"),
        where("a.*", "glob", "*"),
        where("*", "path_under", "/a"),
        where("*.*", "host_in", "a.b"),
        where("a", "at_most", number=1),
        where("a", "length_at_most", number=1),
        where("a", "matches", "x"),
    ):
        arguments = value if isinstance(value, dict) else {"a": value}
        ready = condition_of(condition)
        for forbids in (True, False):
            assert ready(arguments, forbids) in (True, False)


@pytest.mark.parametrize(("scope", "made"), [("task", 12), ("turn", 4), ("session", 2)])
def test_a_session_counts_calls_by_task_turn_and_session(scope: str, made: int) -> None:
    tools = ["look"] * 2
    world = World(obliging(plan_text(task("a"), task("b"), task("c")), tools=tools))
    before = world.decider.configuration
    often = rule("deny", name="often", tools=("look",), calls_above=2, calls_scope=scope)
    policy = replace(before.policy, rules=(often, *before.policy.rules))
    world.decider = SessionDecider(replace(before, policy=policy))
    for _ in range(2):
        world.say()
        world.run()

    assert len(world.facts(ToolCallRequested)) == made
    assert decided_again(world) == world.events


def test_the_arguments_of_a_call_decide_about_it_in_its_session() -> None:
    world = World(obliging(PLAN, tools=["look"]))
    before = world.decider.configuration
    nothing = rule("deny", where("path", "path_under", "/srv", negate=True), name="nowhere", tools=("look",))
    world.decider = SessionDecider(
        replace(before, policy=replace(before.policy, rules=(nothing, *before.policy.rules)))
    )
    world.say()
    world.run()

    assert [one.rule for one in world.facts(PolicyDecided)] == ["nowhere"]
    assert not world.facts(ToolCallRequested)
    assert decided_again(world) == world.events
