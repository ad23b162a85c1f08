"""What a caller of the analyzer may choose."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long analysis is."""

    stage: str
    """`files` or `page`."""
    done: int
    total: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """The browser part."""

    url: str
    chromium_path: str = ""
    """Tried first; otherwise `chromium`, `chromium-browser` and `google-chrome` on `search_path`."""
    search_path: str = "/usr/local/bin:/usr/bin:/bin:/snap/bin"
    sandbox: bool = True
    """Chromium's own sandbox; it does not start as root, where it is switched off."""
    time_ms_max: int = 120_000
    page_time_ms_max: int = 15_000
    memory_mb_max: int = 2_048
    """Address space cannot bound Chromium, so the resident memory of its processes is watched."""
    requests_max: int = 2_000
    reconnect_ms_max: int = 15_000
    """How long a page may take to connect a cut WebSocket again."""
    heap_ms: int = 5_000
    """How long the memory of the page is watched; 0 leaves it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Bounds and choices; the defaults suit a repository of any size."""

    files_max: int = 20_000
    file_bytes_max: int = 1_000_000
    file_time_ms_max: int = 5_000
    workers: int | None = None
    """Worker processes; None decides by the number of files, 1 stays in this process."""
    exclude: tuple[str, ...] = ()
    """Globs on paths relative to the folder, such as `legacy/*`."""
    include_tests: bool = False
    agents: tuple[str, ...] = ()
    """Names of agents that the interface must reach; each that nothing names is a finding."""
    live: LiveOptions | None = None
    progress: Callable[[Progress], None] | None = field(default=None, compare=False)
