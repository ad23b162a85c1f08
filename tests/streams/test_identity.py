"""The lock behind a static identity."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams.process.ending import ShellStopped
from streams.process.identity import IdentityLock

HOLD = """
import asyncio, sys
from pathlib import Path
from streams.process.identity import IdentityLock

async def hold() -> None:
    lock = IdentityLock(Path(sys.argv[1]), "worker-1")
    await lock.acquire(60)
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


def test_the_holder_is_named_and_whoever_kills_it_frees_the_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        lock = IdentityLock(tmp_path, "worker-1")

        with pytest.raises(ShellStopped, match=f"process {holder.pid} runs with this identity"):
            asyncio.run(lock.acquire(0))
        asyncio.run(IdentityLock(tmp_path, "worker-2").acquire(0))
        holder.kill()
        asyncio.run(lock.acquire(60))

        assert (tmp_path / "worker-1.lock").read_text(encoding="ascii") == f"{os.getpid()}\n"
        lock.release()
        again = IdentityLock(tmp_path, "worker-1")
        asyncio.run(again.acquire(0))
        again.release()
    finally:
        holder.kill()
        holder.communicate()


def test_what_was_never_held_can_be_released(tmp_path: Path) -> None:
    IdentityLock(tmp_path, "worker").release()

    assert not list(tmp_path.iterdir())
