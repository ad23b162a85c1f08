"""The console's files, as the tests read them."""

import gzip
import re
from pathlib import Path
from typing import Final

import streams.gateway

FOLDER: Final = Path(streams.gateway.__file__).parent / "console"
SCRIPTS: Final = sorted((FOLDER / "app").rglob("*.js"))
"""The console's own; those of others are in `vendor`."""
_STATIC: Final = re.compile(
    r'^\s*(?:import|export)\b[^;]*?from\s*"([^"]+)"|^\s*import\s*"([^"]+)"', re.MULTILINE
)
_VENDORED: Final = re.compile(r'\bfrom\s*"([^"]+)"')


def imports_of(path: Path) -> list[Path]:
    """Return the files that a module imports before it runs."""
    pattern = _VENDORED if path.parent.name == "vendor" else _STATIC
    found = [next(name for name in match.groups() if name) for match in pattern.finditer(path.read_text())]
    return [(path.parent / name).resolve() for name in found]


def closure(*names: str) -> set[Path]:
    """Return modules with all that they import, directly or not."""
    waiting = [FOLDER / name for name in names]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imports_of(path)
    return found


def zipped_bytes(path: Path) -> int:
    """Return how much of a file travels."""
    return len(gzip.compress(path.read_bytes(), mtime=0))
