"""Files of the configuration, as they are read and checked before anything is made of them."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError


class ConfigurationInvalid(Exception):
    """A file of the configuration says something that cannot be; the text names the file and the place."""


class Strict(BaseModel):
    """A table of a file that may have no other keys than those told."""

    model_config = ConfigDict(extra="forbid")


_FileT = TypeVar("_FileT", bound=BaseModel)


def own_or_shipped(name: str, directory: Path | None) -> Mapping[str, object]:
    """Read `directory`'s file of that name, or the shipped one where it has none.

    Raises:
        ConfigurationInvalid: it cannot be read.
    """
    found = own(name, directory)
    return shipped(name) if found is None else found


def own(name: str, directory: Path | None) -> Mapping[str, object] | None:
    """Read `directory`'s file of that name; None where it has none.

    Raises:
        ConfigurationInvalid: it cannot be read.
    """
    path = directory / f"{name}.toml" if directory is not None else None
    return toml(path, f"{name}.toml") if path is not None and path.exists() else None


def shipped(name: str) -> Mapping[str, object]:
    """Read the file of that name among the defaults."""
    return toml(resources.files("streams.configuration").joinpath("defaults", f"{name}.toml"), f"{name}.toml")


def toml(file: Path | Traversable, name: str) -> Mapping[str, object]:
    """Read a file of TOML.

    Raises:
        ConfigurationInvalid: it cannot be read.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationInvalid(f"{name} cannot be read: {error}") from error


def checked(file: type[_FileT], plain: object, name: str) -> _FileT:
    """Return the table as a record of its kind.

    Raises:
        ConfigurationInvalid: with every fault and its place.
    """
    try:
        return file.model_validate(plain)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
        )
        raise ConfigurationInvalid(f"{name}: {faults}") from error
