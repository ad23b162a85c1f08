"""The client library, set up so that nothing but this project decides on retries and timeouts."""

from typing import Final
from urllib.parse import urlsplit

import openai
from openai import DefaultAsyncHttpxClient

CONNECT_TIMEOUT_S: Final = 5.0
FINGERPRINT_LOCAL: Final = "local-deterministic"
"""How the local deterministic model signs its answers."""

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def make_client(base_url: str, api_key: str) -> openai.AsyncOpenAI:
    """Return a client of the API at `base_url`, such as `https://api.openai.com/v1`; nothing connects."""
    # A proxy named in the environment must not get what is meant for this machine.
    loopback = urlsplit(base_url).hostname in _LOOPBACK
    return openai.AsyncOpenAI(
        api_key=api_key,
        base_url=base_url,
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(trust_env=not loopback),
    )


def timeout_of(timeout_ms: int) -> openai.Timeout:
    """Return the timeouts of one attempt: a connection comes soon or not at all."""
    timeout_s = timeout_ms / 1000
    return openai.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))


def is_local(model: str, fingerprint: str | None) -> bool:
    """Tell whether the local deterministic model answered."""
    return fingerprint == FINGERPRINT_LOCAL or model.startswith(f"{FINGERPRINT_LOCAL}/")
