"""The policy decider: a first rule set as data; the first rule that matches a call decides it."""

from dataclasses import dataclass
from typing import Final

from schemas.configuration import Agent, Policy, PolicyRule, ToolSpec
from schemas.events.policies import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRequest:
    """A tool call that somebody would like to make."""

    agent: Agent
    tool: str
    spec: ToolSpec | None
    """None for a tool that nobody registered."""
    calls_before: int
    """Calls of the tool that the task has made already."""
    share_left: float
    """Of the session's budget; 0 to 1."""


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


UNKNOWN_TOOL = Verdict(
    decision=Decision.DENY, rule="unknown_tool", reason="no tool of that name is registered"
)
CLIENTS_OWN = Verdict(
    decision=Decision.ALLOW, rule="client_tool", reason="no rule names it, and the client executes it itself"
)
NO_RULE = Verdict(decision=Decision.DENY, rule="default_deny", reason="no rule allows this call")


_STRICTNESS: Final = (
    Decision.ALLOW,
    Decision.AUDIT,
    Decision.THROTTLE,
    Decision.ESCALATE,
    Decision.DENY,
)


def decide(request: PolicyRequest, policy: Policy) -> Verdict:
    """Decide a call; total: whatever no rule allows is denied."""
    if request.spec is None:
        return UNKNOWN_TOOL
    for rule in policy.rules:
        if _matches(rule, request, request.spec):
            return _verdict(rule)
    return NO_RULE


def decide_client_tool(
    agent: str, tool: str, policy: Policy, share_left: float, *, calls_before: int
) -> Verdict:
    """Decide a call of a tool that a client brought along and executes itself.

    Nothing is known of the tool but its name, so only rules count that name the agent `client`, and not those
    about safety levels and lists; what none of them matches is allowed.

    Args:
        agent: as which clients are known.
        tool: its name.
        policy: the rules.
        share_left: of the session's budget, 0 to 1.
        calls_before: calls of the same answer.
    """
    for rule in policy.rules:
        if (
            agent in rule.agents
            and (not rule.tools or tool in rule.tools)
            and not rule.safety_levels
            and not rule.unless_listed
            and (rule.share_left_below is None or share_left < rule.share_left_below)
            and (rule.calls_above is None or calls_before >= rule.calls_above)
        ):
            return _verdict(rule)
    return CLIENTS_OWN


def narrowed(verdict: Verdict, other: Verdict) -> Verdict:
    """Return the stricter of two verdicts; the first where neither is."""
    return other if _STRICTNESS.index(other.decision) > _STRICTNESS.index(verdict.decision) else verdict


def _verdict(rule: PolicyRule) -> Verdict:
    return Verdict(
        decision=Decision(rule.decision),
        rule=rule.name,
        reason=rule.reason,
        approvers=rule.approvers,
        scope=rule.approver_scope,
        four_eyes=rule.four_eyes,
    )


def _matches(rule: PolicyRule, request: PolicyRequest, spec: ToolSpec) -> bool:
    return (
        (not rule.agents or request.agent.name in rule.agents)
        and (not rule.tools or request.tool in rule.tools)
        and (not rule.safety_levels or spec.safety_level in rule.safety_levels)
        and (not rule.unless_listed or request.tool not in request.agent.tools)
        and (rule.share_left_below is None or request.share_left < rule.share_left_below)
        and (rule.calls_above is None or request.calls_before >= rule.calls_above)
    )
