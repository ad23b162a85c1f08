"""Who works for a session itself: planner, critic, synthesizer, and who sums up a conversation.

A file each, as agents have. What decides gets their prompts among the prompts, and the rest among the
limits, where a `prompts.toml` and a `limits.toml` of one's own may say it, too; a file of one's own in
`agents/` counts before them.
"""

from collections.abc import Mapping
from typing import Final

from streams.configuration.agents import SESSION_AGENTS, Source, prompt_of, temperature_of

CONVERSATION_SUMMARIZER: Final = "conversation_summarizer"
PROMPTS: Final[Mapping[str, str]] = {name: name for name in SESSION_AGENTS} | {
    CONVERSATION_SUMMARIZER: "summarizer"
}
"""Under which name the prompt of each stands among the prompts."""
_LIMITS: Final[Mapping[str, str]] = {
    "planner": "plan",
    "critic": "critique",
    "synthesizer": "synthesis",
    CONVERSATION_SUMMARIZER: "summary",
}
"""What the limits of each begin with."""


def session_prompts(sources: Mapping[str, Source], *, own: bool) -> dict[str, str]:
    """Return the prompts of those of one's own, or of those that are shipped."""
    return {PROMPTS[name]: prompt_of(source.file) for name, source in _session(sources, own=own).items()}


def session_limits(sources: Mapping[str, Source], *, own: bool) -> dict[str, object]:
    """Return the limits of those of one's own, or of those that are shipped."""
    limits: dict[str, object] = {}
    for name, source in _session(sources, own=own).items():
        limits[f"{_LIMITS[name]}_tier"] = source.file.tier
        limits[f"{_LIMITS[name]}_temperature"] = temperature_of(source.file)
        limits[f"{_LIMITS[name]}_output_tokens_max"] = source.file.output_tokens_max
    return limits


def _session(sources: Mapping[str, Source], *, own: bool) -> dict[str, Source]:
    return {
        name: one for name, one in sources.items() if name in SESSION_AGENTS and (one.path is not None) == own
    }
