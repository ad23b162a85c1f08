"""What decided: the facts of `configuration`, compacted by kind and content hash."""

from dataclasses import dataclass

from schemas.privacy import Impersonal
from schemas.words import Word


class ConfigurationKind(Word):
    """Which part of the configuration it is."""

    AGENTS = "agents"
    LIMITS = "limits"
    MODELS = "models"
    POLICY = "policy"
    PROMPTS = "prompts"
    TOOLS = "tools"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationPublished:
    """A part of the configuration was in use from here on; events name it by its hash."""

    kind: ConfigurationKind
    content_hash: Impersonal
    """The first 16 hexadecimal digits of the SHA-256 of `content_json`."""
    content_json: Impersonal


ConfigurationFact = ConfigurationPublished
