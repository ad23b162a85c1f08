"""Why a call was decided so: what each rule lacked, and the nearest one that would have changed it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from processors.policy.conditions import condition_of
from processors.policy.decide import (
    HOUR_MS,
    Asked,
    PolicyRequest,
    Verdict,
    decide,
    verdict_of,
)
from processors.provenance import acts_outside
from schemas.configuration import ArgumentCondition, Policy, PolicyRule, ToolSpec
from schemas.events.policies import Decision

_NEGATIONS: Final = {False: "", True: "not "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One rule, held against a call."""

    rule: PolicyRule
    unmet: tuple[str, ...]
    """What keeps it from matching, a sentence each; empty: it matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A decision with its reasons."""

    verdict: Verdict
    looked: tuple[Looked, ...]
    """Every rule in its order, those behind the one that decided too."""
    nearest: Looked | None
    """The rule that lacks least, and would have decided otherwise; None: no rule would."""


def explain(request: PolicyRequest, policy: Policy) -> Explained:
    """Decide a call, and tell how far each rule was from deciding it."""
    verdict = decide(request, policy)
    if request.spec is None:
        return Explained(verdict=verdict, looked=(), nearest=None)
    asked = Asked(request)
    spec = request.spec
    looked = tuple(Looked(rule=rule, unmet=tuple(_unmet(rule, asked, spec))) for rule in policy.rules)
    first = next((number for number, one in enumerate(looked) if not one.unmet), len(looked))
    # A rule behind the one that decided is never asked.
    rivals = [
        one for one in looked[:first] if one.unmet and verdict_of(one.rule).decision != verdict.decision
    ]
    return Explained(
        verdict=verdict,
        looked=looked,
        nearest=min(rivals, key=lambda one: len(one.unmet), default=None),
    )


def _unmet(rule: PolicyRule, asked: Asked, spec: ToolSpec) -> Iterator[str]:
    request = asked.request
    lists: tuple[tuple[str, tuple[str, ...], str], ...] = (
        ("agent", rule.agents, request.agent),
        ("tool", rule.tools, request.tool),
        ("safety level", rule.safety_levels, spec.safety_level),
        ("category", rule.categories, spec.category),
        ("tenant", rule.tenants, request.tenant),
        ("user", rule.users, request.user),
    )
    for name, wanted, is_so in lists:
        if wanted and is_so not in wanted:
            yield f"{name} is {is_so}, not {' or '.join(wanted)}"
    if rule.acts_outside is not None and rule.acts_outside is not acts_outside(spec):
        yield f"{request.tool} {'acts' if acts_outside(spec) else 'does not act'} outside"
    if rule.trust and request.trust not in rule.trust:
        yield f"trust is {request.trust}, not {' or '.join(rule.trust)}"
    if rule.holds_data is not None and rule.holds_data is not bool(request.data):
        yield f"what led to the call holds {request.data or 'no data of the session'}"
    if rule.unless_listed and request.listed:
        yield f"the list of {request.agent} has {request.tool}"
    hour = request.now_ms // HOUR_MS % 24
    if rule.hours and hour not in rule.hours:
        yield f"the hour is {hour} UTC, not one of {', '.join(map(str, rule.hours))}"
    if rule.share_left_below is not None and request.share_left >= rule.share_left_below:
        yield f"{request.share_left:g} of the budget is left, not less than {rule.share_left_below:g}"
    counts = {"task": request.calls_before, "turn": request.calls_in_turn}
    calls = counts.get(rule.calls_scope, request.calls_in_session)
    if rule.calls_above is not None and calls < rule.calls_above:
        yield f"the {rule.calls_scope} has made {calls} calls of it before, not {rule.calls_above}"
    yield from _unmet_conditions(rule, asked)


def _unmet_conditions(rule: PolicyRule, asked: Asked) -> Iterator[str]:
    if not rule.arguments:
        return
    arguments = asked.arguments()
    if arguments is None:
        # Whoever asks for them decides: the call is denied.
        return
    forbids = Decision(rule.decision) in (Decision.DENY, Decision.ESCALATE)
    for one in rule.arguments:
        if not condition_of(one)(arguments, forbids):
            yield f"the argument {one.argument} is not {told(one)}"


def told(one: ArgumentCondition) -> str:
    """Return a condition in words."""
    against = " or ".join(one.values) if one.number is None else f"{one.number:g}"
    return f"{_NEGATIONS[one.negate]}{one.operator.replace('_', ' ')} {against}"
