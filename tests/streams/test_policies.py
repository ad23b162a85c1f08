"""Rules as people write them, and the command that asks them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from processors.forking import ForkInvalid, policy_of
from schemas.configuration import ArgumentCondition
from streams.cli.application import app
from streams.configuration.files import ConfigurationInvalid
from streams.configuration.policies import load_policy

RULES = """
[[rules]]
name = "secrets"
decision = "deny"
reason = "keys stay where they are"
arguments = [{ argument = "path", path_under = ["/etc", "/root"] }]

[[rules]]
name = "own_files"
decision = "allow"
reason = "the project's own"
tools = ["read_file"]
hours = "22-6"
calls_above = 0
calls_scope = "session"
arguments = [
  { argument = "path", path_under = "/srv/data" },
  { argument = "limit", at_most = 100 },
  { argument = "mode", in = ["r", 1, true] },
  { argument = "tag", equal = "x", not = true },
]
"""
CASES = """
[[cases]]
name = "nobody reads secrets"
agent = "researcher"
tool = "read_file"
safety_level = "safe"
arguments = { path = "/etc/passwd" }
decision = "deny"
rule = "secrets"

[[cases]]
name = "at night their own"
agent = "researcher"
tool = "read_file"
safety_level = "safe"
hour = 23
arguments = '{"path": "/srv/data/a", "limit": 5, "mode": "r", "tag": "y"}'
decision = "allow"
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def cartrita(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    environment = {"CARTRITA_HOME": str(tmp_path / "nowhere")}
    ended = CliRunner().invoke(app, ["policy", *arguments], env=environment)
    return ended.exit_code, " ".join(ended.output.split())


def test_rules_are_read_with_all_that_they_ask_for(tmp_path: Path) -> None:
    secrets, own = load_policy(written(tmp_path / "policy.toml", RULES)).rules

    assert secrets.arguments == (
        ArgumentCondition(argument="path", operator="path_under", values=("/etc", "/root")),
    )
    assert own.hours == (0, 1, 2, 3, 4, 5, 22, 23)
    assert (own.calls_scope, own.calls_above) == ("session", 0)
    assert [one.operator for one in own.arguments] == ["path_under", "at_most", "in", "equal"]
    assert own.arguments[2].values == ('"r"', "1", "true")
    assert (own.arguments[1].number, own.arguments[3].negate) == (100.0, True)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('arguments = [{ argument = "a" }]', "one of"),
        ('arguments = [{ argument = "a", equal = 1, at_most = 2 }]', "one of"),
        ('arguments = [{ argument = "a", resembles = 1 }]', "resembles"),
        ('arguments = [{ argument = "a", matches = "(?=x)" }]', "pattern"),
        ('arguments = [{ argument = "a", matches = "(" }]', "pattern"),
        ('arguments = [{ argument = "a", path_under = "/a/../b" }]', "plain folder"),
        ('arguments = [{ argument = "a", host_in = "http://a.b" }]', "no host"),
        ('arguments = [{ argument = "a", at_most = "5" }]', "at_most"),
        ('arguments = [{ argument = "a", at_most = true }]', "at_most"),
        ('arguments = [{ argument = "a", in = [9007199254740993] }]', "9007199254740993"),
        ('arguments = [{ argument = "a..b", equal = 1 }]', "dots"),
        ('hours = "25-3"', "hours"),
        ('hours = "morning"', "hours"),
        ("hours = [24]", "hours"),
        ('calls_scope = "tenant"', "calls_scope"),
        ('trust = ["strangers"]', "trust"),
        ("despite_untrusted = true", "despite_untrusted lets pass"),
    ],
)
def test_a_rule_that_says_what_cannot_be_is_refused_with_its_place(
    tmp_path: Path, line: str, says: str
) -> None:
    text = f'[[rules]]\nname = "bad"\ndecision = "deny"\nreason = "r"\n{line}\n'

    with pytest.raises(ConfigurationInvalid, match=says):
        load_policy(written(tmp_path / "policy.toml", text))


def test_a_fork_brings_no_rule_that_cannot_be() -> None:
    condition = {"argument": "a", "operator": "matches", "values": ["("]}
    rule = {"name": "n", "decision": "allow", "reason": "r", "arguments": [condition]}

    with pytest.raises(ForkInvalid, match="pattern"):
        policy_of(json.dumps({"rules": [rule]}))


def test_check_tells_what_can_never_be_reached_and_what_cannot_be(tmp_path: Path) -> None:
    blocked = '[[rules]]\nname = "all"\ndecision = "allow"\nreason = "r"\n' + RULES
    code, said = cartrita(tmp_path, "check", "--file", str(written(tmp_path / "policy.toml", blocked)))
    assert (code, "own_files is never reached: all takes all" in said) == (0, True)

    code, said = cartrita(
        tmp_path, "check", "--file", str(written(tmp_path / "bad.toml", RULES + "[[rules]]"))
    )
    assert (code, "rules.2.name" in said) == (2, True)


