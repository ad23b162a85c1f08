"""The tool takes what its parameters say and returns what its result schema says."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import jsonschema
import pytest
import pytest_asyncio

from connectors.sandbox.errors import RequestInvalid
from connectors.sandbox.limits import Limits
from connectors.sandbox.result import Artefact, OutputChunk
from connectors.sandbox.sandbox import OutputHandler, Sandbox, SandboxConfig
from connectors.sandbox.tool import PARAMETERS, RESULT, ExecutePython, execute_python, parse


@pytest_asyncio.fixture
async def sandbox(state_path: Path) -> AsyncIterator[Sandbox]:
    opened = await Sandbox.open(SandboxConfig(state_path=state_path, limits=Limits(timeout_ms_max=60_000)))
    yield opened
    await opened.close()


def test_the_schemas_are_valid_schemas() -> None:
    jsonschema.Draft202012Validator.check_schema(PARAMETERS)
    jsonschema.Draft202012Validator.check_schema(RESULT)


@pytest.mark.parametrize(
    "code",
    [
        "{'a': [1, None, 'x']}",
        "float('nan')",
        "1 / 0",
        "import os\nos._exit(4)",
        "open('a', 'wb').write(bytes(100_000))\nopen('b', 'w').write('x')\nimport os\nos.symlink('/', 'l')",
        "while True: print('x' * 10_000)",
        "import os\nos.abort()",
    ],
)
async def test_every_result_matches_the_schema_and_is_json(sandbox: Sandbox, code: str) -> None:
    result = await execute_python({"code": code, "timeout": 5}, sandbox)

    jsonschema.validate(result, RESULT)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


async def test_a_crash_is_told_by_its_signal(sandbox: Sandbox) -> None:
    result = await execute_python({"code": "import os\nos.abort()"}, sandbox)

    assert (result["status"], result["signal"], result["exit_code"]) == ("crashed", "SIGABRT", None)


async def test_files_go_in_and_artefacts_come_out(sandbox: Sandbox) -> None:
    files = [{"name": "a.txt", "text": "é"}, {"name": "b.bin", "base64": base64.b64encode(b"\0\1").decode()}]
    code = "data = open('a.txt', 'rb').read() + open('b.bin', 'rb').read()\nopen('c', 'wb').write(data)"

    result = await execute_python({"code": code, "files": files}, sandbox)

    artefacts = result["artefacts"]
    assert isinstance(artefacts, list)
    assert [(item["name"], base64.b64decode(item["base64"])) for item in artefacts] == [
        ("c", b"\xc3\xa9\0\1")
    ]


async def test_a_large_artefact_is_kept_elsewhere(sandbox: Sandbox) -> None:
    kept: list[Artefact] = []

    def keep(artefact: Artefact) -> str:
        kept.append(artefact)
        return f"store/{artefact.sha256[:8]}"

    code = "open('large.bin', 'wb').write(bytes(100_000))"
    result = await execute_python({"code": code}, sandbox, keep_artefact=keep)

    artefacts = result["artefacts"]
    assert isinstance(artefacts, list)
    assert artefacts[0]["base64"] is None
    assert artefacts[0]["reference"] == f"store/{kept[0].sha256[:8]}"
    assert artefacts[0]["size_bytes"] == len(kept[0].content) == 100_000


async def test_the_tool_passes_output_on_to_the_handler_of_its_context(sandbox: Sandbox) -> None:
    heard: dict[object, str] = {}

    def handler(context: object) -> OutputHandler:
        def hear(chunk: OutputChunk) -> None:
            heard[context] = heard.get(context, "") + chunk.text

        return hear

    tool = ExecutePython(sandbox=sandbox, output_handler=handler)
    result = await tool.run({"code": "print('hello')"}, "call-1")

    assert (tool.name, tool.category, tool.safety_level) == ("execute_python", "computation", "caution")
    assert heard == {"call-1": "hello\n"}
    assert result["stdout"] == "hello\n"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({}, "code"),
        ({"code": 1}, "string"),
        ({"code": "", "timeout": 0}, "minimum"),
        ({"code": "", "timeout": 301}, "maximum"),
        ({"code": "", "timeout": "30"}, "integer"),
        ({"code": "", "more": 1}, "Additional"),
        ({"code": "", "packages": "numpy"}, "array"),
        ({"code": "", "files": [{"name": "a"}]}, "not valid under any"),
        ({"code": "", "files": [{"name": "a", "text": "", "base64": ""}]}, "valid under each"),
        ({"code": "", "files": [{"name": "a", "base64": "?"}]}, "no valid content"),
        ({"code": "", "files": [{"name": "../a", "text": ""}]}, "plain relative path"),
        ({"code": "", "files": [{"name": "a", "text": ""}] * 2}, "given twice"),
    ],
)
def test_arguments_that_do_not_match_are_refused(arguments: dict[str, object], fault: str) -> None:
    with pytest.raises(RequestInvalid, match=fault):
        parse(arguments)


def test_the_default_timeout_is_thirty_seconds() -> None:
    assert parse({"code": ""}).timeout_ms == 30_000


async def test_a_timeout_above_the_sandboxes_own_ceiling_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(RequestInvalid, match="above 60000 ms"):
        await execute_python({"code": "", "timeout": 61}, sandbox)


async def test_a_package_that_is_not_approved_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(RequestInvalid, match="'requests' is not approved"):
        await execute_python({"code": "", "packages": ["requests"]}, sandbox)
