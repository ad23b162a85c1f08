"""Runs shells in this process until a signal or a failure ends it."""

import asyncio
import gc
import signal
from collections.abc import Sequence
from typing import Final

import structlog

from streams.engine.faust_shell import FaustShell
from streams.process.ending import ExitCode

_log = structlog.get_logger()
_GC_THRESHOLDS: Final = (20_000, 20, 50)
"""A shell makes many objects that go by themselves, and few cycles."""
_STOP_S: Final = 30.0
"""An orderly end that takes longer is given up; nothing is lost by that."""


async def run_shells(shells: Sequence[FaustShell], *, stop: asyncio.Event | None = None) -> ExitCode:
    """Run shells until SIGTERM, SIGINT, `stop` or a crash; returns the exit code.

    Args:
        shells: at least one, each with an app of its own.
        stop: set by whoever wants them to end in order.
    """
    stopping = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stopping.set)
    running = asyncio.create_task(_run(shells))
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    code = ExitCode.OK
    if running.done():
        code = ExitCode.RESTART
        error = running.exception()
        _log.error("shells_crashed", reason=repr(error), exc_info=error)
    try:
        await asyncio.wait_for(_stop(shells), _STOP_S)
    except TimeoutError:
        _log.warning("stop_given_up", after_s=_STOP_S)
        code = ExitCode.RESTART
    for task in (running, waiting):
        task.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    return code


class ShellCrashed(Exception):
    """Faust gave up; the cause is attached."""


async def _run(shells: Sequence[FaustShell]) -> None:
    for shell in shells:
        shell.app.conf.datadir.parent.mkdir(parents=True, exist_ok=True)
        shell.app.finalize()
        shell.app.in_worker = True
    # What was imported and built stays; to look through it again and again costs a seventh of a shell's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    starting = [asyncio.create_task(shell.app.start()) for shell in shells]
    crashing = [asyncio.create_task(shell.app._crashed.wait()) for shell in shells]
    try:
        pending: set[asyncio.Task[object]] = {*starting, *crashing}
        while True:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            for shell in shells:
                if shell.app.crashed:
                    raise ShellCrashed(shell.name) from shell.app.crash_reason
    finally:
        for task in (*starting, *crashing):
            task.cancel()


async def _stop(shells: Sequence[FaustShell]) -> None:
    await asyncio.gather(*(shell.app.stop() for shell in shells if shell.app.started))
