"""Calls of tools of a server: what comes back, and what is known of a call that went wrong."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.mcp import stdio
from connectors.mcp.server import Credentials, Program, ToolTerms
from schemas.ports.tool import ToolError
from tests.mcp.worlds import SUM, World, tool

Make = Callable[..., World]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Make worlds; their servers end with the test."""
    async with AsyncExitStack() as stack:

        def made(*tools: Any, **server: Any) -> World:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            world = World(folder, *tools, **server)
            stack.push_async_callback(world.servers.close)
            return world

        yield made


async def failure(world: World, name: str, arguments: dict[str, Any] | None = None, **told: Any) -> ToolError:
    """Return how a call fails."""
    with pytest.raises(ToolError) as caught:
        await world.call(name, arguments, **told)
    return caught.value


async def test_a_call_gives_the_servers_text(make: Make) -> None:
    world = make(tool("echo"))

    assert await world.call("echo", {"a": 1}) == {"text": '{"tool": "echo", "arguments": {"a": 1}}'}


async def test_arguments_that_do_not_fit_never_reach_the_server(make: Make) -> None:
    world = make(tool("effect", inputSchema={**SUM}))

    error = await failure(world, "effect", {"sum": "three"})

    assert error.kind == "validation_error"
    assert world.effects() == []


async def test_a_server_that_dies_in_a_call_leaves_the_outcome_unknown(make: Make) -> None:
    world = make(tool("die"), tool("echo"))

    error = await failure(world, "die")

    assert (error.kind, error.settled) == ("unknown", False)
    assert len(world.effects()) == 1


async def test_a_dead_server_is_started_anew(make: Make) -> None:
    world = make(tool("die"), tool("echo"))
    connection = world.servers.connection("odd", "default")

    await failure(world, "die")
    away = await failure(world, "echo")
    while connection.state != "ready":  # noqa: ASYNC110  # each look lets the owner go on
        await asyncio.sleep(0.01)

    assert (away.kind, away.settled, away.retryable) == ("execution_error", True, True)
    assert "exit code 7; it wrote: out of cheese" in str(away)
    assert (await world.call("echo"))["text"]


async def test_a_harmless_call_whose_answer_was_lost_may_be_repeated(make: Make) -> None:
    world = make(tool("die"), terms=ToolTerms(idempotent=True, timeout_ms=10_000))

    error = await failure(world, "die")

    assert (error.kind, error.retryable) == ("execution_error", True)


async def test_a_result_that_does_not_fit_was_carried_out_all_the_same(make: Make) -> None:
    world = make(tool("lie", outputSchema={**SUM}))

    error = await failure(world, "lie")

    assert (error.kind, error.settled) == ("result_invalid", False)
    assert "was carried out" in str(error)
    assert len(world.effects()) == 1


async def test_an_answer_that_the_protocol_does_not_know_was_carried_out(make: Make) -> None:
    world = make(tool("nonsense"))

    assert (await failure(world, "nonsense")).kind == "result_invalid"


async def test_a_failure_that_the_server_tells_is_all_that_there_is_to_know(make: Make) -> None:
    world = make(tool("fail"))

    error = await failure(world, "fail")

    assert (error.kind, error.settled, str(error)) == ("execution_error", True, "odd__fail: no such file")


async def test_an_error_inside_the_server_leaves_the_effect_open(make: Make) -> None:
    world = make(tool("raise"))

    error = await failure(world, "raise")

    assert (error.kind, error.settled) == ("execution_error", False)


async def test_a_call_that_the_server_does_not_know_had_no_effect(make: Make) -> None:
    world = make(tool("refuse"))

    assert (await failure(world, "refuse")).kind == "validation_error"


async def test_a_call_that_hangs_ends_by_its_time_and_the_server_goes_on(make: Make) -> None:
    world = make(tool("hang"), tool("echo"), tool_terms={"hang": ToolTerms(timeout_ms=300)})
    await world.call("echo")

    error = await failure(world, "hang")

    assert error.kind == "timeout"
    assert (await world.call("echo"))["text"]


async def test_fifty_megabytes_are_never_held(make: Make) -> None:
    world = make(tool("flood"), message_bytes_max=100_000)

    error = await failure(world, "flood")

    assert error.kind == "unknown"
    away = await failure(world, "flood")
    assert "more than 100,000 bytes" in str(away)


async def test_a_long_text_is_cut_and_says_so(make: Make) -> None:
    world = make(tool("flood"), result_characters_max=1_000)

    text = (await world.call("flood", {"bytes": 5_000}))["text"]

    assert len(text) < 1_100
    assert text.endswith("[cut here: 5,000 characters in all]")


async def test_what_is_not_shown_is_taken_out_of_a_result(make: Make) -> None:
    world = make(tool("disguise"))

    assert (await world.call("disguise"))["text"] == "seenneddih end"


async def test_pictures_are_told_and_not_shown(make: Make) -> None:
    world = make(tool("picture"))

    assert (await world.call("picture"))["attachments"] == ["image of type image/png, 3 bytes, not shown"]


async def test_lines_that_are_no_messages_do_no_harm(make: Make) -> None:
    world = make(tool("echo"))
    world.tell([tool("echo")], greeting="Server starting on stdio …")

    assert (await world.call("echo"))["text"]