@pytest.mark.parametrize(
    ("decision", "condition", "warned"),
    [
        ("allow", 'glob = "/srv/**"', True),
        ("audit", 'prefix = "https://example.org/"', True),
        ("throttle", 'prefix = ["report", "docs/"]', True),
        ("allow", 'prefix = "report-"', False),
        ("allow", 'path_under = "/srv"', False),
        ("deny", 'glob = "**/*.key"', False),
        ("escalate", 'prefix = "/etc"', False),
    ],
)
def test_check_tells_of_permissions_that_texts_of_paths_and_urls_get_past(
    tmp_path: Path, decision: str, condition: str, warned: bool
) -> None:
    text = (
        f'[[rules]]\nname = "own"\ndecision = "{decision}"\nreason = "r"\n'
        f'arguments = [{{ argument = "path", {condition} }}]\n'
    )

    code, said = cartrita(tmp_path, "check", "--file", str(written(tmp_path / "policy.toml", text)))

    assert code == 0
    assert ("own lets pass by the text of path alone" in said) is warned


def test_cases_are_held_against_rules_and_what_differs_names_the_nearest(tmp_path: Path) -> None:
    rules = str(written(tmp_path / "policy.toml", RULES))
    cases = written(tmp_path / "cases.toml", CASES)
    assert cartrita(tmp_path, "test", str(cases), "--file", rules) == (0, "2 of 2 cases as wanted")

    cases = written(tmp_path / "cases.toml", CASES.replace("hour = 23", "hour = 12"))
    code, said = cartrita(tmp_path, "test", str(cases), "--file", rules)

    assert code == 1
    assert "at night their own: deny by default_deny, not allow" in said
    assert "nearest: own_files would say allow, but the hour is 12 UTC" in said
    assert "1 of 2 cases as wanted" in said
    code, said = cartrita(tmp_path, "test", str(cases), "--file", rules, "--json")
    assert (code, json.loads(said)) == (1, {"cases": 2, "failed": ["at night their own"]})


def test_an_explanation_names_the_rule_the_reason_and_what_others_lacked(tmp_path: Path) -> None:
    rules = str(written(tmp_path / "policy.toml", RULES))
    options = ("--file", rules, "--safety-level", "safe", "--agent", "researcher")

    code, said = cartrita(tmp_path, "explain", "read_file", '{"path": "/srv/data/../../etc"}', *options)
    assert (code, "deny by secrets" in said) == (0, True)
    code, said = cartrita(tmp_path, "explain", "read_file", '{"path": "/a"}', *options, "--json")
    told = json.loads(said)
    assert (told["decision"], told["rule"], told["nearest"]["rule"]) == ("deny", "default_deny", "own_files")
    assert cartrita(tmp_path, "explain", "read_file", "{}", *options[:-1], "nobody")[0] == 4


MAIL = """
[[rules]]
name = "mail"
decision = "allow"
reason = "mail may be sent"
tools = ["mail__send"]
"""
MAIL_CASES = """
[[cases]]
name = "what the user asks for"
agent = "researcher"
tool = "mail__send"
safety_level = "safe"
category = "mcp"
holds_data = true
decision = "allow"

[[cases]]
name = "what a document may have asked for"
agent = "researcher"
tool = "mail__send"
safety_level = "safe"
category = "mcp"
trust = "document"
holds_data = true
decision = "escalate"
rule = "untrusted_to_outside"

[[cases]]
name = "a tool that tells nobody"
agent = "researcher"
tool = "mail__send"
safety_level = "safe"
category = "mcp"
trust = "claim"
holds_data = true
acts_outside = false
decision = "allow"
"""


def test_rules_and_cases_ask_for_trust_and_only_a_rule_that_says_so_loosens(tmp_path: Path) -> None:
    cases = str(written(tmp_path / "cases.toml", MAIL_CASES))
    rules = str(written(tmp_path / "policy.toml", MAIL))
    assert cartrita(tmp_path, "test", cases, "--file", rules) == (0, "3 of 3 cases as wanted")
    assert "lets data go outside" not in cartrita(tmp_path, "check", "--file", rules)[1]

    loose = str(written(tmp_path / "loose.toml", MAIL + "despite_untrusted = true\n"))
    code, said = cartrita(tmp_path, "test", cases, "--file", loose)

    assert code == 1
    assert "what a document may have asked for: allow by mail, not escalate by untrusted_to_outside" in said
    assert "mail lets data go outside" in cartrita(tmp_path, "check", "--file", loose)[1]


def test_an_explanation_says_which_three_came_together(tmp_path: Path) -> None:
    rules = str(written(tmp_path / "policy.toml", MAIL))
    options = ("--file", rules, "--safety-level", "safe", "--category", "mcp", "--agent", "researcher")

    code, said = cartrita(tmp_path, "explain", "mail__send", *options, "--trust", "claim", "--holds-data")

    assert code == 0
    assert "escalate by untrusted_to_outside: untrusted input (claim), data (data of the session)" in said
    assert "mail alone would allow it" in said
    assert "allow by mail" in cartrita(tmp_path, "explain", "mail__send", *options)[1]
