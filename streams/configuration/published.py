"""The configuration made again from its parts, as workers published them."""

from collections.abc import Mapping
from typing import cast

from schemas.configuration import Agent, Configuration, Limits, Models, Policy, ToolSpec
from schemas.envelope import Versions
from schemas.plain import from_plain

Content = Mapping[str, object]


def configuration_from(content: Mapping[str, Content], versions: Versions) -> Configuration:
    """Return the configuration with this content.

    Args:
        content: of each part, by its kind.
        versions: of the parts.
    """
    agents, tools = _records(content["agents"]), _records(content["tools"])
    return Configuration(
        models=from_plain(Models, content["models"]),
        agents={name: from_plain(Agent, agent) for name, agent in agents.items()},
        prompts={name: str(text) for name, text in content["prompts"].items()},
        tools={name: from_plain(ToolSpec, tool) for name, tool in tools.items()},
        policy=from_plain(Policy, content["policy"]),
        limits=from_plain(Limits, content["limits"]),
        versions=versions,
    )


def _records(content: Content) -> Mapping[str, Content]:
    return cast("Mapping[str, Content]", content)
