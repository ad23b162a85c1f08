"""`policy`: the rules that decide about tool calls; check them, hold cases against them, and ask why."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from pydantic import Field

from processors.policy.decide import HOUR_MS, PolicyRequest
from processors.policy.explain import Explained, Looked, explain
from processors.policy.hindsight import spec_to_judge
from schemas.configuration import ArgumentCondition, Configuration, PolicyRule, ToolSpec
from schemas.events.trust import Trust
from schemas.frozen import replace
from streams.cli import output, policy_hindsight
from streams.cli.command import Code, command, fail, plain_command
from streams.cli.context import settings
from streams.cli.output import AsJson
from streams.configuration.approvers import load_approvers
from streams.configuration.files import ConfigurationInvalid, Strict, checked, toml
from streams.configuration.loading import load_configuration
from streams.configuration.policies import load_policy

_DATA: Final = "data of the session"
_PASSES: Final = ("allow", "audit", "throttle")
_LEVELS: Final = ("safe", "caution", "restricted")

policy = typer.Typer(
    help="The rules that decide about tool calls: check, test, explain, what-if, shadow.",
    no_args_is_help=True,
)
RulesFile = Annotated[
    Path | None,
    typer.Option("--file", help="Rules in a file of the form of policy.toml; else those in force."),
]


class _CaseFile(Strict):
    name: str
    tool: str
    agent: str
    arguments: dict[str, Any] | str = Field(default_factory=dict)  # (Any: whatever the tool takes)
    safety_level: str = ""
    category: str = ""
    tenant: str = "default"
    user: str = "anonymous"
    hour: Annotated[int, Field(ge=0, lt=24)] = 12
    share_left: Annotated[float, Field(ge=0, le=1)] = 1.0
    calls_before: Annotated[int, Field(ge=0)] = 0
    calls_in_turn: Annotated[int, Field(ge=0)] = 0
    calls_in_session: Annotated[int, Field(ge=0)] = 0
    trust: Literal["system", "user", "tool", "unknown", "document", "claim"] = "user"
    holds_data: bool = False
    acts_outside: bool | None = None
    decision: str
    rule: str = ""


class _CasesFile(Strict):
    cases: list[_CaseFile]


@policy.command("check")
@plain_command
def check(file: RulesFile = None) -> None:
    """Tell whether rules can be used, and which are not what they seem. Exit code 2: they cannot."""
    configuration = _configured(file)
    rules = configuration.policy.rules
    output.say(
        "{count} rules, {approvers} approvers",
        count=len(rules),
        approvers=len(configuration.policy.approvers),
    )
    for number, rule in enumerate(rules):
        blocker = next((one for one in rules[:number] if _takes_all(one)), None)
        if blocker is not None:
            output.say(
                "[yellow]{name}[/] is never reached: {blocker} takes all",
                name=rule.name,
                blocker=blocker.name,
            )
    for rule in rules:
        for one in rule.arguments:
            if rule.decision in _PASSES and _means_a_place(one):
                output.say(
                    "[yellow]{name}[/] lets pass by the text of {argument} alone, where .. and @ lead "
                    "elsewhere: path_under and host_in judge paths and URLs",
                    name=rule.name,
                    argument=one.argument,
                )
        if rule.despite_untrusted:
            output.say(
                "[yellow]{name}[/] lets data go outside where untrusted text may have asked for it "
                "(docs/trust.md)",
                name=rule.name,
            )
    if any(rule.decision == "escalate" for rule in rules) and not configuration.policy.approvers:
        output.say("[yellow]nobody may approve[/] what escalates: set CARTRITA_APPROVERS, or it is refused")


@policy.command("test")
@command
async def hold(
    cases: Annotated[Path, typer.Argument(help="File of cases, each with a decision (docs/policy.md).")],
    file: RulesFile = None,
    as_json: AsJson = False,
) -> None:
    """Hold a table of cases against the rules. Exit code 1: one is decided otherwise."""
    table = checked(_CasesFile, toml(cases, str(cases)), str(cases))
    configuration = await _with_tools(_configured(file), [one for one in table.cases if not one.safety_level])
    failed = []
    for case in table.cases:
        explained = explain(_request(case, configuration), configuration.policy)
        verdict = explained.verdict
        if verdict.decision != case.decision or (case.rule and verdict.rule != case.rule):
            failed.append(case.name)
            if not as_json:
                output.say(
                    "[red]{name}[/]: {decision} by {rule}, not {wanted} {by}",
                    name=case.name,
                    decision=verdict.decision,
                    rule=verdict.rule,
                    wanted=case.decision,
                    by=f"by {case.rule}" if case.rule else "",
                )
                _show_nearest(explained.nearest)
    if as_json:
        output.emit_json({"cases": len(table.cases), "failed": failed})
    else:
        output.say(
            "{passed} of {count} cases as wanted",
            passed=len(table.cases) - len(failed),
            count=len(table.cases),
        )
    if failed:
        raise typer.Exit(Code.FAILED)


@policy.command("explain")
@command
async def explain_call(
    tool: Annotated[str, typer.Argument(help="Such as search_documents.")],
    arguments: Annotated[str, typer.Argument(help="Its arguments, as JSON.")] = "{}",
    agent: Annotated[str, typer.Option(help="Who asks for it.")] = "",
    file: RulesFile = None,
    safety_level: Annotated[str, typer.Option(help="Of the tool; by default what it says of itself.")] = "",
    category: Annotated[str, typer.Option(help="Of the tool; likewise.")] = "",
    tenant: str = "default",
    user: str = "anonymous",
    hour: Annotated[int, typer.Option(min=0, max=23, help="Of the day, UTC.")] = 12,
    share_left: Annotated[float, typer.Option(min=0, max=1, help="Of the session's budget.")] = 1.0,
    calls_before: Annotated[int, typer.Option(min=0, help="Of the tool, by the task.")] = 0,
    trust: Annotated[Trust, typer.Option(help="Of the least trusted of what led to the call.")] = Trust.USER,
    holds_data: Annotated[
        bool, typer.Option("--holds-data", help="Data of the session is in what led to it.")
    ] = False,
    acts_outside: Annotated[
        bool | None, typer.Option(help="Of the tool; by default what it or its category says.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what the rules say of a call, why, and which rule nearly said otherwise. Nothing is called."""
    case = _CaseFile(
        name="",
        tool=tool,
        agent=agent,
        arguments=arguments,
        safety_level=safety_level,
        category=category,
        tenant=tenant,
        user=user,
        hour=hour,
        share_left=share_left,
        calls_before=calls_before,
        calls_in_turn=calls_before,
        calls_in_session=calls_before,
        trust=trust.value,
        holds_data=holds_data,
        acts_outside=acts_outside,
        decision="",
    )
    configuration = await _with_tools(_configured(file), [] if safety_level else [case])
    if not agent:
        able = [one.name for one in configuration.agents.values() if tool in one.tools]
        case = case.model_copy(update={"agent": able[0] if able else next(iter(configuration.agents))})
    explained = explain(_request(case, configuration), configuration.policy)
    if as_json:
        output.emit_json(_plain(explained))
    else:
        _show(explained)


