"""What a caller asks for, checked at the border."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from connectors.sandbox.cleaning import clean
from connectors.sandbox.errors import RequestInvalid
from connectors.sandbox.limits import (
    CODE_BYTES_MAX,
    FILES_BYTES_MAX,
    FILES_COUNT_MAX,
    NAME_BYTES_MAX,
    TIMEOUT_MS_DEFAULT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRequest:
    """One piece of code to run once, in a process of its own."""

    code: str
    timeout_ms: int = TIMEOUT_MS_DEFAULT
    """Wall clock from the moment the code starts; bounded by the sandbox's `timeout_ms_max`."""
    packages: tuple[str, ...] = ()
    """Names from the sandbox's approved list; nothing is ever installed."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Put into the working directory before the code starts, by relative path."""
    tenant: str = ""
    """On whose behalf it runs: tenants wait for one another in turn."""

    def __post_init__(self) -> None:
        """Check all bounds that do not depend on the sandbox.

        Raises:
            RequestInvalid: says which bound, and what it is.
        """
        try:
            size = len(self.code.encode())
        except UnicodeEncodeError as error:
            raise RequestInvalid("code is not valid Unicode text") from error
        if size > CODE_BYTES_MAX:
            raise RequestInvalid(f"code has {size} bytes, the bound is {CODE_BYTES_MAX}")
        if self.timeout_ms < 1:
            raise RequestInvalid("timeout must be positive")
        if len(self.files) > FILES_COUNT_MAX:
            raise RequestInvalid(f"{len(self.files)} files, the bound is {FILES_COUNT_MAX}")
        if sum(len(content) for content in self.files.values()) > FILES_BYTES_MAX:
            raise RequestInvalid(f"files have more than {FILES_BYTES_MAX} bytes together")
        for name in self.files:
            if not is_relative_name(name):
                raise RequestInvalid(f"file name {name!r} is not a plain relative path")
        looks: dict[str, str] = {}
        for name in self.files:
            other = looks.setdefault(look(name), name)
            if other != name:
                raise RequestInvalid(f"file names {other!r} and {name!r} look the same")
        for name in self.files:
            for parent in PurePosixPath(name).parents:
                if str(parent) in self.files:
                    raise RequestInvalid(f"file {str(parent)!r} would also be the directory of {name!r}")


def is_relative_name(name: str) -> bool:
    """Tell whether `name` stays below a directory, hides nothing, and has at most NAME_BYTES_MAX bytes.

    That must also hold where names are written in another form, as on a system that knows backslashes, drops
    dots at the end, or takes a wide full stop for a full stop.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return False
    return (
        name.isprintable()
        and clean(name) == name
        and size <= NAME_BYTES_MAX
        and name.count("/") < 8
        and look(name).count("/") == name.count("/")
        and "\\" not in look(name)
        and all(map(_is_plain, (*name.split("/"), *look(name).split("/"))))
    )


def look(name: str) -> str:
    """Return the form that all names have in common which differ only in how their characters are written."""
    return unicodedata.normalize("NFKC", name)


def _is_plain(part: str) -> bool:
    # A mark at the beginning would be shown on what stands before the name.
    return (
        part != "" and part == part.strip().rstrip(".") and not unicodedata.category(part[0]).startswith("M")
    )
