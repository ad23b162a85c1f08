"""What the calls of the log would have cost if all had gone to one model.

The tokens are those that were used: what another model would have written, and what its answers would have
led to, nobody knows. So it is a measure on what routing is worth, not a forecast.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from processors.routing import price
from schemas.configuration import ChatModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """Answered calls that one agent made to one model for one reason."""

    agent: str
    model: str
    """As configuration names it."""
    cause: str
    """What named the model, a word of RouteCause; "" in calls from before reasons were told."""
    calls: int
    input_tokens: int
    output_tokens: int
    nanodollars: int
    """As they were priced then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The same calls at the prices of today."""

    routed: Routed
    as_routed: int | None
    """Nanodollars, with the model that answered; None: it has no price any more."""
    fixed: int
    """Nanodollars, with the one model for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Calls as they were routed, beside the same calls with one model."""

    model: str
    lines: tuple[Compared, ...]

    @property
    def priced(self) -> tuple[Compared, ...]:
        """Those whose model still has a price: they alone can be compared."""
        return tuple(line for line in self.lines if line.as_routed is not None)

    @property
    def as_routed(self) -> int:
        """Nanodollars of all that can be compared."""
        return sum(line.as_routed or 0 for line in self.lines)

    @property
    def fixed(self) -> int:
        """Nanodollars of the same calls with the one model."""
        return sum(line.fixed for line in self.priced)

    @property
    def share_saved(self) -> float | None:
        """Of what the one model would have cost; below 0 where that is less. None: it is free."""
        return 1 - self.as_routed / self.fixed if self.fixed else None


def fixed_model(models: Sequence[ChatModel], wanted: str | None = None) -> ChatModel | None:
    """Return the model of that name, or else the first of that tier; None: there is neither.

    Args:
        models: those that there are.
        wanted: None: the best that there is, so the premium model, or else the dearest.
    """
    if wanted is None:
        return fixed_model(models, "premium") or max(
            models, key=lambda model: price(model, 1, 1), default=None
        )
    named = (model for model in models if model.name == wanted)
    return next(named, None) or next((model for model in models if model.tier == wanted), None)


def compare(routed: Iterable[Routed], model: ChatModel, models: Iterable[ChatModel]) -> Comparison:
    """Hold calls against the same calls with one model, both at today's prices.

    Args:
        routed: what was called.
        model: the one for all.
        models: those that have a price today.
    """
    known = {one.name: one for one in models}
    lines = []
    for one in routed:
        answered = known.get(one.model)
        tokens = one.input_tokens, one.output_tokens
        lines.append(
            Compared(
                routed=one,
                as_routed=None if answered is None else price(answered, *tokens),
                fixed=price(model, *tokens),
            )
        )
    return Comparison(model=model.name, lines=tuple(lines))