policy.command("what-if")(policy_hindsight.what_if)
policy.command("shadow")(policy_hindsight.shadow)


def _configured(file: Path | None) -> Configuration:
    given = settings()
    configuration = load_configuration((), given.configuration_directory, given.approvers)
    if file is None:
        return configuration
    own = replace(load_policy(file), approvers=load_approvers(given.approvers))
    return replace(configuration, policy=own)


async def _with_tools(configuration: Configuration, asking: list[_CaseFile]) -> Configuration:
    """Return the configuration with what tools say of themselves, if a case needs it."""
    if not asking:
        return configuration
    # What tools are made of takes a while to load, which no other command should wait for.
    from streams.worker.providers import make_providers

    providers = await make_providers(settings())
    try:
        return replace(configuration, tools=providers.configuration.tools)
    finally:
        await providers.close()


def _request(case: _CaseFile, configuration: Configuration) -> PolicyRequest:
    agent = configuration.agents.get(case.agent)
    if agent is None:
        fail(
            Code.NOT_FOUND,
            f"there is no agent {case.agent!r}; there are {', '.join(sorted(configuration.agents))}",
        )
    given = case.arguments
    return PolicyRequest(
        agent=agent.name,
        tool=case.tool,
        spec=_spec(case, configuration),
        calls_before=case.calls_before,
        share_left=case.share_left,
        listed=case.tool in agent.tools,
        arguments_json=given if isinstance(given, str) else json.dumps(given, ensure_ascii=False),
        tenant=case.tenant,
        user=case.user,
        now_ms=case.hour * HOUR_MS,
        calls_in_turn=case.calls_in_turn,
        calls_in_session=case.calls_in_session,
        trust=Trust(case.trust),
        data=_DATA if case.holds_data else "",
    )


def _spec(case: _CaseFile, configuration: Configuration) -> ToolSpec | None:
    spec = configuration.tools.get(case.tool)
    if not case.safety_level:
        return _acting(spec, case) if spec is not None else None
    if case.safety_level not in _LEVELS:
        raise ConfigurationInvalid(f"{case.name}: safety_level is one of {', '.join(_LEVELS)}")
    category = case.category or (spec.category if spec is not None else "")
    judged = spec_to_judge(case.tool, category=category, safety_level=case.safety_level)
    return _acting(judged, case)


def _acting(spec: ToolSpec, case: _CaseFile) -> ToolSpec:
    return spec if case.acts_outside is None else replace(spec, acts_outside=case.acts_outside)


def _takes_all(rule: PolicyRule) -> bool:
    plain = replace(
        rule, decision="", approvers=(), approver_scope="", four_eyes=False, despite_untrusted=False
    )
    return plain == PolicyRule(name=rule.name, decision="", reason=rule.reason)


def _means_a_place(one: ArgumentCondition) -> bool:
    """Tell whether a condition holds texts of paths or URLs against a form that such texts get past."""
    return one.operator in ("prefix", "glob") and any("/" in value for value in one.values)


def _show(explained: Explained) -> None:
    verdict = explained.verdict
    output.say(
        "[bold]{decision}[/] by {rule}: {reason}",
        decision=verdict.decision,
        rule=verdict.rule,
        reason=verdict.reason,
    )
    for one in explained.looked:
        if not one.unmet:
            break
        output.say("[dim]{name}: {why}[/]", name=one.rule.name, why="; ".join(one.unmet))
    _show_nearest(explained.nearest)


def _show_nearest(nearest: Looked | None) -> None:
    if nearest is not None:
        output.say(
            "nearest: {name} would say {decision}, but {why}",
            name=nearest.rule.name,
            decision=nearest.rule.decision,
            why="; ".join(nearest.unmet),
        )


def _plain(explained: Explained) -> Mapping[str, object]:
    verdict, nearest = explained.verdict, explained.nearest
    return {
        "decision": verdict.decision,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "looked": [{"rule": one.rule.name, "unmet": one.unmet} for one in explained.looked],
        "nearest": None
        if nearest is None
        else {"rule": nearest.rule.name, "decision": nearest.rule.decision, "unmet": nearest.unmet},
    }
