"""What a person accepted: kept in a file, and everything else withheld."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.mcp.acceptance import (
    AcceptanceDamaged,
    AcceptedServer,
    differences,
    read_acceptance,
    write_acceptance,
)
from connectors.mcp.definitions import read_listing
from connectors.mcp.servers import Found
from schemas.events.restraints import (
    ServerToolsRestored,
    ServerToolsWithheld,
    ToolPutAside,
    ToolRenamed,
)
from schemas.ports.tool import ToolError
from tests.mcp.worlds import World, accepted, tool


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A server of which two tools were accepted."""
    made = World(tmp_path, tool("effect"), tool("echo"), tool("change"))
    yield made
    await made.servers.close()


async def refused(world: World, name: str) -> str:
    """Return why a call is refused before anything is sent."""
    with pytest.raises(ToolError) as caught:
        await world.call(name)
    assert caught.value.settled
    return str(caught.value)


async def test_a_changed_tool_is_withheld_and_its_neighbours_are_not(world: World) -> None:
    world.tell([tool("effect", description="does effect, and more"), tool("echo"), tool("change")])

    assert "has changed what it says" in await refused(world, "effect")
    assert (await world.call("echo"))["text"]
    assert world.effects() == []


async def test_a_tool_that_is_gone_is_withheld(world: World) -> None:
    world.tell([tool("echo"), tool("change")])

    assert "has it no more" in await refused(world, "effect")


async def test_a_tool_that_became_malformed_is_withheld(world: World) -> None:
    world.tell([tool("effect", inputSchema=None), tool("echo"), tool("change")])

    assert await refused(world, "effect")
    assert (await world.call("echo"))["text"]


async def test_a_renamed_tool_is_withheld_under_both_names(world: World) -> None:
    world.tell([tool("consequence", description="does effect"), tool("echo"), tool("change")])

    assert "renamed it to consequence" in await refused(world, "effect")
    with pytest.raises(KeyError):
        await world.call("consequence")


async def test_a_new_tool_is_no_tool_until_it_is_accepted(world: World) -> None:
    world.tell([tool("effect"), tool("echo"), tool("change"), tool("format_disk")])

    await world.call("echo")

    assert "odd__format_disk" not in world.registry.specs


async def test_a_change_while_it_runs_is_withheld_from_the_next_call_on(world: World) -> None:
    assert (await world.call("effect"))["text"]
    world.tell([tool("effect", annotations={"destructiveHint": True}), tool("echo"), tool("change")])
    await world.call("change")
    # The news and the answer come by one pipe, in this order.
    assert "has changed" in await refused(world, "effect")
    # One call of `effect`, and one of `change`.
    assert len(world.effects()) == 2


async def test_a_tool_that_is_as_it_was_again_may_be_called_again(world: World) -> None:
    world.tell([tool("echo"), tool("change")])
    await refused(world, "effect")
    world.tell([tool("effect"), tool("echo"), tool("change")])

    await world.call("change")

    assert (await world.call("effect"))["text"]


async def test_what_is_withheld_is_told_once_with_what_differs(world: World) -> None:
    told = listened(world)
    world.tell([tool("echo", description="other"), tool("change"), tool("new"), {"name": "odd"}])

    await asyncio.gather(refused(world, "effect"), world.call("change"))

    ((found, withheld),) = told
    assert withheld == 3
    assert isinstance(found, ServerToolsWithheld)
    assert (found.server, found.tenant) == ("odd", "default")
    assert (found.added, found.removed, found.changed) == (("new",), ("effect",), ("echo",))
    assert found.put_aside == (ToolPutAside(tool="odd", reason="its inputSchema is no JSON object"),)
    assert len(found.list_digest) == 64


async def test_a_rename_is_told_as_one(world: World) -> None:
    told = listened(world)
    world.tell([tool("consequence", description="does effect"), tool("echo"), tool("change")])

    await refused(world, "effect")

    ((found, _),) = told
    assert isinstance(found, ServerToolsWithheld)
    assert found.renamed == (ToolRenamed(before="effect", after="consequence"),)
    assert (found.added, found.removed) == ((), ())


async def test_that_all_is_as_it_was_accepted_is_told_too(world: World) -> None:
    told = listened(world)

    await world.call("echo")

    ((found, withheld),) = told
    assert isinstance(found, ServerToolsRestored)
    assert withheld == 0


async def test_a_program_that_is_another_one_is_told_and_not_started(tmp_path: Path) -> None:
    world = World(tmp_path, tool("effect"), program_sha256="0" * 64)
    told = listened(world)

    with pytest.raises(ToolError, match="is not the one that was accepted"):
        await world.call("effect")
    await world.servers.close()

    found, withheld = told[0]
    assert found == ServerToolsWithheld(server="odd", tenant="default", program_changed=True)
    assert withheld == 1


def listened(world: World) -> list[tuple[Found, int]]:
    """Return where all that is told goes."""
    told: list[tuple[Found, int]] = []
    world.servers.tell = lambda *news: told.append(news)
    return told


def test_additions_removals_changes_and_renames_are_told_apart() -> None:
    before = accepted("s", [tool("a"), tool("b"), tool("c"), tool("d")])
    after = read_listing(
        "s", [tool("a"), tool("b", description="other"), tool("c2", description="does c"), tool("e")]
    )

    found = differences(before, after)

    assert (found.added, found.removed, found.changed) == (("e",), ("d",), ("b",))
    assert found.renamed == (("c", "c2"),)
    assert set(found.withheld) == {"b", "c", "d"}
    assert found.told() == "added: e; removed: d; changed: b; renamed: c → c2"


def test_a_declined_tool_is_no_news_until_it_changes() -> None:
    listing = read_listing("s", [tool("a"), tool("b")])
    known = AcceptedServer(
        definitions={"a": listing.definitions["a"]}, declined={"b": listing.definitions["b"].digest}
    )

    assert not differences(known, listing)
    assert differences(known, read_listing("s", [tool("a"), tool("b", description="new")])).changed == ("b",)


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    known = accepted("s", [tool("a", description="with ünicode"), tool("b", annotations={"x": 1})])
    path = tmp_path / "mcp.accepted.json"

    write_acceptance(path, {"s": known})

    assert read_acceptance(path) == {"s": known}


def test_without_a_file_nothing_was_accepted(tmp_path: Path) -> None:
    assert read_acceptance(tmp_path / "none.json") == {}


@pytest.mark.parametrize("damage", ["description", "digest", "format", "text", "list", "inputSchema"])
def test_a_file_that_was_tampered_with_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "mcp.accepted.json"
    write_acceptance(path, {"s": accepted("s", [tool("a")])})
    document = json.loads(path.read_text(encoding="utf-8"))
    entry = document["servers"]["s"]["tools"]["a"]
    match damage:
        case "description":
            entry["definition"]["description"] = "harmless"
        case "inputSchema":
            entry["definition"]["inputSchema"] = {"type": "object", "properties": {"x": {}}}
        case "digest":
            entry["digest"] = "0" * 64
        case "format":
            document["format"] = 99
        case "list":
            document["servers"] = []
        case _:
            pass
    path.write_text("{" if damage == "text" else json.dumps(document), encoding="utf-8")

    with pytest.raises(AcceptanceDamaged, match="accept"):
        read_acceptance(path)
