"""What a caller of the library sees, in every tier that this machine has."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from connectors.sandbox.errors import RequestInvalid, SandboxUnavailable
from connectors.sandbox.limits import Limit, Limits
from connectors.sandbox.packages import ApprovedPackage
from connectors.sandbox.probe import Probe
from connectors.sandbox.request import ExecutionRequest
from connectors.sandbox.result import ExecutionResult, OutputChunk, Status, Stream, ValueKind
from connectors.sandbox.sandbox import Sandbox, SandboxConfig
from connectors.sandbox.tier import Tier, TierDemand
from tests.sandbox.conftest import available
from tests.sandbox.processes import children, seen_with

ORDINARY = """
import asyncio, collections, datetime, decimal, io, json, math, random, re, shutil, sqlite3, statistics
import tempfile, threading, zipfile, zoneinfo

async def sleep():
    await asyncio.sleep(0.001)
    return "slept"

with tempfile.TemporaryDirectory() as directory:
    with open(f"{directory}/a.txt", "w") as file:
        file.write("text")
    shutil.copy2(f"{directory}/a.txt", "copy.txt")
    shutil.move("copy.txt", "moved.txt")
    database = sqlite3.connect(f"{directory}/x.db")
    database.execute("create table t(a)")
    database.execute("insert into t values (42)")
    database.commit()
    row = database.execute("select a from t").fetchone()
    database.close()
