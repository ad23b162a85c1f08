"""Watches one child process from its start to its end, and holds every limit from outside.

Runs in a thread of its own and blocks it. The thread that starts the child also stays until the child is
gone: where the kernel ends a child with its parent, it means the thread, not the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from connectors.sandbox.bundle import standard_input
from connectors.sandbox.cleaning import clean_line
from connectors.sandbox.errors import SandboxUnavailable
from connectors.sandbox.launch import Launch
from connectors.sandbox.limits import RESULT_BYTES_MAX, Limit, Limits
from connectors.sandbox.process import give_way, let_end_first, memory_bytes, use
from connectors.sandbox.result import Stream
from connectors.sandbox.scratch import MemoryScratch, Scratch
from connectors.sandbox.tier import Tier

_TICK_S = 0.02
# A run has the lowest priority from then on, or as soon as it sleeps. On a busy machine a short one would
# otherwise be ended by its timeout before its turn comes.
_GIVE_WAY_AFTER_CPU_MS = 500
# Output is handed on at most once in this part of the time that the run has taken, so that it makes some
# hundred pieces at most, and never in larger ones than this.
_OUTPUT_SHARE = 0.01
_OUTPUT_PIECE_BYTES = 64 * 1024
# A run is idle if it was seen at work in few of the last looks, of which each counts a tenth less than the
# next.
_LOOK_WEIGHT, _IDLE_SHARE_MAX = 0.1, 0.35
_END_S_MAX = 5.0
_SAID_CHARACTERS_MAX = 200
_CREDENTIALS = struct.Struct("=iII")


@dataclass(slots=True, kw_only=True)
class Observation:
    """What the parent saw of a run."""

    start_ms: float = 0.0
    execution_ms: float = 0.0
    cpu_ms: float = 0.0
    limit_hit: Limit | None = None
    cancelled: bool = False
    exit_code: int | None = None
    signal: int | None = None
    result: bytes = b""
    landlock_version: int = 0
    seccomp: bool = False
    output_bytes: int = 0


class Supervision:
    """One run: start, watch, end."""

    def __init__(
        self,
        launch: Launch,
        limits: Limits,
        timeout_ms: int,
        on_output: Callable[[Stream, bytes], None],
        scratch: Scratch | None,
        cancel: threading.Event,
        on_idle: Callable[[int | None], None] = lambda _: None,
    ) -> None:
        """Prepare a run.

        Args:
            launch: what to start.
            limits: the bounds to hold.
            timeout_ms: wall clock from the first line of foreign code.
            on_output: gets each piece of output, in this thread, up to the output limit.
            scratch: the run's writable space; None if the child brings a tmpfs of its own.
            cancel: ends the run when set.
            on_idle: told how many bytes of memory the run holds while it does nothing; None when it goes on.
        """
        self.seen = Observation()
        self.scratch = scratch
        self._launch = launch
        self._limits = limits
        self._timeout_ms = timeout_ms
        self._on_output = on_output
        self._cancel = cancel
        self._on_idle = on_idle
        self._idle_bytes: int | None = None
        self._awake_share = 1.0
        self._gives_way = False
        self._wait_status: int | None = None
        """How the code's process ended, where another process of ours waits for it."""
        self._selector = selectors.DefaultSelector()
        self._pending_input = memoryview(standard_input(launch.plan))
        self._process_id = 0
        self._runner = -1
        self._ready_at: float | None = None
        self._next_usage_at = 0.0
        self._next_output_at = 0.0
        self._pending_output = {stream: bytearray() for stream in Stream}
        self._refusal = ""

    def run(self) -> None:
        """Run to the end; afterwards `seen` and `scratch` hold what there is to know.

        Raises:
            SandboxUnavailable: the child could not be started or confined; no foreign code ran.
        """
        started_at = time.monotonic()
        control, control_child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        result, result_child = os.pipe()
        try:
            process = self._start(control_child, result_child)
        except OSError as error:
            control.close()
            os.close(result)
            raise SandboxUnavailable(f"tier {self._launch.tier}: {error}") from error
        finally:
            control_child.close()
            os.close(result_child)
        try:
            self._watch(process, control, result, started_at)
        finally:
            self._end(process)
            if self._ready_at is not None:
                self._pass_on_output()
            control.close()
            os.close(result)
            self._selector.close()
        if self._ready_at is None:
            # No foreign code has run, so that this comes from whatever starts the child.
            said = clean_line(
                self._pending_output[Stream.STDERR].decode(errors="replace"), _SAID_CHARACTERS_MAX
            )
            reason = self._refusal or "the child did not start"
            raise SandboxUnavailable(f"tier {self._launch.tier}: {reason}{said and f' ({said})'}")
        self.seen.execution_ms = (time.monotonic() - self._ready_at) * 1000
        # A run may fill its space and be over before anybody looks.
        self._check_scratch()
        self._classify()

    def _start(self, control: socket.socket, result: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._launch.arguments, str(control.fileno()), str(result)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(self._launch.environment),
            pass_fds=(control.fileno(), result),
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )

    def _watch(
        self, process: subprocess.Popen[bytes], control: socket.socket, result: int, started_at: float
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process_id = process.pid
        output, errors, stdin = process.stdout.fileno(), process.stderr.fileno(), process.stdin.fileno()
        readers: dict[int, Callable[[], bool]] = {
            control.fileno(): lambda: self._hear(control, started_at),
            output: lambda: self._read_output(output, Stream.STDOUT),
            errors: lambda: self._read_output(errors, Stream.STDERR),
            result: lambda: self._read_result(result),
        }
        ended = os.pidfd_open(process.pid)
        try:
            for descriptor in (*readers, stdin):
                os.set_blocking(descriptor, False)
            for descriptor in (*readers, ended):
                self._selector.register(descriptor, selectors.EVENT_READ)
            self._selector.register(stdin, selectors.EVENT_WRITE)
            while not self._must_end(started_at):
                ready = [key.fd for key, _ in self._selector.select(_TICK_S)]
                for descriptor in ready:
                    keep = self._feed(stdin) if descriptor == stdin else readers.get(descriptor, bool)()
                    if descriptor != ended and not keep:
                        self._selector.unregister(descriptor)
                        if descriptor == stdin:
                            process.stdin.close()
                if ended in ready:
                    self._drain(readers)
                    return
        finally:
            os.close(ended)

    def _drain(self, readers: dict[int, Callable[[], bool]]) -> None:
        """Read what the child had written before it ended; nobody is left to write more."""
        open_descriptors = set(self._selector.get_map())
        for descriptor, read in readers.items():
            if descriptor in open_descriptors:
                with contextlib.suppress(BlockingIOError):
                    while self.seen.limit_hit is None and read():
                        pass

    def _feed(self, stdin: int) -> bool:
        try:
            written = os.write(stdin, self._pending_input[: 1 << 16])
        except BrokenPipeError:
            return False
        self._pending_input = self._pending_input[written:]
        return len(self._pending_input) > 0

    def _hear(self, control: socket.socket, started_at: float) -> bool:
        """Take the child's report that it is confined, check it, and let the foreign code begin."""
        space = socket.CMSG_SPACE(4) + socket.CMSG_SPACE(_CREDENTIALS.size)
        data, ancillary, _, _ = control.recvmsg(4096, space)
        work = sender = user_id = -1
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                work = int.from_bytes(content[:4], sys.byteorder)
            elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                # Filled in by the kernel, and in this process's numbers: no claim of the child's.
                sender, user_id, _ = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])
        if work >= 0:
            if self.scratch is None:
                self.scratch = MemoryScratch(work)
            else:
                os.close(work)
            return True
        report = json.loads(data) if data else {}
        if self._ready_at is not None:
            # The code's own process has closed its end, so that this comes from the one that waited for it.
            if "ended" in report and sender != self._process_id:
                self._wait_status = report["ended"]
            return False
        self._process_id = sender
        self._refusal = self._fault(report, user_id)
        if self._refusal:
            return False
        self._runner = os.pidfd_open(self._process_id)
        self.seen.landlock_version, self.seen.seccomp = report["landlock_version"], report["seccomp"]
        let_end_first(self._process_id)
        self._ready_at = time.monotonic()
        self.seen.start_ms = (self._ready_at - started_at) * 1000
        control.send(b"g")
        return self._launch.plan["first_process"]

    def _fault(self, report: Mapping[str, object], user_id: int) -> str:
        """Return why the foreign code must not begin; empty if it may."""
        if "refused" in report:
            return str(report["refused"])
        if not report or "ended" in report or self.scratch is None:
            return "the child ended before it was confined"
        if user_id != self._launch.user_id:
            return f"the child runs as user {user_id}, not as {self._launch.user_id}"
        tier = self._launch.tier
        if tier is not Tier.WASM and report.get("seccomp") is not True:
            return "the filter of system calls is not in force"
        if tier is Tier.LSM and not report.get("landlock_version"):
            return "Landlock is not in force"
        return ""

    def _read_output(self, descriptor: int, stream: Stream) -> bool:
        data = os.read(descriptor, 1 << 16)
        left = self._limits.output_bytes - self.seen.output_bytes
        self.seen.output_bytes += len(data)
        if len(data) > left:
            self._hit(Limit.OUTPUT)
        self._pending_output[stream].extend(data[: max(0, left)])
        return bool(data)

    def _pass_on_output_in_time(self, now: float, started_at: float) -> None:
        if self._ready_at is not None and now >= self._next_output_at and any(self._pending_output.values()):
            self._pass_on_output()
            self._next_output_at = now + max(_TICK_S, (now - started_at) * _OUTPUT_SHARE)

    def _pass_on_output(self) -> None:
        """Hand on what has gathered of each stream; every character would else make a piece of its own."""
        for stream, data in self._pending_output.items():
            for start in range(0, len(data), _OUTPUT_PIECE_BYTES):
                self._on_output(stream, bytes(data[start : start + _OUTPUT_PIECE_BYTES]))
            data.clear()

    def _read_result(self, descriptor: int) -> bool:
        data = os.read(descriptor, 1 << 16)
        self.seen.result += data
        if len(self.seen.result) > RESULT_BYTES_MAX:
            self._hit(Limit.RESULT)
        return bool(data)

    def _must_end(self, started_at: float) -> bool:
        now = time.monotonic()
        self._pass_on_output_in_time(now, started_at)
        if self._cancel.is_set():
            self.seen.cancelled = True
        elif self._ready_at is None:
            start_ms_max = self._limits.start_ms_max
            if self._refusal or (now - started_at) * 1000 > start_ms_max:
                self._refusal = self._refusal or f"the child was not ready after {start_ms_max} ms"
                return True
        elif (now - self._ready_at) * 1000 > self._timeout_ms:
            self._hit(Limit.WALL_CLOCK)
        elif now >= self._next_usage_at:
            self._check_usage()
            # A costly count is made less often, so that a hostile tree can't keep this thread busy.
            spent_s = time.monotonic() - now
            self._next_usage_at = now + max(_TICK_S, 10 * spent_s)
        return self.seen.cancelled or self.seen.limit_hit is not None

    def _check_usage(self) -> None:
        threads, cpu_ms, runnable = use(self._process_id)
        awake = runnable or cpu_ms > self.seen.cpu_ms
        self._awake_share += _LOOK_WEIGHT * (awake - self._awake_share)
        self.seen.cpu_ms = max(self.seen.cpu_ms, cpu_ms)
        if cpu_ms > self._limits.cpu_ms + 1_000:
            self._hit(Limit.CPU)
        if threads > self._limits.threads:
            self._hit(Limit.THREADS)
        disk_bytes = self._check_scratch()
        idle = self._awake_share < _IDLE_SHARE_MAX
        if not self._gives_way and (idle or cpu_ms > _GIVE_WAY_AFTER_CPU_MS):
            self._gives_way = give_way(self._process_id)
        idle_bytes = disk_bytes + self._memory_bytes() if idle else None
        if idle_bytes != self._idle_bytes:
            self._idle_bytes = idle_bytes
            self._on_idle(idle_bytes)

    def _memory_bytes(self) -> int:
        bounded = self._launch.plan["confinement"]["memory_bytes"] > 0
        return memory_bytes(self._process_id, reserved=bounded)

    def _check_scratch(self) -> int:
        """Look at what is in the writable space; return its size in bytes."""
        assert self.scratch is not None
        usage = self.scratch.usage(self._process_id, self._limits.inodes)
        if usage.inodes > self._limits.inodes:
            self._hit(Limit.INODES)
        elif usage.disk_bytes > self._limits.disk_bytes:
            self._hit(Limit.DISK)
        return usage.disk_bytes

    def _hit(self, limit: Limit) -> None:
        if self.seen.limit_hit is None:
            self.seen.limit_hit = limit

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Make sure that the child is gone and reaped, whatever came before."""
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        running = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        if running and self._runner >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._runner, signal.SIGKILL)
        # With what bwrap has made and not yet let run, which would wait for a word from it for ever. While
        # the leader is not reaped, nobody else's group can have this number.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if self._runner >= 0:
            # bwrap may be gone before what it started; the run is over only when that is too.
            _wait_readable(self._runner, _END_S_MAX)
            os.close(self._runner)
        self.seen.cpu_ms = max(self.seen.cpu_ms, (used.ru_utime + used.ru_stime) * 1000)
        if self._wait_status is not None:
            code = os.waitstatus_to_exitcode(self._wait_status)
        elif self._launch.plan["first_process"] and process.returncode > 128:
            # Nobody told how the code ended: its namespace was ended from outside.
            code = -signal.SIGKILL
        else:
            code = process.returncode
        if code < 0:
            self.seen.signal = -code
        else:
            self.seen.exit_code = code

    def _classify(self) -> None:
        """Name the processor limit, which the kernel holds by a signal that the code may not send."""
        if self.seen.cancelled or self.seen.limit_hit is not None:
            return
        used_up = self.seen.cpu_ms >= self._limits.cpu_ms
        if self.seen.signal == signal.SIGXCPU or (self.seen.signal == signal.SIGKILL and used_up):
            self._hit(Limit.CPU)


def _wait_readable(descriptor: int, seconds: float) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll(seconds * 1000)
