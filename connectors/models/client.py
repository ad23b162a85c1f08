"""The client library, set up so that nothing but this project decides on retries and timeouts."""

from typing import Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import openai
from openai import DefaultAsyncHttpxClient

from schemas.configuration import RequestParameters

CONNECT_TIMEOUT_S: Final = 5.0
FINGERPRINT_LOCAL: Final = "local-deterministic"
"""How the local deterministic model signs its answers."""

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def make_client(base_url: str, api_key: str) -> openai.AsyncOpenAI:
    """Return a client of the API at `base_url`, such as `https://api.openai.com/v1`; nothing connects.

    A query, such as Azure's `?api-version=…`, goes with every request.
    """
    parts = urlsplit(base_url)
    # A proxy named in the environment must not get what is meant for this machine.
    loopback = parts.hostname in _LOOPBACK
    return openai.AsyncOpenAI(
        api_key=api_key,
        base_url=urlunsplit(parts._replace(query="", fragment="")),
        default_query=dict(parse_qsl(parts.query)),
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(trust_env=not loopback),
    )


def headers_of(parameters: RequestParameters, api_key: str) -> dict[str, str]:
    """Return the headers that a model's requests have beside the client's own."""
    headers = dict(parameters.extra_headers)
    if parameters.key_header.lower() != "authorization":
        headers[parameters.key_header] = api_key
    return headers


def timeout_of(timeout_ms: int) -> openai.Timeout:
    """Return the timeouts of one attempt: a connection comes soon or not at all."""
    timeout_s = timeout_ms / 1000
    return openai.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))


def is_local(model: str, fingerprint: str | None) -> bool:
    """Tell whether the local deterministic model answered."""
    return fingerprint == FINGERPRINT_LOCAL or model.startswith(f"{FINGERPRINT_LOCAL}/")
