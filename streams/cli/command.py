"""How commands end: exit codes that scripts can use, and errors that say what to do."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable
from enum import IntEnum
from functools import wraps
from typing import Any, NoReturn, ParamSpec
from uuid import UUID

import psycopg
import typer
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from connectors.embedded.errors import EmbeddedError
from schemas.wire.registry import RegistryError
from sinks.errors import MigrationRefused
from sinks.mapping import MappingInvalid
from streams.cli import output
from streams.configuration.loading import ConfigurationInvalid
from streams.process.settings import SettingsInvalid
from topics.catalog import BY_NAME

P = ParamSpec("P")


class Code(IntEnum):
    """What a command's exit code means."""

    OK = 0
    FAILED = 1
    """The work was done, and its outcome is not good: no complete answer, a check that found something."""
    USAGE = 2
    """The command was given wrongly, or a setting is wrong."""
    AWAY = 3
    """Kafka, the registry, Postgres or the model did not answer."""
    NOT_FOUND = 4
    """There is no such session, event, dead letter or document."""
    TIMED_OUT = 5
    """The outcome did not come in the time given."""
    INTERRUPTED = 130
    READER_GONE = 141
    """Whoever read the output has stopped, as `head` does; shells say so of what SIGPIPE ended."""


def fail(code: Code, message: str, hint: str = "") -> NoReturn:
    """End the command with a message on standard error."""
    output.error(message, hint)
    raise typer.Exit(code)


def given_uuid(text: str) -> UUID:
    """Read an argument that has to be a UUID, or end the command."""
    try:
        return UUID(text)
    except ValueError:
        fail(Code.USAGE, f"{text!r} is not a UUID")


def given_place(text: str) -> tuple[str, int, int] | None:
    """Read an argument that may be a place on the log: topic/partition/offset, as other commands show it."""
    topic, _, numbers = text.partition("/")
    partition, _, offset = numbers.partition("/")
    if topic in BY_NAME and partition.isdecimal() and offset.isdecimal():
        return topic, int(partition), int(offset)
    return None


def command(work: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an asynchronous command, and turn what can go wrong into a message and an exit code.

    (Any: what coroutines may send and be sent, which nobody here uses.)
    """

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(work(*args, **kwargs))

    return plain_command(run)


def plain_command(work: Callable[P, None]) -> Callable[P, None]:
    """Run a command that is no coroutine, likewise."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        _demand_text([*args, *kwargs.values()])
        try:
            work(*args, **kwargs)
        except (SettingsInvalid, ConfigurationInvalid, MappingInvalid, MigrationRefused) as error:
            fail(Code.USAGE, str(error))
        except KafkaError as error:
            fail(Code.AWAY, f"Kafka: {error}", "Is it running? `cartrita status` tells.")
        except RegistryError as error:
            fail(Code.AWAY, str(error), "Is it running? `cartrita status` tells.")
        except psycopg.OperationalError as error:
            fail(Code.AWAY, f"Postgres: {error}".strip(), "Is it running? `cartrita status` tells.")
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            fail(Code.AWAY, f"Postgres: {error}".strip(), "Run `cartrita migrate` first.")
        except psycopg.Error as error:
            fail(Code.FAILED, f"Postgres: {error}".strip())
        except EmbeddedError as error:
            fail(Code.AWAY, str(error))
        except BrokenPipeError:
            output.stop_writing()
            raise typer.Exit(Code.READER_GONE) from None
        except OSError as error:
            output.stop_writing()
            name = f"{error.filename}: " if error.filename else ""
            fail(Code.FAILED, f"{name}{error.strerror or str(error) or type(error).__name__}")
        except KeyboardInterrupt:
            raise typer.Exit(Code.INTERRUPTED) from None

    return run


def _demand_text(values: Iterable[object]) -> None:
    """Refuse arguments with bytes that are not text, which no record and no row can hold."""
    for value in values:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text):
                shown = os.fsencode(text).decode(errors="backslashreplace")
                fail(Code.USAGE, f"this argument is not text in your terminal's encoding: {shown}")
