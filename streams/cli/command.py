"""How commands end: exit codes that scripts can use, and errors that say what to do."""

import asyncio
from collections.abc import Callable, Coroutine
from enum import IntEnum
from functools import wraps
from typing import Any, NoReturn, ParamSpec
from uuid import UUID

import psycopg
import typer
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from connectors.embedded.errors import EmbeddedError
from schemas.wire.registry import RegistryError
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
        try:
            asyncio.run(work(*args, **kwargs))
        except (SettingsInvalid, ConfigurationInvalid) as error:
            fail(Code.USAGE, str(error))
        except KafkaError as error:
            fail(Code.AWAY, f"Kafka: {error}", "Is it running? `cartrita status` tells.")
        except RegistryError as error:
            fail(Code.AWAY, str(error), "Is it running? `cartrita status` tells.")
        except psycopg.OperationalError as error:
            fail(Code.AWAY, f"Postgres: {error}".strip(), "Is it running? `cartrita status` tells.")
        except psycopg.errors.UndefinedTable as error:
            fail(Code.AWAY, f"Postgres: {error}".strip(), "Run `cartrita migrate` first.")
        except EmbeddedError as error:
            fail(Code.AWAY, str(error))
        except KeyboardInterrupt:
            raise typer.Exit(Code.INTERRUPTED) from None

    return run
