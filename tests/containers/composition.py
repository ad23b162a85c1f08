"""Reads compose.yaml and the Dockerfile as the container tools do, as far as these files go."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

ROOT: Final = Path(__file__).parents[2]
COMPOSE_PATH: Final = ROOT / "compose.yaml"
DOCKERFILE_PATH: Final = ROOT / "Dockerfile"

_BEGIN: Final = re.compile(r"\$\{(?P<name>[A-Z][A-Z0-9_]*)(?P<rule>:[-?+])?")
_DURATION: Final = re.compile(r"(?P<number>\d+)(?P<unit>s|m)")


class VariableMissing(Exception):
    """The file demands a variable that is not set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How a service's health is found out."""

    command: tuple[str, ...]
    interval_s: int
    timeout_s: int
    deadline_s: int
    """From the start until the service counts as unhealthy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a test asks of one service."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    health: HealthCheck | None
    stop_grace_s: int


def document(environ: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return compose.yaml with its anchors resolved and its variables filled in from `environ`.

    Raises:
        VariableMissing: the file demands a variable.
    """
    loaded = yaml.safe_load(COMPOSE_PATH.read_text(encoding="utf-8"))
    filled = _filled(loaded, environ or {})
    assert isinstance(filled, dict)
    return filled


def services(environ: Mapping[str, str] | None = None) -> dict[str, dict[str, object]]:
    """Return the services as the file has them, by name."""
    return {name: mapping(service) for name, service in mapping(document(environ)["services"]).items()}


def service(name: str, environ: Mapping[str, str] | None = None) -> Service:
    """Return one service with what the image gives it, if it is our image."""
    raw = services(environ)[name]
    ours = "build" in raw
    own = {key: str(value) for key, value in mapping(raw.get("environment") or {}).items()}
    return Service(
        name=name,
        command=strings(raw.get("command") or []),
        environment={**(image_environment() if ours else {}), **own},
        health=_health(raw, ours=ours),
        stop_grace_s=seconds(str(raw["stop_grace_period"])) if "stop_grace_period" in raw else 10,
    )


def image_environment() -> dict[str, str]:
    """Return what the Dockerfile's last stage sets."""
    found: dict[str, str] = {}
    for keyword, rest in instructions():
        if keyword == "FROM":
            found.clear()
        elif keyword == "ENV":
            found |= dict(pair.split("=", 1) for pair in shlex.split(rest))
    return found


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions: keyword and rest, continued lines joined."""
    text = DOCKERFILE_PATH.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (keyword, rest.strip())
        for keyword, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """Fill in ${NAME}, ${NAME:-else}, ${NAME:+then} and ${NAME:?message}, which may stand in each other.

    Raises:
        VariableMissing: with the message of a `:?`.
    """
    begin = _BEGIN.search(text)
    if begin is None:
        return text
    end = _closing(text, begin.end())
    word = text[begin.end() : end]
    value = environ.get(begin["name"], "")
    match begin["rule"]:
        case ":-":
            value = value or interpolated(word, environ)
        case ":+":
            value = interpolated(word, environ) if value else ""
        case ":?":
            if not value:
                raise VariableMissing(f"{begin['name']}: {word}")
        case _:
            assert not word, text
    return text[: begin.start()] + value + interpolated(text[end + 1 :], environ)


def mapping(value: object) -> dict[str, object]:
    """Return a value that has to be a mapping."""
    assert isinstance(value, dict), value
    return value


def strings(value: object) -> tuple[str, ...]:
    """Return a value that has to be a list of strings."""
    assert isinstance(value, list), value
    assert all(isinstance(entry, str) for entry in value), value
    return tuple(value)


def seconds(duration: str) -> int:
    """Read a duration such as 30s or 2m."""
    found = _DURATION.fullmatch(duration)
    assert found is not None, duration
    return int(found["number"]) * (60 if found["unit"] == "m" else 1)


def _filled(value: object, environ: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return interpolated(value, environ)
    if isinstance(value, list):
        return [_filled(entry, environ) for entry in value]
    if isinstance(value, dict):
        return {key: _filled(entry, environ) for key, entry in value.items()}
    return value


def _closing(text: str, start: int) -> int:
    depth = 1
    for position in range(start, len(text)):
        if text.startswith("${", position):
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
    raise AssertionError(f"an open variable in {text!r}")


def _health(raw: Mapping[str, object], *, ours: bool) -> HealthCheck | None:
    declared = mapping(raw.get("healthcheck") or {})
    if declared.get("disable"):
        return None
    if declared:
        kind, *command = strings(declared["test"])
        assert kind == "CMD"
        options = {key: str(value) for key, value in declared.items() if key != "test"}
    else:
        assert ours, "only our image brings a health check"
        options, command = _image_health()
    interval_s = seconds(options["interval"])
    return HealthCheck(
        command=tuple(command),
        interval_s=interval_s,
        timeout_s=seconds(options["timeout"]),
        deadline_s=seconds(options["start_period"]) + interval_s * int(options["retries"]),
    )


def _image_health() -> tuple[dict[str, str], list[str]]:
    (rest,) = (rest for keyword, rest in instructions() if keyword == "HEALTHCHECK")
    flags, _, command = rest.partition("CMD ")
    pairs = (flag.removeprefix("--").split("=", 1) for flag in flags.split())
    options = {key.replace("-", "_"): value for key, value in pairs}
    return options, list(strings(yaml.safe_load(command)))
