"""The client library, set up so that nothing but this project decides on retries and timeouts."""

from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

import openai
from openai import DefaultAsyncHttpxClient

from connectors.models.values import list_of, mapping_of, name_of, text_of
from schemas.configuration import EmbeddingParameters, RequestParameters

CONNECT_TIMEOUT_S: Final = 5.0
FINGERPRINT_LOCAL: Final = "local-deterministic"
"""How the local deterministic model signs its answers."""

MODEL_PLACE: Final = "{model}"
"""Where a base URL names the model, as Azure's deployments do."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def make_client(base_url: str, api_key: str) -> openai.AsyncOpenAI:
    """Return a client of the API at `base_url`, such as `https://api.openai.com/v1`; nothing connects.

    A query, such as Azure's `?api-version=…`, goes with every request. `{model}` in the path stands for the
    name of the model that a request is for.
    """
    parts = urlsplit(base_url)
    # A proxy named in the environment must not get what is meant for this machine.
    loopback = parts.hostname in _LOOPBACK
    path, _, _ = parts.path.partition(MODEL_PLACE)
    return openai.AsyncOpenAI(
        api_key=api_key or "none",
        base_url=urlunsplit(parts._replace(path=path, query="", fragment="")),
        default_query=dict(parse_qsl(parts.query)),
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(trust_env=not loopback),
    )


def path_of(base_url: str, model: str, endpoint: str) -> str:
    """Return the path of a request below the client's own, such as `/chat/completions`."""
    _, place, rest = urlsplit(base_url).path.partition(MODEL_PLACE)
    if not place:
        return f"/{endpoint}"
    return f"/{quote(model, safe='')}{rest.rstrip('/')}/{endpoint}"


def headers_of(
    parameters: RequestParameters | EmbeddingParameters, api_key: str, call_id: str
) -> dict[str, str | openai.Omit]:
    """Return the headers of a request for a model; there is no key in them where none is configured."""
    headers: dict[str, str | openai.Omit] = {"X-Client-Request-Id": call_id, **dict(parameters.extra_headers)}
    own = parameters.key_header.lower() != "authorization"
    if own or not api_key:
        # The client would send its own: some servers refuse a key that they were not to be sent.
        headers["Authorization"] = openai.Omit()
    if own and api_key:
        headers[parameters.key_header] = api_key
    return headers


async def listed_models(base_url: str, api_key: str, timeout_ms: int) -> dict[str, str]:
    """Return the owners of the server's models, by their names; both as the server writes them.

    Raises:
        openai.OpenAIError: it gives no such list.
    """
    async with make_client(base_url, api_key) as client:
        answer: object = await client.get(
            "/models",
            cast_to=object,
            options={
                "headers": headers_of(RequestParameters(), api_key, "models"),
                "timeout": timeout_of(timeout_ms),
            },
        )
    entries = answer if isinstance(answer, list) else list_of(mapping_of(answer).get("data"))
    models = [mapping_of(entry) for entry in entries]
    return {name_of(model.get("id")): text_of(model.get("owned_by")) for model in models if model.get("id")}


def timeout_of(timeout_ms: int) -> openai.Timeout:
    """Return the timeouts of one attempt: a connection comes soon or not at all."""
    timeout_s = timeout_ms / 1000
    return openai.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))


def is_local(model: str, fingerprint: str | None) -> bool:
    """Tell whether the local deterministic model answered."""
    return fingerprint == FINGERPRINT_LOCAL or model.startswith(f"{FINGERPRINT_LOCAL}/")
