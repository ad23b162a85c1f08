"""The router: which model a call goes to, how long its answer may be, and why.

A pure function of what is wished for, what is left, what models there are and how they did lately. The event
that asks for the call tells each reason, in the order in which it was found; the last names the model.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from processors.state import Budget
from schemas.configuration import ChatModel, Limits
from schemas.events.budgets import BudgetScope, DownshiftCause
from schemas.events.models import CallPurpose, RouteCause, RouteReason
from schemas.events.plans import Difficulty
from schemas.frozen import replace

TIERS: Final = ("fallback", "standard", "premium")
"""From the least to the most able; what they cost their names do not say."""
_CAUSES: Final = {
    DownshiftCause.TOKENS: RouteCause.TOKENS,
    DownshiftCause.MONEY: RouteCause.MONEY,
    DownshiftCause.WINDOW: RouteCause.WINDOW,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A model call that somebody would like to make."""

    task_id: str
    purpose: CallPurpose
    agent: str
    tier: str
    input_tokens: int
    """The most that its prompt can have."""
    output_tokens: int
    """The longest answer that is of use."""
    tokens_left: int
    """What the session may use for this purpose, what is held back for others taken off."""
    nanodollars_left: int
    task_tokens_left: int | None = None
    """What the task may still use; None: it has no bound of its own."""
    difficulty: Difficulty = Difficulty.USUAL
    """As the planner sees the task."""
    calls_tools: bool = False
    """Tools are offered."""
    is_json: bool = False
    """JSON is asked for."""
    resting: frozenset[str] = field(default_factory=frozenset)
    """Names of the models that failed so often lately that others are asked before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A model call that can be afforded."""

    model: ChatModel
    preferred: ChatModel
    """What it would go to if there were budget enough."""
    input_tokens: int
    output_tokens: int
    limited_by: DownshiftCause | None = None
    """Why it is not the preferred model; None when it is."""
    reasons: tuple[RouteReason, ...] = ()

    @property
    def tokens(self) -> int:
        """The most that the call can use."""
        return self.input_tokens + self.output_tokens

    @property
    def nanodollars(self) -> int:
        """The most that the call can cost."""
        return price(self.model, self.input_tokens, self.output_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A model call that cannot be afforded, in the least that it would take."""

    scope: BudgetScope
    needed_tokens: int
    needed_nanodollars: int


def price(model: ChatModel, input_tokens: int, output_tokens: int) -> int:
    """Return what a call costs, in nanodollars."""
    return input_tokens * model.input_nanodollars + output_tokens * model.output_nanodollars


def share_left(budget: Budget) -> float:
    """Return the share of tokens or of money that is left, whichever is less; 0 to 1."""
    shares = [
        left / granted
        for left, granted in (
            (budget.tokens_left, budget.tokens_granted),
            (budget.nanodollars_left, budget.nanodollars_granted),
        )
        if granted > 0
    ]
    return max(0.0, min(shares, default=0.0))


def route(wish: Wish, budget: Budget, models: tuple[ChatModel, ...], limits: Limits) -> Admission | Refusal:
    """Choose a model and the length of its answer, so that the reservation fits.

    The preferred model is that of the wished tier, or of its neighbour where the planner calls the task hard
    or easy; where it cannot do what is asked, or failed too often lately, another that can. Where that one
    does not fit what is left, or where the call may not take so much of the tokens or of the money while
    little is left, the cheapest model is taken: by price, since the names of tiers say nothing of it. As the
    last resort the answer is shortened.
    """
    preferred, reasons = _preferred(wish, models)
    able = tuple(model for model in models if _obstacle(model, wish) is None) or models
    tokens_left = wish.tokens_left
    scope = BudgetScope.SESSION
    if wish.task_tokens_left is not None and wish.task_tokens_left < tokens_left:
        tokens_left, scope = wish.task_tokens_left, BudgetScope.TASK
    output = min(wish.output_tokens, tokens_left - wish.input_tokens)
    output_min = min(limits.output_tokens_min, wish.output_tokens)
    cheapest = min(able, key=lambda model: price(model, wish.input_tokens, output_min))
    if output < output_min:
        return Refusal(
            scope=scope,
            needed_tokens=wish.input_tokens + output_min,
            needed_nanodollars=price(cheapest, wish.input_tokens, output_min),
        )
    limited_by = _limited_by(wish, budget, preferred, output, limits)
    if limited_by is None:
        reasons += _shortened(wish, preferred, output)
        return Admission(
            model=preferred,
            preferred=preferred,
            input_tokens=wish.input_tokens,
            output_tokens=output,
            reasons=reasons,
        )
    admission = _cheapest(wish, output, output_min, preferred, able)
    if isinstance(admission, Refusal):
        # Who can do it in part, or may fail again, is better than nobody.
        admission = _cheapest(wish, output, output_min, preferred, models)
    if isinstance(admission, Refusal):
        return admission
    if admission.model != preferred:
        reasons += (_reason_of_budget(wish, budget, admission.model, preferred, limited_by, limits),)
        admission = replace(admission, limited_by=limited_by)
    return replace(admission, reasons=reasons + _shortened(wish, admission.model, admission.output_tokens))


def _preferred(wish: Wish, models: tuple[ChatModel, ...]) -> tuple[ChatModel, tuple[RouteReason, ...]]:
    """Return the model that the call should go to if there is budget enough."""
    chosen = next((model for model in models if model.tier == wish.tier), models[0])
    told = f"{wish.agent} begins with the tier {wish.tier}"
    reasons = [RouteReason(cause=RouteCause.TIER, model=chosen.name, detail=told)]
    if (other := _by_difficulty(wish, chosen, models)) is not None:
        told = f"the planner calls the task {wish.difficulty}: {other.tier} in place of {chosen.tier}"
        reasons.append(RouteReason(cause=RouteCause.DIFFICULTY, model=other.name, detail=told))
        chosen = other
    if (other := _in_place_of(chosen, wish, models)) is not None:
        cause, told = _obstacle(chosen, wish) or (RouteCause.JSON, "cannot be asked for JSON")
        reasons.append(RouteReason(cause=cause, model=other.name, detail=f"{chosen.name} {told}"))
        chosen = other
    return chosen, tuple(reasons)


def _in_place_of(chosen: ChatModel, wish: Wish, models: Iterable[ChatModel]) -> ChatModel | None:
    """Return who does better what a model cannot do, or will hardly do now; None: nobody, or it can.

    For JSON alone no other tier is taken: it is found in what any model writes.
    """
    able = [model for model in models if _obstacle(model, wish) is None]
    asked = [model for model in able if not wish.is_json or model.parameters.response_format != "none"]
    if chosen in asked:
        return None
    alike = [model for model in asked if model.tier == chosen.tier]
    if chosen in able:
        return min(alike, key=lambda model: _price(model, wish), default=None)
    return min(alike or asked or able, key=lambda model: _price(model, wish), default=None)


def _by_difficulty(wish: Wish, chosen: ChatModel, models: Iterable[ChatModel]) -> ChatModel | None:
    """Return the model of the neighbouring tier; an easy task goes to no dearer one. None: it stays."""
    if wish.difficulty not in (Difficulty.HARD, Difficulty.EASY) or chosen.tier not in TIERS:
        return None
    is_hard = wish.difficulty is Difficulty.HARD
    place = TIERS.index(chosen.tier) + (1 if is_hard else -1)
    if not 0 <= place < len(TIERS):
        return None
    other = next((model for model in models if model.tier == TIERS[place]), None)
    if other is None or (not is_hard and _price(other, wish) >= _price(chosen, wish)):
        return None
    return other


def _obstacle(model: ChatModel, wish: Wish) -> tuple[RouteCause, str] | None:
    """Return why a call had better not go to a model, whatever is left; None: nothing stands against it."""
    if wish.calls_tools and not model.calls_tools:
        return RouteCause.TOOLS, "cannot call tools"
    if model.name in wish.resting:
        return RouteCause.HEALTH, "failed too often lately, and rests"
    return None


def _price(model: ChatModel, wish: Wish) -> int:
    return price(model, wish.input_tokens, wish.output_tokens)


def _limited_by(
    wish: Wish, budget: Budget, preferred: ChatModel, output: int, limits: Limits
) -> DownshiftCause | None:
    """Return what keeps a call from the preferred model; None when nothing does.

    Tokens are looked at with the whole answer that is wished for: what is left for it shrinks with the rest,
    and a call that takes all that is left takes much of it, however short it has become.
    """
    if preferred.context_tokens < wish.input_tokens + output:
        return DownshiftCause.WINDOW
    share_max = _call_share_max(budget, limits)
    if wish.input_tokens + wish.output_tokens > wish.tokens_left * share_max and share_max < 1:
        return DownshiftCause.TOKENS
    if price(preferred, wish.input_tokens, output) > int(wish.nanodollars_left * share_max):
        return DownshiftCause.MONEY
    return None


def _reason_of_budget(
    wish: Wish, budget: Budget, model: ChatModel, preferred: ChatModel, cause: DownshiftCause, limits: Limits
) -> RouteReason:
    if cause is DownshiftCause.WINDOW:
        told = (
            f"{preferred.name} has room for {preferred.context_tokens} tokens, and the call takes "
            f"up to {wish.input_tokens + wish.output_tokens}"
        )
    else:
        told = (
            f"with {share_left(budget):.0%} of the budget left a call may take at most "
            f"{_call_share_max(budget, limits):.0%} of the {cause} left, too little for {preferred.name}"
        )
    return RouteReason(cause=_CAUSES[cause], model=model.name, detail=told)


def _shortened(wish: Wish, model: ChatModel, output: int) -> tuple[RouteReason, ...]:
    if output >= wish.output_tokens:
        return ()
    told = f"the answer may have {output} tokens, not {wish.output_tokens}: more does not fit what is left"
    return (RouteReason(cause=RouteCause.SHORTENED, model=model.name, detail=told),)


def _call_share_max(budget: Budget, limits: Limits) -> float:
    """Return the share of what is left that one call may take while so little is left; 1: no bound."""
    left = share_left(budget)
    steps = [step for step in limits.downshift if left < step.share_left]
    return min(steps, key=lambda step: step.share_left).call_share_max if steps else 1.0


def _cheapest(
    wish: Wish, output: int, output_min: int, preferred: ChatModel, models: tuple[ChatModel, ...]
) -> Admission | Refusal:
    """Take the cheapest model, and shorten its answer as far as money asks for it."""
    fitting = [model for model in models if model.context_tokens >= wish.input_tokens + output_min]
    if not fitting:
        return Refusal(
            scope=BudgetScope.SESSION, needed_tokens=wish.input_tokens + output_min, needed_nanodollars=0
        )
    cheapest = min(fitting, key=lambda model: price(model, wish.input_tokens, output))
    spare = wish.nanodollars_left - price(cheapest, wish.input_tokens, 0)
    by_money = spare // cheapest.output_nanodollars if cheapest.output_nanodollars else output
    output = min(output, by_money, cheapest.context_tokens - wish.input_tokens)
    if output < output_min:
        return Refusal(
            scope=BudgetScope.SESSION,
            needed_tokens=wish.input_tokens + output_min,
            needed_nanodollars=price(cheapest, wish.input_tokens, output_min),
        )
    return Admission(
        model=cheapest, preferred=preferred, input_tokens=wish.input_tokens, output_tokens=output
    )
