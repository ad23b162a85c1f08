"""The policy decider: rules as data; the first rule that matches a call decides it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from processors.approvals.binding import ARGUMENTS_BYTES_MAX
from processors.policy.conditions import Condition, ConditionInvalid, condition_of
from processors.provenance import acts_outside, is_untrusted, reaches_data
from schemas.canonical import NotCanonical, parsed
from schemas.configuration import Policy, PolicyRule, ToolSpec
from schemas.events.policies import Decision
from schemas.events.trust import Trust

VALUES_MAX: Final = 4_096
"""Commas and brackets of arguments that rules read; with more they have too many values to be judged."""
HOUR_MS: Final = 3_600_000
_FORBIDS: Final = frozenset({Decision.DENY, Decision.ESCALATE})
_COMPILED_MAX: Final = 256
_TASK: Final = "task"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRequest:
    """A tool call that somebody would like to make."""

    agent: str
    tool: str
    spec: ToolSpec | None
    """None for a tool that nobody registered, and for one that a client brings along."""
    calls_before: int
    """Calls of the tool that the task, or the client's answer, has made already."""
    share_left: float
    """Of the session's budget; 0 to 1."""
    listed: bool = True
    """The agent's own list has the tool."""
    arguments_json: str = "{}"
    tenant: str = "default"
    user: str = "anonymous"
    now_ms: int = 0
    """Of the input that led to the call, in milliseconds since 1970."""
    calls_in_turn: int = 0
    calls_in_session: int = 0
    trust: Trust = Trust.UNKNOWN
    """Of the least trusted part of what led to the call."""
    trust_why: str = ""
    """Which part that is; empty: it is trusted."""
    data: str = ""
    """What of the session's data is in what led to the call; empty: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What policy says."""

    decision: Decision
    rule: str
    reason: str
    approvers: tuple[str, ...] = ()
    """Of an escalation, as its rule has them."""
    scope: str = ""
    four_eyes: bool = False
    despite_untrusted: bool = False
    """Whether the rule says that it counts even where untrusted input, data and an effect outside meet."""


@dataclass(slots=True)
class Asked:
    """A request on its way past the rules; its arguments are read once, by the first rule that asks."""

    request: PolicyRequest
    unreadable: str = ""
    """Why its arguments can't be judged."""
    _arguments: dict[str, object] | None = field(default=None)

    def arguments(self) -> dict[str, object] | None:
        """Return the arguments; None: they cannot be judged."""
        if self._arguments is None and not self.unreadable:
            try:
                self._arguments = _read(self.request.arguments_json)
            except NotCanonical as error:
                self.unreadable = str(error)
        return self._arguments


UNKNOWN_TOOL = Verdict(
    decision=Decision.DENY, rule="unknown_tool", reason="no tool of that name is registered"
)
CLIENTS_OWN = Verdict(
    decision=Decision.ALLOW, rule="client_tool", reason="no rule names it, and the client executes it itself"
)
NO_RULE = Verdict(decision=Decision.DENY, rule="default_deny", reason="no rule allows this call")
UNREADABLE_RULE: Final = "arguments_unreadable"
NO_APPROVER_RULE: Final = "no_approver"
TOO_MANY_REQUESTS_RULE: Final = "too_many_requests"
UNTRUSTED_RULE: Final = "untrusted_to_outside"
"""That untrusted input, data of the session and an effect outside come together: a person is asked."""
UNASKABLE_RULES: Final = frozenset({NO_APPROVER_RULE, TOO_MANY_REQUESTS_RULE})
"""Why nobody is asked of what a rule escalates."""
_STRICTNESS: Final = (
    Decision.ALLOW,
    Decision.AUDIT,
    Decision.THROTTLE,
    Decision.ESCALATE,
    Decision.DENY,
)


