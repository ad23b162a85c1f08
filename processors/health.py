"""How models did lately, as one session saw it: who fails again and again is left alone for a while.

What other sessions saw is not known here: a session is decided by its own inputs alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.configuration import Limits
from schemas.events.models import ModelCallCompleted, ModelCallFailed, ModelFailureKind
from schemas.frozen import replace

_OF_PROVIDERS = (ModelFailureKind.RATE_LIMITED, ModelFailureKind.PROVIDER_ERROR, ModelFailureKind.TIMEOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFailures:
    """How often calls of a model failed by its provider's fault since one was answered."""

    count: int = 0
    failed_at_ms: int = 0
    """The latest one."""


def noted(
    failed: Mapping[str, ModelFailures],
    model: str,
    outcome: ModelCallCompleted | ModelCallFailed,
    now_ms: int,
) -> Mapping[str, ModelFailures]:
    """Return the failures of models with one outcome more: an answer makes up for all before it.

    Args:
        failed: by the names of the configuration, those that failed since they answered.
        model: by the same name; whose outcome it is.
        outcome: what came of a call.
        now_ms: when.
    """
    if isinstance(outcome, ModelCallCompleted):
        return {name: one for name, one in failed.items() if name != model} if model in failed else failed
    if outcome.kind not in _OF_PROVIDERS:
        return failed
    before = failed.get(model, ModelFailures())
    return {**failed, model: replace(before, count=before.count + 1, failed_at_ms=now_ms)}


def resting(failed: Mapping[str, ModelFailures], now_ms: int, limits: Limits) -> frozenset[str]:
    """Return the models that others are asked before: they failed often, and the latest time not long ago."""
    return frozenset(
        name
        for name, one in failed.items()
        if one.count >= limits.model_failures_max and now_ms < one.failed_at_ms + limits.model_rest_ms
    )
