"""The journal of a campaign: one JSON line for each fault, restart and note, on disk and on the screen."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.chaos.faults import Planned


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One fault as it happened."""

    number: int
    kind: str
    target: str
    detail: str
    alone: bool
    at_ms: int
    """When it began; of a kill, when the process was gone. Wall clock, since 1970."""
    healed_ms: int
    """When it was over, or what it ended was started again."""
    partitions: tuple[int, ...] = ()
    """Of sessions, those that the target owned; empty where that was not asked."""
    outcome: str = ""
    """What came of it, such as whether the failpoint was reached."""


class Journal:
    """Written by several threads."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        """Write to `path`, after what stands there, and tell people through `say`."""
        self._path = path
        self._say = say
        self._lock = threading.Lock()
        self._began_s = time.monotonic()
        self.blows: list[Blow] = []
        self.restarts: dict[str, int] = {}
        """By part, how often it had ended by itself, or after a blow, and was started again."""

    def struck(self, blow: Blow) -> None:
        """Note a fault that is over."""
        with self._lock:
            self.blows.append(blow)
        self._write({"event": "fault", **asdict(blow)})
        took_s = (blow.healed_ms - blow.at_ms) / 1_000
        detail = " ".join(part for part in (blow.detail, blow.outcome) if part)
        self._tell(f"{blow.number:4d} {blow.kind:26} {blow.target:18} {took_s:5.1f} s  {detail}")

    def began(self, planned: Planned) -> None:
        """Note that a fault is about to be made."""
        self._write({"event": "begins", **asdict(planned), "at_ms": now_ms()})

    def restarted(self, part: str, reason: str) -> None:
        """Note that a part was found ended and was started again."""
        with self._lock:
            self.restarts[part] = self.restarts.get(part, 0) + 1
        self._write({"event": "restarted", "part": part, "reason": reason, "at_ms": now_ms()})

    def note(self, text: str) -> None:
        """Note something for people."""
        self._write({"event": "note", "text": text, "at_ms": now_ms()})
        self._tell(text)

    def _write(self, entry: dict[str, object]) -> None:
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._began_s:7.1f} {text}")


def now_ms() -> int:
    """Return the wall clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
