"""Secrets by reference: configuration says where one stands, and it is read when it is needed."""

import os
from pathlib import Path
from typing import Final

from connectors.mcp.server import SecretMissing

SECRET_BYTES_MAX: Final = 65_536


def resolve(reference: str) -> str:
    """Return the secret that stands at `env:NAME` or in `file:/path`, without line ends around it.

    Raises:
        SecretMissing: there is none; the message names the reference alone.
    """
    kind, _, place = reference.partition(":")
    if kind == "env":
        found = os.environ.get(place, "")
    else:
        try:
            with Path(place).open("rb") as file:
                found = file.read(SECRET_BYTES_MAX).decode("utf-8", errors="replace").strip()
        except OSError as error:
            raise SecretMissing(f"the secret {reference} cannot be read: {error.strerror}") from error
    if not found.strip():
        raise SecretMissing(f"there is no secret at {reference}")
    return found.strip()
