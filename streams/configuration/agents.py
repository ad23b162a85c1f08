"""Agents, a file each: the shipped ones, and those of one's own that add to them or stand in their place.

A folder of one's own may have `agents/NAME.toml`, which adds the agent NAME, or replaces the shipped one of
that name, or takes it away (`enabled = false`), and `agents.toml`, a table each, which stands in place of all
that are shipped. What `agents/` says counts before `agents.toml`. With `extends` a file says only what
differs from a shipped agent. `roles.py` is about planner, critic and who else works for a session itself.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue, StrictBool, field_validator, model_validator

from processors.output_models import answer_fault, model_faults
from schemas.configuration import Agent
from streams.configuration.files import ConfigurationInvalid, Strict, checked, own, toml

FOLDER: Final = "agents"
WILD: Final = "*"
"""An entry of an agent's tools that has it is a pattern: all tools whose names fit."""
TEMPERATURES: Final[Mapping[str, float]] = {"planning": 0.1, "execution": 0.2, "creative": 0.7}
"""How freely a model may choose its words, by kind of work."""
SESSION_AGENTS: Final = ("planner", "critic", "synthesizer", "conversation_summarizer")
"""Who work for a session itself, by the names of their files: no plan gives them tasks."""


class Example(Strict):
    """Something that an agent is asked for, and what is expected of it."""

    request: Annotated[str, Field(min_length=1)]
    """As a user writes it; the planner should give a task of it to this agent."""
    calls: str | None = None
    """The tool that its first step calls."""
    answer: str | None = None
    """An answer as it should be: one with an output model has to fit it."""