with zipfile.ZipFile("packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.write("moved.txt")
found = []
thread = threading.Thread(target=lambda: found.append("threaded"))
thread.start()
thread.join()
noon = datetime.datetime(2024, 1, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Zurich"))
[asyncio.run(sleep()), row[0], found[0], str(noon)]
"""


def request(code: str, **fields: object) -> ExecutionRequest:
    return ExecutionRequest(code=code, **fields)  # type: ignore[arg-type]  # each test gives the right types


async def test_a_run_tells_all_that_came_of_it(sandbox: Sandbox, tier: Tier) -> None:
    code = """import sys
print('out')
print('err', file=sys.stderr)
open('made.txt', 'w').write('x')
{'a': [1]}"""

    result = await sandbox.run(request(code))

    assert (result.status, result.exit_code, result.error, result.limit_hit) == (
        Status.COMPLETED,
        0,
        None,
        None,
    )
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert (result.value, result.value_kind) == ({"a": [1]}, ValueKind.JSON)
    assert [(artefact.name, artefact.content) for artefact in result.artefacts] == [("made.txt", b"x")]
    assert result.isolation.tier is tier
    assert result.isolation.user_id != 0
    assert result.isolation.canary_id == sandbox.probes[-1].canary_id != ""
    assert result.execution_ms > 0


async def test_ordinary_python_runs(native_sandbox: Sandbox) -> None:
    result = await native_sandbox.run(request(ORDINARY))

    assert result.error is None
    assert result.value == ["slept", 42, "threaded", "2024-01-01 12:00:00+01:00"]
    assert {artefact.name for artefact in result.artefacts} == {"moved.txt", "packed.zip"}


async def test_numpy_runs_in_the_native_tiers(native_sandbox: Sandbox) -> None:
    code = "import numpy as np\na = np.arange(10_000.0).reshape(100, 100)\nfloat(np.linalg.norm(a @ a.T))"

    result = await native_sandbox.run(request(code, packages=("numpy",)))

    assert result.error is None
    assert isinstance(result.value, float)


async def test_a_package_is_there_only_when_it_is_asked_for(native_sandbox: Sandbox) -> None:
    result = await native_sandbox.run(request("import numpy"))

    assert result.error is not None
    assert result.error.type == "ModuleNotFoundError"


async def test_a_package_of_python_alone_runs_in_every_tier(tier: Tier, state_path: Path) -> None:
    approved = ApprovedPackage(name="tinycss2", distributions=("tinycss2", "webencodings"))
    config = SandboxConfig(state_path=state_path, demand=TierDemand(tier.value), approved=(approved,))
    sandbox = await Sandbox.open(config)

    result = await sandbox.run(request("import tinycss2\ntinycss2.__version__", packages=("tinycss2",)))

    assert result.error is None
    assert isinstance(result.value, str)
    await sandbox.close()


async def test_machine_code_is_refused_in_webassembly(state_path: Path, probes: dict[Tier, Probe]) -> None:
    available(Tier.WASM, probes)
    sandbox = await Sandbox.open(SandboxConfig(state_path=state_path, demand=TierDemand.WASM))

    with pytest.raises(RequestInvalid, match="machine code"):
        await sandbox.run(request("import numpy", packages=("numpy",)))
    await sandbox.close()


async def test_files_of_the_request_can_be_read_and_imported(sandbox: Sandbox) -> None:
    files = {"data/in.csv": b"1,2", "helper.py": b"def double(x): return 2 * x"}
    code = "import helper\nopen('data/in.csv', 'a').write(',3')\nhelper.double(21)"

    result = await sandbox.run(request(code, files=files))

    assert result.value == 42
    assert [(artefact.name, artefact.content) for artefact in result.artefacts] == [("data/in.csv", b"1,2,3")]


async def test_an_input_file_replaces_nothing_of_the_library(sandbox: Sandbox) -> None:
    result = await sandbox.run(
        request("import string\nstring.digits", files={"string.py": b"digits = 'forged'"})
    )

    assert result.value == "0123456789"


async def test_output_arrives_while_the_code_still_runs(sandbox: Sandbox) -> None:
    # The code waits for ever; only output that arrived before the end can make this test go on.
    code = "import time\nprint('begun', flush=True)\ntime.sleep(1000)"
    arrived = asyncio.Event()
    running = asyncio.ensure_future(sandbox.run(request(code), lambda _: arrived.set()))

    await asyncio.wait_for(arrived.wait(), 20)

    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_chunks_put_together_are_the_output(sandbox: Sandbox) -> None:
    code = "import sys\nfor i in range(200):\n    print(i)\n    print(-i, file=sys.stderr)"
    items = [item async for item in sandbox.stream(request(code))]

    result = items[-1]
    chunks = [item for item in items[:-1] if isinstance(item, OutputChunk)]
    assert isinstance(result, ExecutionResult)
    assert [chunk.index for chunk in chunks] == list(range(len(items) - 1))
    for stream, text in ((Stream.STDOUT, result.stdout), (Stream.STDERR, result.stderr)):
        assert "".join(chunk.text for chunk in chunks if chunk.stream is stream) == text
    assert result.stdout == "".join(f"{i}\n" for i in range(200))


async def test_an_exception_is_told_with_its_place(sandbox: Sandbox) -> None:
    result = await sandbox.run(request("def f():\n    return [][1]\nf()"))

    assert result.status is Status.FAILED
    assert result.error is not None
    assert result.error.type == "IndexError"
    assert "return [][1]" in result.error.traceback


async def test_a_timeout_ends_the_code(sandbox: Sandbox) -> None:
    code = "print('on time', flush=True)\nimport time\ntime.sleep(1000)"
    # A slow machine may need longer than the first timeouts to come to the line that prints.
    for timeout_ms in (700, 2_800, 11_200, 44_800):
        result = await sandbox.run(request(code, timeout_ms=timeout_ms))
        assert (result.status, result.limit_hit) == (Status.LIMITED, Limit.WALL_CLOCK)
        if result.stdout:
            break

    assert result.stdout == "on time\n"


async def test_a_timeout_above_the_ceiling_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(RequestInvalid, match="above 120000 ms"):
        await sandbox.run(request("", timeout_ms=120_001))


async def test_eight_runs_at_a_time_do_not_see_each_other(sandbox: Sandbox) -> None:
    code = """import os, time
open('own.txt', 'w').write({0!r})
time.sleep(0.3)
(open('own.txt').read(), os.listdir('.'))"""
    results = await asyncio.gather(*(sandbox.run(request(code.format(str(i)))) for i in range(8)))

    assert [result.value for result in results] == [[str(i), ["own.txt"]] for i in range(8)]
    if os.geteuid() == 0:
        assert len({result.isolation.user_id for result in results}) == 8


async def test_cancelling_ends_the_process_before_it_returns(native_sandbox: Sandbox) -> None:
    before = children()
    started = asyncio.Event()
    code = "print('begun')\nwhile True:\n    pass"
    running = asyncio.ensure_future(native_sandbox.run(request(code), lambda _: started.set()))
    await asyncio.wait_for(started.wait(), 20)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert children() <= before


async def test_a_handler_that_fails_ends_the_run(native_sandbox: Sandbox) -> None:
    before = children()

    def fail(chunk: OutputChunk) -> None:
        raise LookupError(chunk.text)

    with pytest.raises(LookupError):
        await native_sandbox.run(request("print('x')\nwhile True:\n    pass"), fail)

    assert children() <= before


async def test_code_that_closes_everything_still_ends(sandbox: Sandbox) -> None:
    code = "import os\nfor d in range(1024):\n    try: os.close(d)\n    except OSError: pass\nprint('x')"

    result = await sandbox.run(request(code, timeout_ms=60_000))

    assert result.status in (Status.CRASHED, Status.FAILED)


async def test_no_file_of_the_run_takes_the_name_of_an_approved_package(tier: Tier, state_path: Path) -> None:
    approved = ApprovedPackage(name="tinycss2", distributions=("tinycss2", "webencodings"))
    config = SandboxConfig(state_path=state_path, demand=TierDemand(tier.value), approved=(approved,))
    sandbox = await Sandbox.open(config)
    files = {"tinycss2.py": b"forged = True", "webencodings/__init__.py": b"forged = True"}
    code = "import tinycss2, webencodings\n[hasattr(m, 'forged') for m in (tinycss2, webencodings)]"

    result = await sandbox.run(request(code, packages=("tinycss2",), files=files))

    assert result.value == [False, False], result.error
    await sandbox.close()


async def test_output_on_both_streams_in_turn_makes_few_pieces(sandbox: Sandbox) -> None:
    code = "import os\nfor _ in range(20_000):\n    os.write(1, b'x')\n    os.write(2, b'y')"
    pieces: list[OutputChunk] = []

    result = await sandbox.run(request(code, timeout_ms=120_000), pieces.append)

    assert (result.stdout, result.stderr) == ("x" * 20_000, "y" * 20_000)
    # One of each stream in twenty milliseconds, and one of each when it is over.
    assert len(pieces) <= 2 * (result.execution_ms / 20 + 2)


async def test_a_large_output_comes_in_pieces_that_fit_into_a_record(sandbox: Sandbox) -> None:
    pieces: list[OutputChunk] = []

    result = await sandbox.run(request("print('x' * 900_000, end='')"), pieces.append)

    assert "".join(piece.text for piece in pieces) == result.stdout == "x" * 900_000
    assert max(len(piece.text) for piece in pieces) <= 64 * 1024


async def test_a_run_gives_way_and_is_the_first_to_go(sandbox: Sandbox) -> None:
    begun = asyncio.Event()
    code = "print('begun', flush=True)\nimport time\ntime.sleep(1000)"
    running = asyncio.ensure_future(sandbox.run(request(code), lambda _: begun.set()))
    await asyncio.wait_for(begun.wait(), 60)

    # It is given to a run that lasts; nothing but this wait, which has an end, depends on when.
    assert await asyncio.to_thread(seen_with, (19, "1000"), 25)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_refuse_runs_nothing(state_path: Path) -> None:
    sandbox = await Sandbox.open(SandboxConfig(state_path=state_path, demand=TierDemand.REFUSE))

    with pytest.raises(SandboxUnavailable, match=r"sandbox_unavailable.*by configuration"):
        await sandbox.run(request("1"))
    assert sandbox.tier is Tier.REFUSE
    await sandbox.close()


async def test_a_demand_that_is_not_met_is_never_replaced_by_a_weaker_tier(state_path: Path) -> None:
    broken = SandboxConfig(state_path=state_path, demand=TierDemand.NS, bubblewrap_path=Path("/bin/false"))
    sandbox = await Sandbox.open(broken)

    with pytest.raises(SandboxUnavailable, match=r"demand ns.*ns: nothing can be run in it"):
        await sandbox.run(request("1"))
    assert sandbox.tier is Tier.REFUSE
    await sandbox.close()


async def test_auto_takes_the_next_tier_and_says_why(state_path: Path) -> None:
    without_namespaces = SandboxConfig(state_path=state_path, bubblewrap_path=Path("/bin/false"))
    sandbox = await Sandbox.open(without_namespaces)

    assert sandbox.tier in (Tier.LSM, Tier.WASM)
    assert [probe.tier for probe in sandbox.probes][:2] == [Tier.NS, Tier.LSM]
    assert not sandbox.probes[0].holds
    assert "nothing can be run in it" in sandbox.probes[0].reason
    result = await sandbox.run(request("1"))
    assert result.isolation.tier is sandbox.tier
    await sandbox.close()


async def test_progress_is_told_at_the_start(state_path: Path) -> None:
    said: list[str] = []
    sandbox = await Sandbox.open(SandboxConfig(state_path=state_path), said.append)

    assert said[0] == "probing tier ns"
    await sandbox.close()


@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("while True: pass", Limit.CPU),
        ("while True: print('x' * 100)", Limit.OUTPUT),
        (
            "for name in 'xy':\n    open(name, 'wb').write(bytes(1_900_000))\nimport time\ntime.sleep(900)",
            Limit.DISK,
        ),
        ("for i in range(30): open(str(i), 'w')\nimport time\ntime.sleep(900)", Limit.INODES),
    ],
)
async def test_limits_of_the_sandbox_bound_each_run(
    native_tier: Tier, state_path: Path, code: str, limit: Limit
) -> None:
    # The timeout is out of reach of all of them, and so is processor time for all but the code that spins.
    cpu_ms = 1_000 if limit is Limit.CPU else 60_000
    limits = Limits(cpu_ms=cpu_ms, disk_bytes=2_000_000, output_bytes=1_000, threads=4, inodes=20)
    config = SandboxConfig(state_path=state_path, demand=TierDemand(native_tier.value), limits=limits)
    sandbox = await Sandbox.open(config)

    result = await sandbox.run(request(code, timeout_ms=120_000))

    assert result.limit_hit is limit
    assert len(result.stdout) <= 1_000
    await sandbox.close()


async def test_the_parent_stays_responsive_while_code_spins(native_sandbox: Sandbox) -> None:
    running = asyncio.ensure_future(native_sandbox.run(request("while True: pass", timeout_ms=120_000)))

    # A loop that the run blocks would come to its second turn only when the run is over.
    for _ in range(20):
        await asyncio.sleep(0.01)

    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
