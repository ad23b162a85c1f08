"""A client of a Confluent-compatible schema registry."""

from typing import Final

import httpx

_TIMEOUT_S: Final = 10.0
_JSON: Final = {"Content-Type": "application/vnd.schemaregistry.v1+json"}


class RegistryError(Exception):
    """The registry could not do what was asked."""


class RegistryUnavailable(RegistryError):
    """The registry did not answer; asking later may help."""


class SchemaUnknown(RegistryError):
    """The registry has no schema of that id or subject."""


class SchemaIncompatible(RegistryError):
    """The registry refuses a schema that readers of the earlier ones could not read."""


class SchemaRegistry:
    """One registry; `url` ends where the paths /subjects and /schemas begin."""

    def __init__(self, url: str) -> None:
        """Remember where the registry is; nothing is asked yet."""
        self._url = url.rstrip("/")
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def register(self, subject: str, schema: str) -> int:
        """Register an Avro schema and return its id; registering it again returns the same id.

        Raises:
            SchemaIncompatible: readers of earlier schemas of the subject could not read it.
            RegistryUnavailable: no answer.
        """
        answer = await self._ask("POST", f"/subjects/{subject}/versions", {"schema": schema})
        return _int(answer, "id")

    async def schema_of(self, schema_id: int) -> str:
        """Return the text of a schema.

        Raises:
            SchemaUnknown: there is none of that id.
            RegistryUnavailable: no answer.
        """
        answer = await self._ask("GET", f"/schemas/ids/{schema_id}", None)
        if not isinstance(answer, dict) or not isinstance(answer.get("schema"), str):
            raise RegistryUnavailable(f"the schema registry at {self._url} gave no schema for id {schema_id}")
        return str(answer["schema"])

    async def demand_compatibility(self, subject: str, level: str) -> None:
        """Set a subject's compatibility level, for example BACKWARD_TRANSITIVE."""
        await self._ask("PUT", f"/config/{subject}", {"compatibility": level})

    async def subjects(self) -> tuple[str, ...]:
        """List the subjects, sorted."""
        answer = await self._ask("GET", "/subjects", None)
        return tuple(sorted(str(name) for name in answer)) if isinstance(answer, list) else ()

    async def _ask(self, method: str, path: str, body: dict[str, str] | None) -> object:
        try:
            response = await self._client.request(method, self._url + path, json=body, headers=_JSON)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(
                f"the schema registry at {self._url} does not answer: {type(error).__name__}"
            ) from error
        if response.status_code == httpx.codes.NOT_FOUND:
            raise SchemaUnknown(f"the schema registry at {self._url} has no {path}")
        if response.status_code == httpx.codes.CONFLICT:
            raise SchemaIncompatible(f"{path}: {_message(response)}")
        if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise RegistryUnavailable(f"the schema registry at {self._url} answers {response.status_code}")
        if response.is_error:
            raise RegistryError(f"{path}: {response.status_code} {_message(response)}")
        answer: object = response.json()
        return answer


def _message(response: httpx.Response) -> str:
    try:
        answer = response.json()
    except ValueError:
        return response.text[:500]
    return str(answer.get("message", answer))[:2_000] if isinstance(answer, dict) else str(answer)[:2_000]


def _int(answer: object, key: str) -> int:
    if isinstance(answer, dict) and isinstance(answer.get(key), int):
        return int(answer[key])
    raise RegistryUnavailable(f"the schema registry gave no {key}: {str(answer)[:200]}")
