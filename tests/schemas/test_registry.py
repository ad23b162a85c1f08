"""The registry's client: answers become results, and failures say whose they are."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from schemas.wire.registry import (
    RegistryError,
    RegistryUnavailable,
    SchemaIncompatible,
    SchemaRegistry,
    SchemaUnknown,
)


@pytest.fixture
async def registry() -> AsyncIterator[SchemaRegistry]:
    """A client of a server that answers by the subject's name."""

    async def register(request: web.Request) -> web.Response:
        match request.match_info["subject"]:
            case "good":
                return web.json_response({"id": 7})
            case "conflict":
                return web.json_response({"message": "READER_FIELD_MISSING_DEFAULT_VALUE"}, status=409)
            case "down":
                return web.Response(status=503)
            case "odd":
                return web.json_response({"no": "id"})
            case _:
                return web.Response(status=422, text="not a schema")

    async def schema(request: web.Request) -> web.Response:
        if request.match_info["id"] == "1":
            return web.json_response({"schema": '"string"'})
        return web.json_response({"error_code": 40403}, status=404)

    app = web.Application()
    app.router.add_post("/subjects/{subject}/versions", register)
    app.router.add_get("/schemas/ids/{id}", schema)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    client = SchemaRegistry(f"http://127.0.0.1:{port}/")
    yield client
    await client.close()
    await runner.cleanup()


async def test_registering_returns_the_id(registry: SchemaRegistry) -> None:
    assert await registry.register("good", '"string"') == 7


async def test_an_incompatible_schema_is_told_with_the_registrys_reason(registry: SchemaRegistry) -> None:
    with pytest.raises(SchemaIncompatible, match="READER_FIELD_MISSING_DEFAULT_VALUE"):
        await registry.register("conflict", '"string"')


@pytest.mark.parametrize("subject", ["down", "odd"])
async def test_a_registry_that_fails_or_talks_nonsense_is_unavailable(
    registry: SchemaRegistry, subject: str
) -> None:
    with pytest.raises(RegistryUnavailable):
        await registry.register(subject, '"string"')


async def test_a_refusal_is_an_error_with_the_text(registry: SchemaRegistry) -> None:
    with pytest.raises(RegistryError, match="not a schema"):
        await registry.register("bad", "{")


async def test_an_unknown_id_is_unknown_and_not_a_failure(registry: SchemaRegistry) -> None:
    assert await registry.schema_of(1) == '"string"'
    with pytest.raises(SchemaUnknown):
        await registry.schema_of(2)


async def test_a_registry_that_is_away_is_unavailable() -> None:
    client = SchemaRegistry("http://127.0.0.1:1")

    with pytest.raises(RegistryUnavailable, match="does not answer"):
        await client.schema_of(1)

    await client.close()
