"""Carries one call out; whatever an executor does, the call ends with an outcome."""

import asyncio
from collections.abc import Callable

import structlog

from processors.effects import Outcome
from schemas.envelope import Envelope
from streams.effects.calls import Call
from streams.effects.executor import Executor

_log = structlog.get_logger()


class Running:
    """Runs the calls of one shell."""

    def __init__(self, executor: Executor, *, shell: str, now_ms: Callable[[], int]) -> None:
        """Take the executor, and the name of the shell for the log."""
        self._executor = executor
        self._shell = shell
        self._now_ms = now_ms

    async def outcome(self, call: Call, event: Envelope, check: Callable[[], None]) -> Outcome:
        """Run a call in this task, which is cancelled to end it.

        Args:
            call: from now on one that may have run.
            event: asks for it.
            check: raises OwnershipLost when its partition was revoked.
        """
        try:
            call.may_have_run = True
            call.running = asyncio.current_task()
            async with asyncio.timeout(self._executor.duration_ms_max(event) / 1_000):
                return await self._executor.run(event, call.entry.attempt)
        except TimeoutError:
            return self.broken(call, event, "the call took longer than it may")
        except asyncio.CancelledError as error:
            check()
            assert call.running is not None, "only while it runs may a call be cancelled"
            if not call.running.cancelling():
                return self.broken(call, event, f"cancelled itself: {error}")
            if call.cancelled is None:
                raise
            call.running.uncancel()
            return self.cancelled(call, event)
        except (Exception, SystemExit, BaseExceptionGroup) as error:
            # A bug of an executor, or a tool that exits, ends its call: it would come back for ever.
            _log.exception("executor_raised", shell=self._shell, call_id=call.call_id)
            return self.broken(call, event, f"{type(error).__name__}: {error}")
        finally:
            call.running = None

    def cancelled(self, call: Call, event: Envelope) -> Outcome:
        """Return the outcome of a call that is no longer wanted, or must not run."""
        end = self._executor.stopped if call.refused else self._executor.cancelled
        latency_ms = self.latency_ms(call)
        return end(event, call.cancelled or "", dispatched=call.may_have_run, latency_ms=latency_ms)

    def broken(self, call: Call, event: Envelope, message: str) -> Outcome:
        """Return the outcome of a call that ended in a way that nobody foresaw."""
        return self._executor.broken(event, message, self.latency_ms(call))

    def latency_ms(self, call: Call) -> int:
        """Return how long ago a call was begun."""
        return max(self._now_ms() - call.started_at_ms, 0)
