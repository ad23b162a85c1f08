"""Agents, a file each: the shipped ones, and those of one's own that add to them or stand in their place.

A folder of one's own may have `agents/NAME.toml`, which adds the agent NAME, or replaces the shipped one of
that name, or takes it away (`enabled = false`), and `agents.toml`, a table each, which stands in place of all
that are shipped. What `agents/` says counts before `agents.toml`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, StrictBool, model_validator

from schemas.configuration import Agent
from streams.configuration.files import Strict, checked, own, toml

FOLDER: Final = "agents"
WILD: Final = "*"
"""An entry of an agent's tools that has it is a pattern: all tools whose names fit."""
TEMPERATURES: Final[Mapping[str, float]] = {"planning": 0.1, "execution": 0.2, "creative": 0.7}
"""How freely a model may choose its words, by kind of work."""


class AgentFile(Strict):
    """What the file of an agent may say."""

    purpose: str
    tier: Literal["premium", "standard", "fallback"] = "standard"
    tools: tuple[str, ...] = ()
    output_tokens_max: Annotated[int, Field(ge=64)] = 700
    prompt: str
    profile: Literal["planning", "execution", "creative"] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    answers_with: Literal["text", "tool"] = "text"
    enabled: StrictBool = True
    """False takes the agent of this name away."""

    @model_validator(mode="after")
    def _say_it_once(self) -> "AgentFile":
        if self.profile is not None and self.temperature is not None:
            raise ValueError("profile and temperature say the same; write one of them")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an agent is described."""

    place: str
    """As a person would name it: agents/writer.toml, or agents.toml: writer."""
    path: Path | None
    """None: it is shipped."""
    file: AgentFile
    replaces: bool = False
    """It stands in place of a shipped one."""


def sources_of(directory: Path | None) -> dict[str, Source]:
    """Read the files of all agents, by name, in the order of the names.

    Raises:
        ConfigurationInvalid: one cannot be used.
    """
    shipped = dict(_shipped())
    whole = own(FOLDER, directory)
    if whole is None or directory is None:
        found = dict(shipped)
    else:
        path = directory / f"{FOLDER}.toml"
        found = {
            name: Source(
                place=f"{FOLDER}.toml: {_shown(name)}",
                path=path,
                file=checked(AgentFile, plain, f"{FOLDER}.toml: {name}"),
                replaces=name in shipped,
            )
            for name, plain in whole.items()
        }
    for path in sorted((directory / FOLDER).glob("*.toml")) if directory is not None else ():
        name, place = path.stem, f"{FOLDER}/{path.name}"
        plain = toml(path, place)
        if plain.get("enabled") is False:
            found.pop(name, None)
            continue
        file = checked(AgentFile, plain, place)
        found[name] = Source(place=place, path=path, file=file, replaces=name in shipped)
    return dict(sorted(found.items()))


def agents_of(sources: Mapping[str, Source], tools: Iterable[str]) -> dict[str, Agent]:
    """Make the agents; one whose tools are patterns that fit nothing is left out, for it could do nothing.

    Args:
        sources: by name.
        tools: the names of the tools that there are, which patterns stand for.
    """
    names = sorted(tools)
    agents = {}
    for name, source in sources.items():
        listed = tuple(_listed(source.file.tools, names))
        if listed or not source.file.tools:
            agents[name] = _agent(name, source.file, listed)
    return agents


def _shown(name: str) -> str:
    return name if name.isprintable() and name.strip() else repr(name)


def _shipped() -> Iterator[tuple[str, Source]]:
    folder: Traversable = resources.files("streams.configuration").joinpath("defaults", FOLDER)
    for file in folder.iterdir():
        if file.name.endswith(".toml"):
            name, place = file.name.removesuffix(".toml"), f"{FOLDER}/{file.name}"
            yield name, Source(place=place, path=None, file=checked(AgentFile, toml(file, place), place))


def _listed(entries: Sequence[str], names: Iterable[str]) -> Iterator[str]:
    """Return the tools of a list: what a pattern brings that stands there already comes once."""
    told = {entry for entry in entries if WILD not in entry}
    for entry in entries:
        if WILD not in entry:
            yield entry
            continue
        found = [name for name in names if name not in told and fnmatchcase(name, entry)]
        told.update(found)
        yield from found


def temperature_of(file: AgentFile) -> float:
    """Return how freely an agent's model chooses its words."""
    return (file.temperature or 0.0) if file.profile is None else TEMPERATURES[file.profile]


def _agent(name: str, file: AgentFile, tools: tuple[str, ...]) -> Agent:
    return Agent(
        name=name,
        purpose=file.purpose,
        tier=file.tier,
        tools=tools,
        prompt=file.prompt.strip(),
        output_tokens_max=file.output_tokens_max,
        temperature=temperature_of(file),
        answers_with=file.answers_with,
    )