async def test_a_server_that_never_greets_costs_its_own_tools_alone(make: Make) -> None:
    silent = make(tool("echo"), start_ms=300)
    silent.tell([tool("echo")], slow_s=60)
    sound = make(tool("echo"))

    error = await failure(silent, "echo")

    assert (error.kind, error.settled) == ("execution_error", True)
    assert (await sound.call("echo"))["text"]


async def test_a_program_that_is_not_there_is_told_as_away(make: Make) -> None:
    world = make(tool("echo"), way=Program(command=("/nowhere/server",), confined=False))

    error = await failure(world, "echo")

    assert "cannot be started: No such file" in str(error)


async def test_a_tenant_that_is_not_listed_is_refused_before_anything_starts(make: Make) -> None:
    world = make(tool("effect"))

    error = await failure(world, "effect", tenant_id="acme")

    assert (error.settled, world.servers.statuses(), world.effects()) == (True, [], [])


async def test_each_tenant_has_a_server_of_its_own(make: Make) -> None:
    world = make(tool("echo"), tenants=("default", "acme"))

    await world.call("echo")
    await world.call("echo", tenant_id="acme")

    assert [(one.tenant, one.state) for one in world.servers.statuses()] == [
        ("acme", "ready"),
        ("default", "ready"),
    ]


async def test_the_idempotency_key_goes_with_every_call(make: Make) -> None:
    world = make(tool("effect"))

    await world.call("effect", idempotency_key="key-7")

    assert world.effects()[0]["meta"]["cartrita/idempotency-key"] == "key-7"


async def test_a_tool_that_takes_the_key_as_an_argument_gets_it_and_the_model_does_not_see_it(
    make: Make,
) -> None:
    schema = {
        "type": "object",
        "properties": {"key": {"type": "string"}, "text": {"type": "string"}},
        "required": ["key", "text"],
        "additionalProperties": False,
    }
    world = make(tool("effect", inputSchema=schema), terms=ToolTerms(idempotency_key="key"))

    await world.call("effect", {"text": "x"}, idempotency_key="key-8")

    assert world.effects()[0]["arguments"] == {"text": "x", "key": "key-8"}
    assert '"key"' not in world.registry.specs["odd__effect"].parameters_json


async def test_a_foreign_tool_is_restricted_whatever_it_claims(make: Make) -> None:
    claims = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True}
    world = make(
        tool("echo", annotations=claims), tool("safe"), tool_terms={"safe": ToolTerms(safety_level="safe")}
    )

    specs = world.registry.specs

    assert (specs["odd__echo"].safety_level, specs["odd__echo"].idempotent) == ("restricted", False)
    assert specs["odd__safe"].safety_level == "safe"


async def test_a_program_gets_no_variable_but_those_named(make: Make) -> None:
    world = make(tool("echo"))
    way = world.server.way
    assert isinstance(way, Program)
    os.environ["CARTRITA_TEST_CANARY"] = "leaked"
    try:
        world = make(
            tool("echo"),
            way=replace(way, environment={"PLAIN": "1"}),
            credentials=Credentials(secrets={"TOKEN": "env:X"}),
        )
        await world.call("echo")
        environment = _environment_of(_server_pid(world))
    finally:
        del os.environ["CARTRITA_TEST_CANARY"]

    assert "leaked" not in environment
    assert "TOKEN=secret of env:X" in environment
    assert "PLAIN=1" in environment


async def test_stopping_ends_the_process_and_what_it_has_started(make: Make) -> None:
    world = make(tool("echo"))
    await world.call("echo")
    pid = _server_pid(world)

    await world.servers.close()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)


async def test_a_process_that_is_being_started_when_all_ends_is_ended_too(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    released = asyncio.Event()
    start = asyncio.create_subprocess_exec

    async def held(*command: Any, **more: Any) -> asyncio.subprocess.Process:
        process = await start(*command, **more)
        started.set_result(process.pid)
        await released.wait()
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", held)
    world = make(tool("echo"))
    world.servers.start()
    pid = await started

    closing = asyncio.create_task(world.servers.close())
    await asyncio.sleep(0)
    released.set()
    await closing

    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)


async def test_a_process_that_is_being_ended_when_all_ends_is_ended_to_the_last(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()
    kill = os.killpg

    def told(group: int, number: int) -> None:
        asked.set()
        kill(group, number)

    monkeypatch.setattr(stdio, "END_S", 0.1)
    monkeypatch.setattr(os, "killpg", told)
    world = make(tool("deafen"))
    connection = world.servers.connection("odd", "default")
    await connection.ready()
    pid = _server_pid(world)

    call = asyncio.create_task(failure(world, "deafen"))
    await asked.wait()
    await world.servers.close()

    assert (await call).kind == "unknown"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)


async def test_a_call_under_way_when_its_connection_is_stopped_is_unknown(make: Make) -> None:
    world = make(tool("hang"))
    connection = world.servers.connection("odd", "default")
    await connection.ready()

    call = asyncio.create_task(failure(world, "hang"))
    await asyncio.sleep(0)
    await connection.ready()
    await connection.stop()

    assert (await call).kind in ("unknown", "execution_error")


def _environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text(encoding="utf-8")


def _server_pid(world: World) -> int:
    assert isinstance(world.server.way, Program)
    marker = world.server.way.command[-1]
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if marker in command:
                return int(entry.name)
    raise AssertionError("the server does not run")
