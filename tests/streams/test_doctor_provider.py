"""`cartrita doctor provider`, as a program against a provider on loopback."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.families import refused
from tests.connectors.quirks import Sent
from tests.connectors.quirky import Body, Handler, QuirkyProvider, provider
from tests.connectors.sound_model import sound_model
from tests.vocabularies import prepared_vocabularies

MODELS = """
dated = "2026-01-01"
[[chat]]
name = "gpt-4o-mini"
tier = "standard"
input_dollars_per_1000 = "0"
output_dollars_per_1000 = "0"
context_tokens = 8_000
encoding = "o200k_base"
[embedding]
name = ""
"""


def _without_max_tokens(body: Body) -> Sent:
    if "max_tokens" in body:
        return refused("Unsupported parameter: max_tokens")
    return _but_for_lists(body)


def _but_for_lists(body: Body) -> Sent:
    return sound_model(body) if "messages" in body else refused("no such path", 404)


def _without_tools(body: Body) -> Sent:
    return refused("no tools here") if body.get("tools") else _but_for_lists(body)


async def doctor(quirky: QuirkyProvider, directory: Path, *arguments: str) -> tuple[int, str]:
    """Run the command; returns its exit code and what it printed."""
    (directory / "models.toml").write_text(MODELS, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "streams.main",
        "doctor",
        "provider",
        *arguments,
        env={
            "CARTRITA_HOME": str(directory / "home"),
            "CARTRITA_CONFIGURATION_DIRECTORY": str(directory),
            "CARTRITA_TIKTOKEN_CACHE_DIRECTORY": str(prepared_vocabularies()),
            "OPENAI_BASE_URL": f"http://127.0.0.1:{quirky.port}/v1",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode()


@pytest.mark.parametrize(
    ("handler", "code", "words"),
    [
        (_but_for_lists, 0, "the profile fits"),
        (_without_max_tokens, 0, 'tokens_max_field = "max_completion_tokens"'),
        (_without_tools, 1, "no tools here"),
        (lambda _: refused("bad key", 401), 3, "bad key"),
    ],
)
async def test_it_says_what_works_and_ends_with_a_code_that_scripts_can_use(
    tmp_path: Path, handler: Handler, code: int, words: str
) -> None:
    async with provider(handler) as quirky:
        ended, printed = await doctor(quirky, tmp_path)

    assert words in printed
    assert ended == code
    assert "search goes by words alone" in printed


async def test_programs_get_json(tmp_path: Path) -> None:
    async with provider(_without_max_tokens) as quirky:
        ended, printed = await doctor(quirky, tmp_path, "--json", "--model", "gpt-4o-mini")

    told: dict[str, Any] = json.loads(printed.splitlines()[-1])  # Any: JSON of a known shape
    assert ended == 0
    assert told["models"][0]["learnt"] == [["tokens_max_field", "max_completion_tokens"]]
    assert {one["grade"] for one in told["models"][0]["findings"]} == {"works"}


async def test_a_model_that_is_not_configured_is_no_question(tmp_path: Path) -> None:
    async with provider(_but_for_lists) as quirky:
        ended, printed = await doctor(quirky, tmp_path, "--model", "gpt-9")

    assert (ended, quirky.asked) == (2, [])
    assert "models.toml has no model 'gpt-9'" in printed
