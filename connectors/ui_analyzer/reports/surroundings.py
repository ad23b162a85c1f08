"""What a report needs to know that is not part of the analysis: where and how long it ran."""

from dataclasses import dataclass
from pathlib import Path

_PARENTS_MAX = 64


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Values of one run; an analysis itself is the same wherever and whenever it is made."""

    folder_in_repository: str = ""
    """The analysed folder relative to the repository around it, with `/`; "" at its root, or without one."""
    in_repository: bool = False
    duration_s: float = 0.0


def folder_in_repository(path: Path) -> str | None:
    """Where the analysed folder lies in the git repository around it; None when there is none."""
    folder = path.resolve()
    folder = folder if folder.is_dir() else folder.parent
    for root in (folder, *list(folder.parents)[:_PARENTS_MAX]):
        if (root / ".git").exists():
            relative = folder.relative_to(root).as_posix()
            return "" if relative == "." else relative
    return None
