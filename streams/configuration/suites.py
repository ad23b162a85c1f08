"""Suites of `cartrita eval`: tasks, each with what its answer must have, in a file of TOML."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from connectors.retrieval.naming import citable
from connectors.text.decoding import NotText, decoded
from processors.amounts import nanodollars_of
from processors.evaluation import Checks
from processors.output_models import model_faults
from schemas.events.inputs import Attachment
from streams.configuration.files import ConfigurationInvalid, Strict, checked, toml

TASKS_MAX: Final = 1_000
ATTACHED_BYTES_MAX: Final = 1_000_000
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Texts = tuple[Annotated[str, Field(min_length=1)], ...]


class _ChecksFile(Strict):
    contains: Texts = ()
    lacks: Texts = ()
    matches: Texts = ()
    output: dict[str, Any] | None = None  # (Any: a JSON Schema, which has its own check)
    tools: Texts = ()
    agents: Texts = ()
    citations_min: Annotated[int, Field(ge=0)] = 0
    words_max: Annotated[int | None, Field(ge=1)] = None
    tokens_max: Annotated[int | None, Field(ge=1)] = None
    dollars_max: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    may_be_incomplete: bool = False


class _AttachedFile(Strict):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    text: Annotated[str, Field(min_length=1)]


class _TaskFile(Strict):
    name: Name
    text: Annotated[str, Field(min_length=1)]
    agent: str | None = None
    files: Texts = ()
    attached: tuple[_AttachedFile, ...] = ()
    budget_tokens: Annotated[int | None, Field(ge=1)] = None
    budget_dollars: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    checks: _ChecksFile = _ChecksFile()


class _SuiteFile(Strict):
    about: str = ""
    tasks: Annotated[list[_TaskFile], Field(min_length=1, max_length=TASKS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTask:
    """What is asked, and what the answer must have."""

    name: str
    text: str
    agent: str | None
    """That does it alone; None: a plan is made."""
    attachments: tuple[Attachment, ...]
    budget_tokens: int | None
    budget_nanodollars: int | None
    checks: Checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Tasks that are done together."""

    name: str
    about: str
    tasks: tuple[SuiteTask, ...]


def load_suite(path: Path | None) -> Suite:
    """Read a suite; None: the shipped one, a task for each agent.

    Raises:
        ConfigurationInvalid: with the file and what is wrong in it.
    """
    if path is None:
        shipped = resources.files("streams.configuration").joinpath("defaults", "suites", "agents.toml")
        return _suite(toml(shipped, "agents.toml"), "agents.toml", Path())
    return _suite(toml(path, path.name), path.name, path.parent)


def _suite(plain: Mapping[str, object], place: str, folder: Path) -> Suite:
    read = checked(_SuiteFile, plain, place)
    names = [task.name for task in read.tasks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationInvalid(f"{place}: two tasks have the name {twice[0]}")
    tasks = tuple(_task(task, f"{place}: {task.name}", folder) for task in read.tasks)
    return Suite(name=place.removesuffix(".toml"), about=read.about, tasks=tasks)


def _task(read: _TaskFile, place: str, folder: Path) -> SuiteTask:
    return SuiteTask(
        name=read.name,
        text=read.text,
        agent=read.agent,
        attachments=(
            *(_attachment(folder / name, place) for name in read.files),
            *(Attachment(name=citable(one.name), text=one.text) for one in read.attached),
        ),
        budget_tokens=read.budget_tokens,
        budget_nanodollars=None if read.budget_dollars is None else nanodollars_of(read.budget_dollars),
        checks=_checks(read.checks, place),
    )


def _checks(read: _ChecksFile, place: str) -> Checks:
    for pattern in read.matches:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigurationInvalid(f"{place}: matches: {pattern} is no pattern: {error}") from error
    if read.output is not None and (wrong := model_faults(read.output)):
        raise ConfigurationInvalid(f"{place}: {wrong[0]}")
    return Checks(
        contains=read.contains,
        lacks=read.lacks,
        matches=read.matches,
        output_json=None if read.output is None else json.dumps(read.output, sort_keys=True),
        tools=read.tools,
        agents=read.agents,
        citations_min=read.citations_min,
        words_max=read.words_max,
        tokens_max=read.tokens_max,
        nanodollars_max=None if read.dollars_max is None else nanodollars_of(read.dollars_max),
        may_be_incomplete=read.may_be_incomplete,
    )


def _attachment(path: Path, place: str) -> Attachment:
    try:
        with path.open("rb") as file:
            content = file.read(ATTACHED_BYTES_MAX + 1)
        if len(content) > ATTACHED_BYTES_MAX:
            raise ConfigurationInvalid(f"{place}: {path} has more than {ATTACHED_BYTES_MAX:,} bytes")
        return Attachment(name=citable(path.name), text=decoded(content).text)
    except (OSError, NotText) as error:
        raise ConfigurationInvalid(f"{place}: {path} cannot be read: {error}") from error
