"""What a provider bills, read from the usage that it tells and checked for sense."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.models.values import list_of, mapping_of, whole_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the provider bills them; 0 where it does not say."""

    input_tokens: int
    output_tokens: int
    """With what was thought and not shown."""
    total_tokens: int
    """At least the sum of the two: some bill thoughts in the total alone."""


def read_usage(value: object) -> Usage | None:
    """Read an object of usage; None where it says nothing.

    Thinking that is billed stands beside the answer's tokens with some providers, within them with others,
    and with some in the total alone: the answer has at least what the total leaves for it.
    """
    if not value:
        return None
    usage = mapping_of(value)
    prompt = _first(usage, "prompt_tokens", "input_tokens")
    completion = _first(usage, "completion_tokens", "output_tokens")
    total = whole_of(usage.get("total_tokens"))
    if prompt is None and completion is None and total is None:
        return None
    thought = _thought(usage)
    output = completion or 0
    if thought > output:
        output += thought
    if total is not None and prompt is not None:
        output = max(output, total - prompt)
    elif total is not None and completion is not None:
        prompt = max(0, total - output)
    known = (prompt or 0) + output
    return Usage(input_tokens=prompt or 0, output_tokens=output, total_tokens=max(total or 0, known))


def read_usage_of(chunk: Mapping[str, object]) -> Usage | None:
    """Read the usage of an object of a stream: its own, its choice's, or one under a provider's own name."""
    found = read_usage(chunk.get("usage"))
    if found is None and "x_groq" in chunk:
        found = read_usage(mapping_of(chunk["x_groq"]).get("usage"))
    for choice in choices_of(chunk):
        found = found or read_usage(mapping_of(choice).get("usage"))
    return found


def choices_of(chunk: Mapping[str, object]) -> Sequence[object]:
    """Return the choices of an object of a stream; some servers give the one without its list."""
    choices = chunk.get("choices")
    return (choices,) if isinstance(choices, dict) else list_of(choices)


def larger(told: Usage | None, later: Usage | None) -> Usage | None:
    """Return the larger counts of two: counts grow along a stream, and a late zero takes nothing back."""
    if told is None or later is None:
        return told or later
    return Usage(
        input_tokens=max(told.input_tokens, later.input_tokens),
        output_tokens=max(told.output_tokens, later.output_tokens),
        total_tokens=max(told.total_tokens, later.total_tokens),
    )


def _first(usage: Mapping[str, object], *names: str) -> int | None:
    counts = (whole_of(usage.get(name)) for name in names)
    return next((count for count in counts if count is not None), None)


def _thought(usage: Mapping[str, object]) -> int:
    details = mapping_of(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    return whole_of(details.get("reasoning_tokens")) or whole_of(usage.get("reasoning_tokens")) or 0