class CompiledRule:
    """A rule made ready: what a call is, first; then, for those alone that it may concern, its arguments."""

    __slots__ = (
        "_agents",
        "_categories",
        "_hours",
        "_levels",
        "_tenants",
        "_trust",
        "_users",
        "conditions",
        "rule",
    )

    def __init__(self, rule: PolicyRule) -> None:
        """Make it ready.

        Raises:
            ConditionInvalid: a condition cannot be; policies that were loaded have none.
        """
        self.rule = rule
        self._agents = frozenset(rule.agents)
        self._levels, self._categories = frozenset(rule.safety_levels), frozenset(rule.categories)
        self._tenants, self._users = frozenset(rule.tenants), frozenset(rule.users)
        self._hours, self._trust = frozenset(rule.hours), frozenset(rule.trust)
        self.conditions: tuple[Condition, ...] = tuple(map(condition_of, rule.arguments))

    def concerns(self, request: PolicyRequest, spec: ToolSpec) -> bool:
        """Tell whether a rule of the tool matches but for what it asks of the arguments."""
        return (
            (not self._levels or spec.safety_level in self._levels)
            and (not self._agents or request.agent in self._agents)
            and (not self._categories or spec.category in self._categories)
            and (not self.rule.unless_listed or not request.listed)
            and (self.rule.acts_outside is None or self.rule.acts_outside is acts_outside(spec))
            and self._is_met(request)
        )

    def concerns_client(self, request: PolicyRequest) -> bool:
        """Tell the same of a tool that a client brings along: neither level nor category is known of it."""
        return (
            request.agent in self._agents
            and not (self._levels or self._categories or self.rule.unless_listed)
            and self.rule.acts_outside is None
            and self._is_met(request)
        )

    def _is_met(self, request: PolicyRequest) -> bool:
        rule = self.rule
        return (
            (not self._tenants or request.tenant in self._tenants)
            and (not self._users or request.user in self._users)
            and (not self._hours or request.now_ms // HOUR_MS % 24 in self._hours)
            and (rule.share_left_below is None or request.share_left < rule.share_left_below)
            and (not self._trust or request.trust in self._trust)
            and (rule.holds_data is None or rule.holds_data is bool(request.data))
            and (rule.calls_above is None or _calls(rule.calls_scope, request) >= rule.calls_above)
        )


class CompiledPolicy:
    """A policy made ready, with the rules that may concern each tool."""

    __slots__ = ("_by_tool", "policy", "rules")

    def __init__(self, policy: Policy) -> None:
        """Make it ready.

        Raises:
            ConditionInvalid: a rule of it cannot be.
        """
        self.policy = policy
        self.rules = tuple(map(CompiledRule, policy.rules))
        self._by_tool: dict[str, tuple[CompiledRule, ...]] = {}

    def of_tool(self, tool: str) -> tuple[CompiledRule, ...]:
        """Return the rules that may concern a tool, in their order."""
        found = self._by_tool.get(tool)
        if found is None:
            found = tuple(one for one in self.rules if not one.rule.tools or tool in one.rule.tools)
            self._by_tool[tool] = found
        return found


_COMPILED: Final[dict[int, CompiledPolicy]] = {}
"""By identity: a policy is one object while it decides, and to compare a hundred rules takes longer."""


def decide(request: PolicyRequest, policy: Policy) -> Verdict:
    """Decide a call; total: whatever no rule allows is denied."""
    if request.spec is None:
        return UNKNOWN_TOOL
    spec = request.spec
    verdict = _first(request, policy, lambda one: one.concerns(request, spec)) or NO_RULE
    if verdict.decision in _FORBIDS or verdict.despite_untrusted:
        return verdict
    return _untrusted_to_outside(request, spec, verdict) or verdict


def _untrusted_to_outside(request: PolicyRequest, spec: ToolSpec, verdict: Verdict) -> Verdict | None:
    """Have a person asked where untrusted input, data and an effect outside meet; None: they do not.

    Whoever wrote the input may have written the call, and what it may carry outside is not theirs. What was
    not noted to be untrusted is decided as before.
    """
    if not is_untrusted(request.trust) or not acts_outside(spec):
        return None
    data = request.data or (f"what {spec.name} reaches" if reaches_data(spec) else "")
    if not data:
        return None
    return Verdict(
        decision=Decision.ESCALATE,
        rule=UNTRUSTED_RULE,
        reason=f"untrusted input ({request.trust_why or request.trust}), data ({data}) and an effect outside "
        f"({spec.name}) come together; {verdict.rule} alone would {verdict.decision} it",
    )


def decide_client_tool(request: PolicyRequest, policy: Policy) -> Verdict:
    """Decide a call of a tool that a client brought along and executes itself.

    Only rules count that name the agent `client`, and not those about safety levels, categories, lists and
    what a tool does, of which nothing is known; what none of them matches is allowed. Nothing of a session's
    data is in what led to such a call but what the client brought itself.
    """
    return _first(request, policy, lambda one: one.concerns_client(request)) or CLIENTS_OWN


def _first(
    request: PolicyRequest, policy: Policy, concerns: Callable[[CompiledRule], bool]
) -> Verdict | None:
    """Return what the first rule that matches says; None: none does."""
    asked = Asked(request)
    try:
        rules = compiled(policy).of_tool(request.tool)
    except ConditionInvalid as error:
        return Verdict(
            decision=Decision.DENY, rule="policy_invalid", reason=f"the policy cannot be read: {error}"
        )
    for one in rules:
        if not concerns(one):
            continue
        if one.conditions:
            arguments = asked.arguments()
            if arguments is None:
                reason = f"{one.rule.name} asks for arguments, and they can't be judged: {asked.unreadable}"
                return Verdict(decision=Decision.DENY, rule=UNREADABLE_RULE, reason=reason)
            if not holds(one, arguments):
                continue
        return verdict_of(one.rule)
    return None


def holds(one: CompiledRule, arguments: dict[str, object]) -> bool:
    """Tell whether all that a rule asks of arguments holds."""
    forbids = one.rule.decision in _FORBIDS
    return all(condition(arguments, forbids) for condition in one.conditions)


def compiled(policy: Policy) -> CompiledPolicy:
    """Return a policy made ready; that is done once.

    Raises:
        ConditionInvalid: a rule of it cannot be.
    """
    known = _COMPILED.get(id(policy))
    if known is not None and known.policy is policy:
        return known
    made = CompiledPolicy(policy)
    if len(_COMPILED) >= _COMPILED_MAX:
        _COMPILED.clear()
    _COMPILED[id(policy)] = made
    return made


def narrowed(verdict: Verdict, other: Verdict) -> Verdict:
    """Return the stricter of two verdicts; the first where neither is."""
    return other if _STRICTNESS.index(other.decision) > _STRICTNESS.index(verdict.decision) else verdict


def verdict_of(rule: PolicyRule) -> Verdict:
    """Return what a rule says."""
    return Verdict(
        decision=Decision(rule.decision),
        rule=rule.name,
        reason=rule.reason,
        approvers=rule.approvers,
        scope=rule.approver_scope,
        four_eyes=rule.four_eyes,
        despite_untrusted=rule.despite_untrusted,
    )


def _calls(scope: str, request: PolicyRequest) -> int:
    if scope == _TASK:
        return request.calls_before
    return request.calls_in_turn if scope == "turn" else request.calls_in_session


def _read(arguments_json: str) -> dict[str, object]:
    if not arguments_json.strip():
        return {}
    if len(arguments_json) > ARGUMENTS_BYTES_MAX:
        raise NotCanonical(f"they have more than {ARGUMENTS_BYTES_MAX:,} bytes")
    if arguments_json.count(",") + arguments_json.count("[") + arguments_json.count("{") > VALUES_MAX:
        raise NotCanonical(f"they have more than {VALUES_MAX:,} values")
    value = parsed(arguments_json, bytes_max=ARGUMENTS_BYTES_MAX)
    if not isinstance(value, dict):
        raise NotCanonical("they are no JSON object")
    return value
