"""The configuration that decided, made again from the log by the hashes that events name."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Final, cast

from schemas.configuration import Agent, Configuration, Limits, Models, Policy, ToolSpec
from schemas.envelope import Envelope, Versions
from schemas.events.configurations import ConfigurationPublished
from schemas.events.models import ModelCallRequested
from schemas.plain import from_plain
from streams.configuration.loading import content_hash

_AGENTS_HEAD: Final = "Agents:\n"
_AGENT_LINE: Final = re.compile(r"^- ([^:\n]+):", re.MULTILINE)


class ConfigurationMissing(Exception):
    """A part of the configuration that decided is not on the log."""


def configuration_of(
    versions: Versions, parts: Iterable[ConfigurationPublished], outputs: Iterable[Envelope]
) -> Configuration:
    """Return the configuration that `versions` names.

    The log keeps parts as JSON with sorted keys, while prompts list agents in the order of their file; the
    order is taken from the first prompt that lists them. It changes nothing else, and a wrong one would show.

    Args:
        versions: hashes, one a part.
        parts: what the log has.
        outputs: what was decided.

    Raises:
        ConfigurationMissing: no part has one of the hashes.
    """
    found = list(parts)
    content = {
        item.name: _content(item.name, getattr(versions, item.name), found) for item in fields(Versions)
    }
    agents = _records(content["agents"])
    order = _order(versions, outputs)
    names = [name for name in order if name in agents] + [name for name in agents if name not in order]
    tools = _records(content["tools"])
    return Configuration(
        models=from_plain(Models, content["models"]),
        agents={name: from_plain(Agent, agents[name]) for name in names},
        prompts={name: str(text) for name, text in content["prompts"].items()},
        tools={name: from_plain(ToolSpec, tool) for name, tool in tools.items()},
        policy=from_plain(Policy, content["policy"]),
        limits=from_plain(Limits, content["limits"]),
        versions=versions,
    )


def has_hash(part: ConfigurationPublished, wanted: str | None) -> bool:
    """Tell whether a part is the one that events name by `wanted`.

    Prompts are hashed as their file has them and published without the newlines around them.
    """
    plain = json.loads(part.content_json)
    if wanted is None or content_hash(plain) == wanted:
        return wanted is not None
    return part.kind == "prompts" and wanted in (
        content_hash({name: f"{text}\n" for name, text in plain.items()}),
        content_hash({name: f"\n{text}\n" for name, text in plain.items()}),
    )


def _content(kind: str, wanted: str | None, parts: Iterable[ConfigurationPublished]) -> Mapping[str, object]:
    for part in parts:
        if part.kind == kind and has_hash(part, wanted):
            return cast("Mapping[str, object]", json.loads(part.content_json))
    raise ConfigurationMissing(f"the log has no {kind} of hash {wanted}")


def _records(content: Mapping[str, object]) -> Mapping[str, Mapping[str, object]]:
    return cast("Mapping[str, Mapping[str, object]]", content)


def _order(versions: Versions, outputs: Iterable[Envelope]) -> list[str]:
    for event in outputs:
        if event.versions.agents != versions.agents or not isinstance(event.body, ModelCallRequested):
            continue
        for message in event.body.messages:
            if message.text is not None and message.text.startswith(_AGENTS_HEAD):
                return _AGENT_LINE.findall(message.text.split("\n\n")[0])
    return []
