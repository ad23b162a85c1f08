"""Other people's clients, run as the documentation tells, with base URL, key and model changed alone."""

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from streams.cli import door
from streams.cli.door import QUESTION
from tests.pipeline.conftest import PROJECT_DIRECTORY

CLIENTS: Final = PROJECT_DIRECTORY / ".venv-clients"
AIDER: Final = PROJECT_DIRECTORY / ".venv-aider"
ANSWER: Final = "391"
"""Of the examples' question, which does not hold it."""
_BLOCK: Final = re.compile(r"^```(sh|python|js)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> list[
    Any
]:  # Any: pytest names the type of its parameters differently from version to version
    """Return language and text of every example in the documentation of clients, and in the README."""
    texts = [
        (PROJECT_DIRECTORY / name).read_text(encoding="utf-8") for name in ("docs/clients.md", "README.md")
    ]
    return [
        pytest.param(language, example, id=f"{name}-{language}-{number}")
        for text in texts
        for name, _, section in (part.partition("\n") for part in text.split("\n## ")[1:])
        for number, (language, example) in enumerate(_BLOCK.findall(section), start=1)
    ]


@pytest.fixture(scope="module")
def installed() -> None:
    """See that the clients are there."""
    for environment in (CLIENTS, AIDER):
        if not (environment / ".installed").exists():
            pytest.skip(
                f"NOT TESTED HERE: {environment.name} is not installed; `make test-clients` does that"
            )


@pytest.fixture
def exports(installed: None, address: str, token: str) -> dict[str, str]:
    """What `cartrita env` prints, as variables."""
    lines = door.exports(address, token)
    return dict(line.removeprefix("export ").split("=", 1) for line in lines)


def test_every_client_is_among_the_examples() -> None:
    found = {(str(case.id), str(case.values[0])) for case in examples()}
    for client in ("curl", "A WebSocket", "openai, Python", "openai, JavaScript", "Vercel's AI SDK"):
        assert any(name.startswith(client) for name, _ in found)
    for client in ("langchain-openai", "openai-agents", "aider"):
        assert any(name.startswith(client) for name, _ in found)
    assert {language for _, language in found} == {"sh", "python", "js"}


@pytest.mark.stack
@pytest.mark.slow
@pytest.mark.parametrize(("language", "example"), examples())
def test_a_client_asks_and_is_answered(
    exports: dict[str, str],
    command_environment: dict[str, str],
    tmp_path: Path,
    language: str,
    example: str,
) -> None:
    suffix, program = {
        "sh": ("sh", "bash"),
        "python": ("py", str(CLIENTS / "bin" / "python")),
        "js": ("mjs", str(CLIENTS / "bin" / "node")),
    }[language]
    script = tmp_path / f"example.{suffix}"
    script.write_text(example, encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    folders = f"{AIDER / 'bin'}:{command_environment['PATH']}"
    environment = {**command_environment, **exports, "PATH": folders, "HOME": str(tmp_path)}
    ended = subprocess.run(
        [program, str(script)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert QUESTION in example
    # The local model takes aider's own instructions for work to be done, and answers about these.
    answer = "received." if example.startswith("aider") else ANSWER
    assert answer in ended.stdout, ended.stdout + ended.stderr
