"""What decided: the facts of `configuration`, compacted by kind and content hash."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationPublished:
    """A part of the configuration was in use from here on; events name it by its hash."""

    kind: str
    """agents, limits, models, policy, prompts or tools."""
    content_hash: str
    """The first 16 hexadecimal digits of the SHA-256 of `content_json`."""
    content_json: str


ConfigurationFact = ConfigurationPublished
