"""What policy and budget decided of a call, told with what the session had before and after."""

from collections.abc import Mapping

from processors import snapshots
from processors.policy.decide import Verdict
from processors.transition import Transition
from schemas.events.policies import PolicyDecided
from schemas.events.trust import Trust


def tell_decision(
    transition: Transition,
    verdict: Verdict,
    *,
    call_id: str,
    task_id: str,
    agent: str,
    tool: str = "",
    tokens: int = 0,
    nanodollars: int = 0,
    trust: Trust = Trust.UNKNOWN,
    request: Mapping[str, object],
) -> str:
    """Tell how a call was decided; returns the event's id.

    Args:
        transition: before anything is reserved for the call.
        verdict: the decision, the rule that made it, and why.
        call_id: of the call; empty for one that is not made.
        task_id: whose call it is.
        agent: who asked for it.
        tool: that was to be called; empty for a call of a model.
        tokens: what will be reserved for it.
        nanodollars: likewise.
        trust: of what led to a tool's call.
        request: the call as it was asked for.
    """
    state = transition.state
    before = snapshots.usage(transition)
    after = {
        **before,
        "tokens_reserved": before["tokens_reserved"] + tokens,
        "tokens_left": before["tokens_left"] - tokens,
        "nanodollars_reserved": before["nanodollars_reserved"] + nanodollars,
        "nanodollars_left": before["nanodollars_left"] - nanodollars,
    }
    return transition.emit(
        PolicyDecided(
            decision_id=transition.new_id("policy"),
            call_id=call_id,
            task_id=task_id,
            agent=agent,
            tool=tool,
            decision=verdict.decision,
            rule=verdict.rule,
            reason=verdict.reason,
            tokens_left_before=before["tokens_left"],
            tokens_left_after=after["tokens_left"],
            usage_before_json=snapshots.json_text(before),
            usage_after_json=snapshots.json_text(after),
            request_json=snapshots.json_text(request),
            user_json=snapshots.json_text({"tenant_id": state.tenant_id, "user_id": state.user_id}),
            trust=trust,
        )
    )
