"""The tier for foreign programs: a server that attacks what is around it gets nothing, and can work."""

import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.mcp.server import Credentials, Program, ToolTerms
from connectors.sandbox.errors import SandboxUnavailable
from connectors.sandbox.interpreter import find_interpreter
from connectors.sandbox.programs import ProgramSandbox
from connectors.sandbox.tier import TierDemand
from schemas.ports.tool import ToolError
from tests.mcp.worlds import MISBEHAVING, World, tool

TIERS = (TierDemand.NS, TierDemand.LSM)
ATTACKS = ("read", "write", "connect", "signal", "run", "environment")
SERVER_USER = 61_999
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else find_interpreter().executable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tiers need Linux")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="cartrita-mcp-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture(params=TIERS)
async def world(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[World]:
    """A confined server that may write one folder and read another."""
    demand: TierDemand = request.param
    try:
        ProgramSandbox(folder / "trial", demand).tier()
    except SandboxUnavailable as error:
        pytest.skip(f"this machine has no tier {demand}: {error}")
    given, listed, control = (folder / name for name in ("given", "listed", "control"))
    for path in (given, listed, control):
        path.mkdir(mode=0o755)
    (listed / "notes.txt").write_text("the notes", encoding="utf-8")
    if os.geteuid() == 0:
        os.chown(given, SERVER_USER, SERVER_USER)
    (folder / "secret.txt").write_text("the secret", encoding="utf-8")
    program = Program(
        command=(PYTHON, "-I", str(MISBEHAVING), str(control / "control.json")),
        environment={"PLAIN": "1"},
        read=(listed, control),
        write=(given,),
    )
    made = World(
        control,
        *(tool(name) for name in (*ATTACKS, "echo")),
        demand=demand,
        state=folder / "state",
        way=program,
        credentials=Credentials(secrets={"TOKEN": "env:X"}),
        terms=ToolTerms(timeout_ms=20_000),
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(made.servers.close)
        yield made


async def said(world: World, attack: str, **arguments: Any) -> str:
    """Return what came of an attack."""
    return str((await world.call(attack, arguments))["text"])


async def test_a_confined_server_works_where_it_may(world: World, folder: Path) -> None:
    assert await said(world, "read", path=str(folder / "listed" / "notes.txt")) == "the notes"
    assert await said(world, "write", path=str(folder / "given" / "new.txt")) == "done"
    assert await said(world, "run", command=["/bin/sh", "-c", "echo a process of its own"]) == (
        "a process of its own\n"
    )
    assert (folder / "given" / "new.txt").read_text(encoding="utf-8") == "written"


async def test_files_of_this_machine_are_out_of_reach(world: World, folder: Path) -> None:
    paths = (
        folder / "secret.txt",
        Path("/etc/passwd"),
        Path("/etc/shadow"),
        Path.home(),
        Path(__file__),
        folder / "given" / ".." / "secret.txt",
    )
    for path in paths:
        assert (await said(world, "read", path=str(path))).startswith("stopped"), path
    # A server that has numbers of its own may find a process of its own under one of ours.
    for process in (os.getpid(), os.getppid()):
        path = Path(f"/proc/{process}/cmdline")
        assert await said(world, "read", path=str(path)) != path.read_text(encoding="utf-8"), path


async def test_a_link_leads_no_further_than_its_target_may_be_reached(world: World, folder: Path) -> None:
    await said(
        world, "run", command=["/bin/ln", "-s", str(folder / "secret.txt"), str(folder / "given" / "way")]
    )

    assert (await said(world, "read", path=str(folder / "given" / "way"))).startswith("stopped")


async def test_what_is_listed_for_reading_is_not_written(world: World, folder: Path) -> None:
    for path in (
        folder / "listed" / "notes.txt",
        folder / "listed" / "new.txt",
        Path("/usr/x"),
        folder / "x",
    ):
        assert (await said(world, "write", path=str(path))).startswith("stopped"), path
    assert (folder / "listed" / "notes.txt").read_text(encoding="utf-8") == "the notes"


async def test_no_port_and_no_socket_of_this_machine_is_reached(world: World, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker, socket.socket(socket.AF_UNIX) as postgres:
        postgres.bind(str(folder / "postgres.sock"))
        postgres.listen()
        (folder / "postgres.sock").chmod(0o777)

        by_port = await said(world, "connect", port=broker.getsockname()[1])
        by_path = await said(world, "connect", path=str(folder / "postgres.sock"))

    assert by_port.startswith("stopped")
    assert by_path.startswith("stopped")


async def test_no_process_outside_is_signalled(world: World) -> None:
    assert (await said(world, "signal", pid=os.getpid())).startswith("stopped")


async def test_only_what_is_named_is_in_the_environment(world: World) -> None:
    told = await said(world, "environment")

    assert '"TOKEN": "secret of env:X"' in told
    assert '"PLAIN": "1"' in told
    for name in os.environ.keys() - {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "PYTHONDONTWRITEBYTECODE"}:
        assert f'"{name}"' not in told


async def test_nothing_of_a_stopped_server_is_left(world: World, folder: Path) -> None:
    await world.call("echo")

    await world.servers.close()

    control = str(folder / "control" / "control.json")
    assert [command for command in _commands() if control in command] == []
    assert os.listdir(folder / "state") == []


async def test_a_server_that_is_given_our_own_state_is_not_started(world: World, folder: Path) -> None:
    way = world.server.way
    assert isinstance(way, Program)
    greedy = World(
        folder / "control",
        tool("echo"),
        way=replace(way, read=(folder,)),
        state=folder / "state",
    )

    with pytest.raises(ToolError, match="the tier does not hold"):
        await greedy.call("echo")
    await greedy.servers.close()


async def test_a_folder_that_is_not_there_is_told(world: World) -> None:
    way = world.server.way
    assert isinstance(way, Program)
    broken = World(
        world.control.parent,
        tool("echo"),
        way=replace(way, write=(Path("/nowhere/at/all"),)),
        demand=TierDemand.AUTO,
    )

    with pytest.raises(ToolError, match="/nowhere/at/all"):
        await broken.call("echo")
    await broken.servers.close()


@pytest.mark.parametrize("demand", [TierDemand.REFUSE, TierDemand.WASM])
async def test_a_tier_that_runs_no_programs_refuses_and_names_the_remedy(
    tmp_path: Path, demand: TierDemand
) -> None:
    refused = World(tmp_path, tool("echo"), demand=demand, way=Program(command=(PYTHON, str(MISBEHAVING))))

    with pytest.raises(ToolError, match='confinement = "none"'):
        await refused.call("echo")
    await refused.servers.close()


async def test_hosts_that_are_listed_are_refused_for_no_tier_holds_them(tmp_path: Path) -> None:
    way = Program(command=(PYTHON, str(MISBEHAVING)), hosts=("api.example",))
    refused = World(tmp_path, tool("echo"), way=way)

    with pytest.raises(ToolError, match="hosts"):
        await refused.call("echo")
    await refused.servers.close()


def _commands() -> Iterator[str]:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
