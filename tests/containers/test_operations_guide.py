"""docs/operations.md says what is so: alerts, exit codes, settings, variables, commands, links."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Final

import pytest
import typer.main
from typer.core import TyperGroup

from streams.cli.application import app
from streams.process.ending import ExitCode
from streams.process.settings import Settings, variable_of
from tests.containers.composition import COMPOSE_PATH, ROOT, mapping
from tests.containers.monitoring import alerts

GUIDE: Final = ROOT / "docs" / "operations.md"
TEXT: Final = GUIDE.read_text(encoding="utf-8")
ELSEWHERE: Final = {"CARTRITA_HOME"}


def table_below(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    section = re.split(r"^#+ ", TEXT.split(f"## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-") for heading in headings}


def compose_variables() -> set[str]:
    return set(re.findall(r"\$\{([A-Z_]+)", COMPOSE_PATH.read_text(encoding="utf-8")))


def test_every_alert_is_listed_with_its_severity_and_its_place() -> None:
    listed: dict[str, tuple[str, str]] = {}
    for names, severities, link in table_below("Watching"):
        found = re.search(r"\((#[\w-]+)\)", link)
        assert found is not None
        alert_names, said = names.split(", "), severities.split(", ")
        if len(said) == 1:
            said *= len(alert_names)
        listed |= {name: (said[place], found[1]) for place, name in enumerate(alert_names)}

    assert listed == {
        name: (
            str(mapping(rule["labels"])["severity"]),
            str(mapping(rule["annotations"])["runbook"]).removeprefix("docs/operations.md"),
        )
        for name, rule in alerts().items()
    }


def test_every_exit_code_is_explained() -> None:
    assert [int(row[0]) for row in table_below("Exit codes")] == [int(code) for code in ExitCode]


def test_settings_that_the_guide_names_exist() -> None:
    known = {variable_of(field) for field in fields(Settings)} | compose_variables() | ELSEWHERE

    assert set(re.findall(r"\b(?:CARTRITA|OPENAI)_[A-Z_]+\b", TEXT)) <= known


def test_every_variable_of_the_compose_file_is_explained() -> None:
    explained = set(re.findall(r"`([A-Z_]+)`", " ".join(row[0] for row in table_below("With containers"))))

    assert compose_variables() - {"CARTRITA_VERSION"} == explained


@pytest.mark.parametrize(
    "line", sorted(set(re.findall(r"\bcartrita ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)", TEXT)))
)
def test_commands_that_the_guide_names_exist(line: str) -> None:
    words = line.split()
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)

    assert words[0] in command.commands
    below = command.commands[words[0]]
    if isinstance(below, TyperGroup) and len(words) > 1:
        assert words[1] in below.commands


@pytest.mark.parametrize(("file", "anchor"), sorted(set(re.findall(r"\]\(([\w.-]*)#?([\w-]*)\)", TEXT))))
def test_links_lead_somewhere(file: str, anchor: str) -> None:
    path = GUIDE.parent / file if file else GUIDE

    assert path.is_file()
    assert not anchor or anchor in anchors(path)
