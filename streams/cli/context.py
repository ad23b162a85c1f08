"""What every command begins with: the settings, and connections made from them."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from streams.process.settings import Settings
from streams.worker.deployment import Deployment, environment_of

HOME_VARIABLE: Final = "CARTRITA_HOME"
HOME_DEFAULT: Final = ".cartrita"


def home() -> Path:
    """Return the directory of the local deployment."""
    return Path(os.environ.get(HOME_VARIABLE) or HOME_DEFAULT)


def deployment() -> Deployment:
    """Return the local deployment, running or not."""
    return Deployment(home(), os.environ)


def environment() -> dict[str, str]:
    """Return the environment for the settings: where it is silent, the local deployment speaks."""
    return environment_of(home(), os.environ)


def settings() -> Settings:
    """Return the settings: from the environment, and where it is silent, from the local deployment.

    Raises:
        SettingsInvalid: some setting is missing or wrong; the message tells of all of them.
    """
    return Settings.from_environment(environment())


@asynccontextmanager
async def database() -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
    """Connect to Postgres for a few queries."""
    connection = await psycopg.AsyncConnection.connect(
        settings().postgres_dsn, autocommit=True, connect_timeout=10
    )
    async with connection:
        yield connection
