"""The tool takes what its parameters say and returns what its result schema says."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import jsonschema
import pytest
import pytest_asyncio

from connectors.sandbox.errors import RequestInvalid
from connectors.sandbox.limits import Limits
from connectors.sandbox.result import Artefact
from connectors.sandbox.sandbox import Sandbox, SandboxConfig
from connectors.sandbox.tier import TierDemand
from connectors.sandbox.tool import PARAMETERS, RESULT, execute_python, parse
from connectors.tools.python import ExecutePython
from connectors.tools.registry import RESULT_BYTES_MAX
from schemas.ports.tool import Tool, ToolContext, ToolError
from tests.connectors.tool_conformance import ToolConformance
from tests.connectors.twins import context


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

    code = "open('large.bin', 'wb').write(bytes(200_000))"
    result = await execute_python({"code": code}, sandbox, keep_artefact=keep)

    artefacts = result["artefacts"]
    assert isinstance(artefacts, list)
    assert artefacts[0]["base64"] is None
    assert artefacts[0]["reference"] == f"store/{kept[0].sha256[:8]}"
    assert artefacts[0]["size_bytes"] == len(kept[0].content) == 200_000


class TestExecutePython(ToolConformance):
    """What every tool must do."""

    @pytest.fixture
    def tool(self, sandbox: Sandbox) -> Tool:
        return ExecutePython(sandbox)

    @pytest.fixture
    def example(self) -> dict[str, object]:
        return {"code": "print('x')\n1 + 1", "timeout": 5, "packages": ["numpy"], "files": []}

    async def test_the_same_call_gives_the_same_result_when_it_is_idempotent(
        self, tool: Tool, example: dict[str, object], tool_context: ToolContext
    ) -> None:
        first = dict((await tool.run(example, tool_context)).result)
        second = dict((await tool.run(example, tool_context)).result)

        # What was measured differs from run to run, and so may the user that a run gets.
        for measured in ("start_time", "execution_time", "cpu_time", "isolation"):
            del first[measured], second[measured]
        assert first == second


async def test_the_tool_passes_output_on_while_it_runs(sandbox: Sandbox) -> None:
    heard: list[tuple[str, str]] = []

    async def hear(channel: str, text: str) -> None:
        heard.append((channel, text))

    code = "import sys\nprint('out')\nprint('err', file=sys.stderr)"
    await ExecutePython(sandbox).run({"code": code}, context(on_output=hear))

    assert sorted((channel, text.strip()) for channel, text in heard if text.strip()) == [
        ("stderr", "err"),
        ("stdout", "out"),
    ]


async def test_a_bound_that_only_the_sandbox_knows_is_a_validation_error(sandbox: Sandbox) -> None:
    with pytest.raises(ToolError, match="not approved") as caught:
        await ExecutePython(sandbox).run({"code": "", "packages": ["requests"]}, context())

    assert caught.value.kind == "validation_error"


async def test_a_machine_on_which_no_tier_holds_is_an_execution_error(state_path: Path) -> None:
    refusing = await Sandbox.open(SandboxConfig(state_path=state_path, demand=TierDemand.REFUSE))

    with pytest.raises(ToolError, match="sandbox_unavailable") as caught:
        await ExecutePython(refusing).run({"code": ""}, context())

    assert caught.value.kind == "execution_error"
    await refusing.close()


async def test_the_largest_result_fits_into_a_record(sandbox: Sandbox) -> None:
    code = """import sys
print('\\n"' * 200_000, end='')
sys.stderr.write('\\n"' * 200_000)
for index in range(32):
    open(f'{index}', 'wb').write(bytes(60_000))
'"' * 20_000"""

    result = await execute_python({"code": code}, sandbox)

    assert result["status"] == "completed"
    assert len(json.dumps(result, ensure_ascii=False).encode()) < RESULT_BYTES_MAX
    assert "bytes are left out here" in str(result["stdout"])


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
        ({"code": "", "files": [{"name": "a", "base64": "\u00e9"}]}, "no valid content"),
        ({"code": "", "files": [{"name": "a", "base64": "\ud800"}]}, "no valid content"),
        ({"code": "", "files": [{"name": "a", "text": "\ud800"}]}, "no valid content"),
        ({"code": "", "files": [{"name": "a", "text": ""}, {"name": "a/b", "text": ""}]}, "the directory of"),
        ({"code": "", "files": [{"name": "a\u3164", "text": ""}]}, "plain relative path"),
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


@pytest.mark.parametrize(
    ("code", "return_value"),
    [("1", "0"), ("1 / 0", "1"), ("import sys\nsys.exit(7)", "7"), ("import os\nos.abort()", "")],
)
async def test_the_return_value_is_the_exit_code_as_text(
    sandbox: Sandbox, code: str, return_value: str
) -> None:
    assert (await execute_python({"code": code}, sandbox))["return_value"] == return_value


async def test_a_busy_sandbox_is_worth_a_retry(state_path: Path) -> None:
    config = SandboxConfig(state_path=state_path, concurrency_max=1, wait_ms_max=1)
    busy = await Sandbox.open(config)
    begun = asyncio.Event()

    async def hear(_channel: str, _text: str) -> None:
        begun.set()

    # It spins: one that slept would give its place away.
    code = "print('begun', flush=True)\nwhile True: pass"
    holder = asyncio.ensure_future(ExecutePython(busy).run({"code": code}, context(on_output=hear)))
    await asyncio.wait_for(begun.wait(), 60)

    with pytest.raises(ToolError, match="busy") as caught:
        await ExecutePython(busy).run({"code": "1"}, context())

    assert (caught.value.kind, caught.value.retryable) == ("execution_error", True)
    holder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holder
    await busy.close()
