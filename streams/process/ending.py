"""How a process ends itself, and what its exit code tells whoever started it."""

import asyncio
import logging
import os
import signal
from enum import IntEnum
from typing import NoReturn

import structlog

_log = structlog.get_logger()


class ExitCode(IntEnum):
    """Exit codes of the long-running commands."""

    OK = 0
    FAILED = 1
    """An error that a restart may or may not cure."""
    USAGE = 2
    """A wrong setting; restarting is pointless."""
    RESTART = 75
    """What was on its way could not be finished; start the process again, and it goes on where it was."""
    REFUSED = 76
    """Kafka refused a write of a process that no longer owns its partitions; start it again."""
    TOPICS = 78
    """The topics are not what the table says, or are missing; a person must look."""


class ShellStopped(Exception):
    """Going on would break a promise; the process has to end with this code."""

    def __init__(self, code: ExitCode, reason: str) -> None:
        """Note the exit code and a sentence for the log."""
        super().__init__(reason)
        self.code = code
        self.reason = reason


def stop_on_signals() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set; call it within the process's event loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def end_process(error: BaseException, shell: str) -> NoReturn:
    """End the process at once.

    Hard, because an orderly end would commit offsets of what is not done.
    """
    code = error.code if isinstance(error, ShellStopped) else ExitCode.FAILED
    exc_info = None if isinstance(error, ShellStopped) else error
    _log.error("process_ends", shell=shell, exit_code=int(code), reason=str(error), exc_info=exc_info)
    logging.shutdown()
    os._exit(code)
