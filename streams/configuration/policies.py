"""Rules as people write them, in policy.toml and in files of its form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from processors.policy.conditions import OPERATORS, fault_of
from schemas.canonical import NotCanonical, canonical
from schemas.configuration import ArgumentCondition, Policy, PolicyRule
from streams.configuration.files import ConfigurationInvalid, Strict, checked, toml

HOURS: Final = 24
_Texts = str | list[str]
_Scalar = bool | int | float | str


class _ConditionFile(Strict):
    model_config = ConfigDict(extra="forbid", populate_by_name=True, strict=True)

    argument: Annotated[str, Field(min_length=1, max_length=200)]
    equal: _Scalar | None = None
    among: Annotated[list[_Scalar] | None, Field(alias="in")] = None
    prefix: _Texts | None = None
    glob: _Texts | None = None
    path_under: _Texts | None = None
    host_in: _Texts | None = None
    at_most: float | int | None = None
    length_at_most: int | None = None
    matches: _Texts | None = None
    negate: Annotated[bool, Field(alias="not")] = False


class _RuleFile(Strict):
    name: Annotated[str, Field(max_length=100)]
    decision: Literal["allow", "deny", "throttle", "escalate", "audit"]
    reason: str
    agents: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    safety_levels: tuple[Literal["safe", "caution", "restricted"], ...] = ()
    unless_listed: bool = False
    share_left_below: float | None = None
    calls_above: int | None = None
    calls_scope: Literal["task", "turn", "session"] = "task"
    categories: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    hours: str | list[Annotated[int, Field(ge=0, lt=HOURS)]] | None = None
    arguments: list[_ConditionFile] = Field(default_factory=list)
    approvers: tuple[str, ...] = ()
    approver_scope: str = ""
    four_eyes: bool = False
    trust: tuple[Literal["system", "user", "tool", "unknown", "document", "claim"], ...] = ()
    acts_outside: bool | None = None
    holds_data: bool | None = None
    despite_untrusted: bool = False


class _PolicyFile(Strict):
    rules: list[_RuleFile]


def load_policy(path: Path) -> Policy:
    """Read one file of rules, of the form of policy.toml.

    Raises:
        ConfigurationInvalid: it cannot be read, or is no policy.
    """
    return policy_of(toml(path, str(path)), str(path))


def policy_of(plain: Mapping[str, object], name: str) -> Policy:
    """Read rules.

    Raises:
        ConfigurationInvalid: it is no policy.
    """
    return Policy(rules=tuple(_rule(rule, name) for rule in checked(_PolicyFile, plain, name).rules))


def _rule(file: _RuleFile, name: str) -> PolicyRule:
    where = f"{name}: rule {file.name!r}"
    if file.despite_untrusted and file.decision in ("deny", "escalate"):
        raise ConfigurationInvalid(
            f"{where}: despite_untrusted lets pass, and {file.decision} does not; remove it"
        )
    return PolicyRule(
        name=file.name,
        decision=file.decision,
        reason=file.reason,
        agents=file.agents,
        tools=file.tools,
        safety_levels=file.safety_levels,
        unless_listed=file.unless_listed,
        share_left_below=file.share_left_below,
        calls_above=file.calls_above,
        calls_scope=file.calls_scope,
        categories=file.categories,
        tenants=file.tenants,
        users=file.users,
        hours=_hours(file.hours, where),
        arguments=tuple(_condition(one, where) for one in file.arguments),
        approvers=file.approvers,
        approver_scope=file.approver_scope,
        four_eyes=file.four_eyes,
        trust=file.trust,
        acts_outside=file.acts_outside,
        holds_data=file.holds_data,
        despite_untrusted=file.despite_untrusted,
    )


def _condition(file: _ConditionFile, where: str) -> ArgumentCondition:
    given = {
        field.alias or name: getattr(file, name)
        for name, field in _ConditionFile.model_fields.items()
        if name not in ("argument", "negate") and getattr(file, name) is not None
    }
    if len(given) != 1:
        raise ConfigurationInvalid(
            f"{where}: arguments: {file.argument}: it takes one of {', '.join(OPERATORS)}, not {len(given)}"
        )
    ((operator, value),) = given.items()
    numeric = operator in ("at_most", "length_at_most")
    condition = ArgumentCondition(
        argument=file.argument,
        operator=operator,
        values=() if numeric else _values(operator, value, where),
        number=float(value) if numeric else None,
        negate=file.negate,
    )
    fault = fault_of(condition)
    if fault is not None:
        raise ConfigurationInvalid(f"{where}: arguments: {file.argument}: {fault}")
    return condition


def _values(operator: str, value: object, where: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if operator not in ("equal", "in"):
        return tuple(map(str, values))
    try:
        return tuple(canonical(one).decode() for one in values)
    except NotCanonical as error:
        raise ConfigurationInvalid(f"{where}: arguments: {operator}: {error}") from error


def _hours(given: str | list[int] | None, where: str) -> tuple[int, ...]:
    """Read hours of the day: a list, or `22-6` for those from 22 to before 6."""
    if given is None:
        return ()
    if isinstance(given, list):
        return tuple(sorted(set(given)))
    first, dash, last = given.partition("-")
    hours = (first.strip(), last.strip())
    if not dash or not all(one.isascii() and one.isdecimal() and int(one) <= HOURS for one in hours):
        raise ConfigurationInvalid(
            f"{where}: hours is {given!r}; write such as 22-6, or a list of hours, in UTC"
        )
    begin, end = (int(one) % HOURS for one in hours)
    length = (end - begin) % HOURS or HOURS
    return tuple(sorted((begin + number) % HOURS for number in range(length)))