class AgentFile(Strict):
    """What the file of an agent may say."""

    purpose: str
    tier: Literal["premium", "standard", "fallback"] = "standard"
    tools: tuple[str, ...] = ()
    output_tokens_max: Annotated[int, Field(ge=64)] = 700
    steps_max: Annotated[int, Field(ge=1)] | None = None
    prompt: str
    safety: str = ""
    """What it must never do; it ends the prompt."""
    profile: Literal["planning", "execution", "creative"] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    answers_with: Literal["text", "tool"] = "text"
    past: Literal["alone", "always", "never"] = "alone"
    output: dict[str, JsonValue] | None = None
    """JSON Schema of its answers."""
    examples: tuple[Example, ...] = ()
    enabled: StrictBool = True
    """False takes the agent of this name away."""

    @field_validator("output")
    @classmethod
    def _understand(cls, output: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if output is not None and (faults := model_faults(output)):
            raise ValueError("; ".join(faults))
        return output

    @model_validator(mode="after")
    def _say_what_fits(self) -> "AgentFile":
        if self.profile is not None and self.temperature is not None:
            raise ValueError("profile and temperature say the same; write one of them")
        if self.output is not None and self.answers_with == "tool":
            raise ValueError("what answers with a tool has no output model; write answers_with or output")
        for number, example in enumerate(self.examples, start=1):
            fault = (
                answer_fault(example.answer, output_model_of(self))
                if self.output and example.answer
                else None
            )
            if fault is not None:
                raise ValueError(f"example {number}: answer: {fault}")
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
    """Read the files of all agents, by name, in the order of the names; those of the session are among them.

    Raises:
        ConfigurationInvalid: one cannot be used.
    """
    texts = dict(_shipped())
    shipped = {
        name: Source(place=f"{FOLDER}/{name}.toml", path=None, file=_file(name, text, texts))
        for name, text in texts.items()
    }
    whole = own(FOLDER, directory)
    if whole is None or directory is None:
        found = dict(shipped)
    else:
        path = directory / f"{FOLDER}.toml"
        found = {name: one for name, one in shipped.items() if name in SESSION_AGENTS}
        for name, plain in whole.items():
            file = _file(name, plain, texts, f"{FOLDER}.toml: {name}")
            place = f"{FOLDER}.toml: {_shown(name)}"
            found[name] = Source(place=place, path=path, file=file, replaces=name in shipped)
    for path in sorted((directory / FOLDER).glob("*.toml")) if directory is not None else ():
        name, place = path.stem, f"{FOLDER}/{path.name}"
        plain = toml(path, place)
        if plain.get("enabled") is False:
            if name in SESSION_AGENTS:
                raise ConfigurationInvalid(
                    f"{place}: enabled: no session works without it; write what differs"
                )
            found.pop(name, None)
            continue
        file = _file(name, plain, texts, place)
        found[name] = Source(place=place, path=path, file=file, replaces=name in shipped)
    return dict(sorted(found.items()))


def agents_of(sources: Mapping[str, Source], tools: Iterable[str]) -> dict[str, Agent]:
    """Make the agents that plans give tasks to; one whose tools are patterns that fit nothing is left out.

    Args:
        sources: by name.
        tools: the names of the tools that there are, which patterns stand for.
    """
    names = sorted(tools)
    agents = {}
    for name, source in sources.items():
        listed = tuple(_listed(source.file.tools, names))
        if name not in SESSION_AGENTS and (listed or not source.file.tools):
            agents[name] = _agent(name, source.file, listed)
    return agents


def temperature_of(file: AgentFile) -> float:
    """Return how freely an agent's model chooses its words."""
    return (file.temperature or 0.0) if file.profile is None else TEMPERATURES[file.profile]


def prompt_of(file: AgentFile) -> str:
    """Return an agent's system prompt: its rules, the form of its answers, and what it must never do.

    Without rules it is empty, and refused as such.
    """
    if not file.prompt.strip():
        return ""
    parts = [file.prompt.strip()]
    if file.output is not None:
        parts.append(f"Answer with JSON alone, which fits this JSON Schema: {output_model_of(file)}")
    if file.safety.strip():
        parts.append(file.safety.strip())
    return "\n".join(parts)


def output_model_of(file: AgentFile) -> str:
    """Return the JSON Schema of an agent's answers as it is sent; empty: they may be any text."""
    return "" if file.output is None else json.dumps(file.output, ensure_ascii=False, separators=(",", ":"))


def _file(
    name: str, plain: object, shipped: Mapping[str, Mapping[str, object]], place: str = ""
) -> AgentFile:
    """Check a file.

    What one of the session's agents leaves out, or one that extends a shipped agent, is as that one has it.
    """
    place = place or f"{FOLDER}/{name}.toml"
    if not isinstance(plain, Mapping):
        return checked(AgentFile, plain, place)
    given = dict(plain)
    base = given.pop("extends", name if name in SESSION_AGENTS else None)
    if base is None:
        return checked(AgentFile, given, place)
    if not isinstance(base, str) or base not in shipped:
        raise ConfigurationInvalid(
            f"{place}: extends: no agent of that name is shipped; there are {', '.join(sorted(shipped))}"
        )
    kept = {key: value for key, value in shipped[base].items() if key not in given}
    if "temperature" in given:
        kept.pop("profile", None)
    if "output" in given or "answers_with" in given or "tools" in given:
        # Examples of the other's answers and calls say nothing of this one.
        kept.pop("examples", None)
    file = checked(AgentFile, {**kept, **given}, place)
    if name in SESSION_AGENTS and (told := sorted(_FOR_TASKS & file.model_fields_set)):
        raise ConfigurationInvalid(f"{place}: {', '.join(told)}: {name} does no tasks; leave this out")
    return file


_FOR_TASKS: Final = frozenset({"tools", "steps_max", "answers_with", "past", "output"})


def _shown(name: str) -> str:
    return name if name.isprintable() and name.strip() else repr(name)


def _shipped() -> Iterator[tuple[str, Mapping[str, object]]]:
    folder: Traversable = resources.files("streams.configuration").joinpath("defaults", FOLDER)
    for file in folder.iterdir():
        if file.name.endswith(".toml"):
            yield file.name.removesuffix(".toml"), toml(file, f"{FOLDER}/{file.name}")


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


def _agent(name: str, file: AgentFile, tools: tuple[str, ...]) -> Agent:
    return Agent(
        name=name,
        purpose=file.purpose,
        tier=file.tier,
        tools=tools,
        prompt=prompt_of(file),
        output_tokens_max=file.output_tokens_max,
        temperature=temperature_of(file),
        answers_with=file.answers_with,
        output_model_json=output_model_of(file),
        steps_max=file.steps_max or 0,
        past=file.past,
    )
