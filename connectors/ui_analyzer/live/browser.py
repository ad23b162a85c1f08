"""Finds and starts Chromium in a throw-away profile, and kills it when it takes too long or too much memory."""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, sync_playwright

from connectors.ui_analyzer.live.gate import Gate
from connectors.ui_analyzer.options import LiveOptions

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-domain-reliability",
    "--disable-client-side-phishing-detection",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-features=Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider,AutofillServerCommunication",
)
_WATCH_PERIOD_S = 0.5


class BrowserMissing(Exception):
    """No Chromium is installed; `names` says what was looked for."""


def find_chromium(options: LiveOptions) -> str:
    """The first of: the given path, `chromium`, `chromium-browser`, `google-chrome`.

    Raises:
        BrowserMissing: none of them is there.
    """
    if options.chromium_path:
        if Path(options.chromium_path).is_file() and os.access(options.chromium_path, os.X_OK):
            return options.chromium_path
        raise BrowserMissing(f"{options.chromium_path} is not a program")
    for name in _NAMES:
        found = shutil.which(name, path=options.search_path)
        if found:
            return found
    raise BrowserMissing("no Chromium found: " + ", ".join(_NAMES))


@contextmanager
def opened(options: LiveOptions, gate: Gate) -> Iterator[tuple[BrowserContext, "Watch"]]:
    """A browser that can reach nothing but the gate; it and its profile are gone afterwards.

    Raises:
        BrowserMissing: there is none.
    """
    executable = find_chromium(options)
    profile = tempfile.mkdtemp(prefix="cartrita-ui-")
    watch = Watch(profile, options)
    # Chromium refuses to sandbox itself as root.
    sandbox = options.sandbox and os.geteuid() != 0
    try:
        with sync_playwright() as playwright:
            context = playwright.chromium.launch_persistent_context(
                profile,
                executable_path=executable,
                headless=True,
                chromium_sandbox=sandbox,
                args=[*_FLAGS, *([] if sandbox else ["--no-sandbox"])],
                # Without <-loopback> Chromium goes to loopback addresses past the proxy.
                proxy={"server": f"http://127.0.0.1:{gate.port}", "bypass": "<-loopback>"},
                env={"HOME": profile, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
                accept_downloads=False,
                service_workers="block",
                reduced_motion="no-preference",
            )
            context.set_default_timeout(options.page_time_ms_max)
            watch.start()
            try:
                yield context, watch
            finally:
                watch.stop()
                context.close()
    finally:
        watch.stop()
        watch.kill()
        shutil.rmtree(profile, ignore_errors=True)


class Watch:
    """Kills the browser of one profile at the first of two limits: time, or resident memory."""

    def __init__(self, profile: str, options: LiveOptions) -> None:
        self.reason = ""
        """Why the browser was killed; "" while it was not."""
        self._profile = profile
        self._deadline_s = time.monotonic() + options.time_ms_max / 1000
        self._memory_bytes_max = options.memory_mb_max * 1_048_576
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def kill(self) -> None:
        """Kill every process that was started with this profile."""
        for pid in self._pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _run(self) -> None:
        while not self._stopped.wait(_WATCH_PERIOD_S):
            if time.monotonic() > self._deadline_s:
                self.reason = "the time for the page is used up"
            elif self._resident_bytes() > self._memory_bytes_max:
                self.reason = "the page takes too much memory"
            if self.reason:
                self.kill()
                return

    def _pids(self) -> list[int]:
        marker = os.fsencode(self._profile)
        found = []
        for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    command = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                # Only the browser itself: the driver between us also names the profile, but is Playwright's.
                if (marker in command and b"--remote-debugging" in command) or (
                    marker in command and b"--type=" in command
                ):
                    found.append(int(entry.name))
        return self._with_children(found)

    def _with_children(self, pids: list[int]) -> list[int]:
        parents: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir() if pids else ():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text(encoding="ascii", errors="replace")
                except OSError:
                    continue
                parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
        every, stack = list(pids), list(pids)
        while stack:
            for child in parents.get(stack.pop(), []):
                if child not in every:
                    every.append(child)
                    stack.append(child)
        return every

    def _resident_bytes(self) -> int:
        total = 0
        for pid in self._pids():
            try:
                total += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096
            except (OSError, ValueError, IndexError):
                continue
        return total
