"""The configuration that decided, made again from the log by the hashes that events name."""

import json
from collections.abc import Iterable, Mapping
from typing import cast

from schemas.configuration import Configuration
from schemas.envelope import Versions
from schemas.events.configurations import ConfigurationKind, ConfigurationPublished
from streams.configuration.loading import content_hash
from streams.configuration.published import configuration_from


class ConfigurationMissing(Exception):
    """A part of the configuration that decided is not on the log."""


def configuration_of(versions: Versions, parts: Iterable[ConfigurationPublished]) -> Configuration:
    """Return the configuration that `versions` names, by its hashes, out of the parts that the log has.

    Raises:
        ConfigurationMissing: no part has one of the hashes.
    """
    found = list(parts)
    content = {kind.value: _content(kind, getattr(versions, kind), found) for kind in ConfigurationKind}
    return configuration_from(content, versions)


def has_hash(part: ConfigurationPublished, wanted: str | None) -> bool:
    """Tell whether a part is the one that events name by `wanted`."""
    return wanted is not None and content_hash(json.loads(part.content_json)) == wanted


def _content(kind: str, wanted: str | None, parts: Iterable[ConfigurationPublished]) -> Mapping[str, object]:
    for part in parts:
        if part.kind == kind and has_hash(part, wanted):
            return cast("Mapping[str, object]", json.loads(part.content_json))
    raise ConfigurationMissing(f"the log has no {kind} of hash {wanted}")
