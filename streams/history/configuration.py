"""The configuration that decided, made again from the log by the hashes that events name."""

import json
from collections.abc import Iterable, Mapping
from typing import cast

from schemas.configuration import Agent, Configuration, Limits, Models, Policy, ToolSpec
from schemas.envelope import Versions
from schemas.events.configurations import ConfigurationKind, ConfigurationPublished
from schemas.plain import from_plain
from streams.configuration.loading import content_hash


class ConfigurationMissing(Exception):
    """A part of the configuration that decided is not on the log."""


def configuration_of(versions: Versions, parts: Iterable[ConfigurationPublished]) -> Configuration:
    """Return the configuration that `versions` names, by its hashes, out of the parts that the log has.

    Raises:
        ConfigurationMissing: no part has one of the hashes.
    """
    found = list(parts)
    content = {kind.value: _content(kind, getattr(versions, kind), found) for kind in ConfigurationKind}
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


def has_hash(part: ConfigurationPublished, wanted: str | None) -> bool:
    """Tell whether a part is the one that events name by `wanted`."""
    return wanted is not None and content_hash(json.loads(part.content_json)) == wanted


def _content(kind: str, wanted: str | None, parts: Iterable[ConfigurationPublished]) -> Mapping[str, object]:
    for part in parts:
        if part.kind == kind and has_hash(part, wanted):
            return cast("Mapping[str, object]", json.loads(part.content_json))
    raise ConfigurationMissing(f"the log has no {kind} of hash {wanted}")


def _records(content: Mapping[str, object]) -> Mapping[str, Mapping[str, object]]:
    return cast("Mapping[str, Mapping[str, object]]", content)
