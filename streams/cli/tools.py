"""`tools`: which tools agents may be given, what foreign servers say of theirs, and what a person accepts."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from connectors.mcp.acceptance import AcceptedServer, Differences, differences, write_acceptance
from connectors.mcp.definitions import Definition, Listing
from connectors.mcp.server import Server
from processors.provenance import acts_outside
from processors.redaction.redactor import Redactor
from schemas.events.restraints import EVERY_TOOL
from schemas.ports.tool import ToolContext, ToolError
from streams.cli import output, restraints
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.output import AsJson
from streams.configuration.checking import TOOLS
from streams.configuration.servers import acceptance_path, load_accepted, load_servers
from streams.process.settings import Settings, variable_of
from streams.worker.own_tools import OwnTools, load_own_tools

DIGEST_CHARACTERS: Final = 16
"""Of a list's digest, as it is shown and given."""
_PARAMETERS_CHARACTERS_MAX: Final = 4_000
_YES_NO: Final = {True: "yes", False: "no"}

tools = typer.Typer(
    help="The tools of agents: list, stop and try them; look at foreign servers, accept what they offer.",
    no_args_is_help=True,
)
ServerName = Annotated[str, typer.Argument(metavar="SERVER", help="A server of the file of MCP servers.")]


tools.command("stop")(restraints.stop)
tools.command("start")(restraints.start)


@tools.command("list")
@command
async def list_tools(as_json: AsJson = False) -> None:
    """List all tools that agents may be given, and what must not be called of them now.

    Ours, one's own, and those accepted of servers; and by the log which are stopped or withheld.
    """
    given = settings()
    servers, accepted = load_servers(given.mcp_servers), load_accepted(given.mcp_servers)
    own = load_own_tools(given)
    held = await restraints.restraints_now(given)
    rows = [*_rows(servers, accepted, own)]
    for row in rows:
        stop = None if held is None else held.stop_of(row["tool"])
        row["stopped"] = "" if stop is None else restraints.told_of_stop(stop)
    waiting = sorted(name for name in servers if not accepted.get(name, _NOTHING).definitions)
    if as_json:
        known = None if held is None else {"stops": held.stops, "withheld": list(held.withheld.values())}
        output.emit_json(
            {"tools": rows, "servers_not_accepted": waiting, "absent": own.absent, "restraints": known}
        )
        return
    columns = ("tool", "source", "safety_level", "trust", "outside", "version", "tenants", "stopped")
    table = Table(*(name.replace("_", " ") for name in columns), box=None, header_style="dim")
    for row in rows:
        table.add_row(*(row.get(key, "") for key in columns))
    output.show(table)
    for name, reason in own.absent.items():
        output.say("[red]{name}[/]: it cannot be used: {reason}", name=name, reason=reason)
    for name in waiting:
        output.say(
            "[yellow]{name}[/]: nothing of it was accepted yet; `cartrita tools accept {name}`", name=name
        )
    if held is None:
        output.note("[dim]what is stopped or withheld is not known: Kafka or the registry is away[/]")
        return
    for stop in held.stops.values():
        what = "every tool" if stop.name == EVERY_TOOL else stop.name
        output.say("[red]{name}[/]: {told}", name=what, told=restraints.told_of_stop(stop))
    for one in held.withheld.values():
        told = restraints.told_of_withheld(one)
        output.say("[yellow]{name}[/]: withheld {told}", name=one.fact.server, told=told)


def _rows(
    servers: Mapping[str, Server], accepted: Mapping[str, AcceptedServer], own: OwnTools
) -> Iterator[dict[str, str]]:
    for name in TOOLS:
        yield {"tool": name, "source": "cartrita"}
    for tool in own.tools:
        yield {
            "tool": tool.spec.name,
            "source": "own",
            "safety_level": tool.spec.safety_level,
            "trust": tool.spec.trust,
            "outside": _YES_NO[acts_outside(tool.spec)],
            "version": tool.spec.version,
        }
    for name, server in sorted(servers.items()):
        for given, one in sorted(accepted.get(name, _NOTHING).definitions.items()):
            terms = server.terms_of(given)
            yield {
                "tool": one.name,
                "source": f"mcp {name}",
                "safety_level": terms.safety_level,
                "trust": terms.trust,
                "outside": _YES_NO[terms.acts_outside is not False],
                "version": one.digest[:12],
                "tenants": ", ".join(server.tenants),
            }


@tools.command("show")
@command
async def show(name: ServerName, as_json: AsJson = False) -> None:
    """Ask a server for its tools, and show all that it says of them and what differs from what was accepted.

    Exit code 1 when something differs.
    """
    given = settings()
    server = _server(given, name)
    listing, accepted, _ = await _look(given, server)
    found = differences(accepted, listing)
    if as_json:
        output.emit_json(_plain(listing, found))
    else:
        _show(listing, server, found)
    if found:
        raise typer.Exit(Code.FAILED)


@tools.command("accept")
@command
async def accept(
    name: ServerName,
    only: Annotated[
        list[str] | None, typer.Argument(metavar="[TOOL]...", help="Accept these alone; by default all.")
    ] = None,
    digest: Annotated[
        str, typer.Option(help="Accept without a question, if the list is the one with this digest.")
    ] = "",
) -> None:
    """Show a server's whole list of tools, and note that a person accepts it as it stands.

    What is not accepted is noted, too, and is no news later. Workers take it over at their next start.
    """
    given = settings()
    server = _server(given, name)
    listing, _, seen = await _look(given, server)
    chosen = set(only or listing.definitions)
    unknown = sorted(chosen - listing.definitions.keys())
    if unknown:
        fail(Code.NOT_FOUND, f"the server {name} has no tool {', '.join(unknown)} that can be used")
    known = load_accepted(given.mcp_servers)
    shown = listing.digest[:DIGEST_CHARACTERS]
    if digest:
        if digest != shown:
            fail(Code.FAILED, f"the list has the digest {shown}, not {digest}: look at it anew")
    else:
        _show(listing, server, differences(known.get(name, _NOTHING), listing))
        count = f"{len(chosen)} of {len(listing.definitions)}"
        if not await asyncio.to_thread(typer.confirm, f"Accept {count} tools of {name} as they stand?"):
            fail(Code.FAILED, "nothing was accepted")
    definitions = {tool: one for tool, one in listing.definitions.items() if tool in chosen}
    declined = {tool: one.digest for tool, one in listing.definitions.items() if tool not in chosen}
    known[name] = AcceptedServer(
        definitions=definitions,
        declined=declined,
        program_sha256=seen.program_sha256,
        version=seen.version,
    )
    path = acceptance_path(_path(given))
    write_acceptance(path, known)
    output.say("accepted {count} tools of {name} in {path}", count=len(definitions), name=name, path=path)
    output.note("[dim]name them in the tools of an agent, and start the workers anew[/]")


@tools.command("try")
@command
async def try_tool(
    tool: Annotated[str, typer.Argument(help="Such as notes__search or search_documents.")],
    arguments: Annotated[str, typer.Argument(help="Its arguments, as JSON.")] = "{}",
    tenant: Annotated[str, typer.Option(help="For which tenant.")] = "default",
) -> None:
    """Call a tool once from here, with its checks and its time, and print what it gives. No agent, no log.

    Exit code 1 when it fails, or an operator has stopped it.
    """
    # What tools are made of takes a while to load, which no other command should wait for.
    from connectors.tools.registry import ToolRegistry
    from streams.worker.servers import mcp_servers

    given = settings()
    held = await restraints.restraints_now(given)
    stop = None if held is None else held.stop_of(tool)
    if stop is not None:
        fail(Code.FAILED, f"{tool}: {restraints.told_of_stop(stop)}", "`cartrita tools start` takes it back.")
    servers = mcp_servers(given, Redactor())
    registry = ToolRegistry(servers.tools())
    providers = None
    if tool not in registry.specs:
        # And what our own are made of.
        from streams.worker.providers import make_providers

        providers = await make_providers(given)
        registry = providers.tools
        await providers.open(tools=False)
    if tool not in registry.specs:
        fail(Code.NOT_FOUND, f"there is no tool {tool}", "`cartrita tools list` names them.")
    context = ToolContext(
        session_id="",
        tenant_id=tenant,
        user_id="cartrita-cli",
        call_id="try",
        idempotency_key="try",
        tokens_max=registry.specs[tool].tokens_max,
        nanodollars_max=registry.specs[tool].tokens_max * registry.specs[tool].nanodollars_per_token,
    )
    try:
        result = await registry.invoke(tool, arguments, context, registry.specs[tool].timeout_ms)
    except ToolError as error:
        fail(Code.FAILED, f"{error.kind}: {error}")
    finally:
        await servers.close()
        if providers is not None:
            await providers.close()
    output.emit_json(result.result)


class _Seen:
    """What a look tells beside the list."""

    def __init__(self, program_sha256: str | None, version: str) -> None:
        self.program_sha256, self.version = program_sha256, version


async def _look(given: Settings, server: Server) -> tuple[Listing, AcceptedServer, _Seen]:
    # As above: the protocol's SDK.
    from connectors.mcp.look import look
    from connectors.mcp.stdio import ServerBroken
    from streams.worker.servers import mcp_ways

    try:
        seen = await look(server, mcp_ways(given, Redactor()).open)
    except ServerBroken as error:
        fail(Code.AWAY, f"the server {server.name}: {error}")
    accepted = load_accepted(given.mcp_servers).get(server.name, _NOTHING)
    return seen.listing, accepted, _Seen(seen.program_sha256, seen.version)


def _path(given: Settings) -> Path:
    if given.mcp_servers is None:
        variable = variable_of(Settings.__dataclass_fields__["mcp_servers"])
        fail(Code.USAGE, f"there is no file of MCP servers: set {variable}", "docs/mcp.md shows one.")
    return given.mcp_servers


def _server(given: Settings, name: str) -> Server:
    servers = load_servers(_path(given))
    if name not in servers:
        fail(Code.NOT_FOUND, f"{_path(given)} names no server {name}; there are {', '.join(sorted(servers))}")
    return servers[name]


def _show(listing: Listing, server: Server, found: Differences) -> None:
    marks = {
        **dict.fromkeys(found.added, "new"),
        **dict.fromkeys(found.changed, "changed"),
        **{new: "renamed" for _, new in found.renamed},
    }
    for tool, one in sorted(listing.definitions.items()):
        terms = server.terms_of(tool)
        mark = marks.get(tool, "accepted")
        output.say("[bold]{name}[/] [yellow]{mark}[/]", name=one.name, mark=mark)
        output.say("  {text}", text=_indented(one.description))
        output.say("  parameters {text}", text=one.parameters_json[:_PARAMETERS_CHARACTERS_MAX])
        claims = one.raw.get("annotations")
        if claims:
            output.say("  it claims {text}; nothing follows from that", text=json.dumps(claims))
        repeated = "may be repeated" if terms.idempotent else "is never repeated by itself"
        output.say(
            "  {level}, {repeated}, {outside} outside, trusted as a {trust}",
            level=terms.safety_level,
            repeated=repeated,
            outside="does not act" if terms.acts_outside is False else "acts",
            trust=terms.trust,
        )
    for put_aside in listing.unusable:
        output.say("[red]put aside[/] {tool}: {reason}", tool=put_aside.tool, reason=put_aside.reason)
    for tool in found.removed:
        output.say("[red]gone[/] {tool}", tool=tool)
    for old, new in found.renamed:
        output.say("[red]renamed[/] {old} → {new}", old=old, new=new)
    output.say(
        "{count} tools; digest of the list: {digest}",
        count=len(listing.definitions),
        digest=listing.digest[:DIGEST_CHARACTERS],
    )


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _plain(listing: Listing, found: Differences) -> Mapping[str, object]:
    return {
        "digest": listing.digest[:DIGEST_CHARACTERS],
        "tools": [_tool(one) for _, one in sorted(listing.definitions.items())],
        "unusable": listing.unusable,
        "added": found.added,
        "removed": found.removed,
        "changed": found.changed,
        "renamed": found.renamed,
    }


def _tool(one: Definition) -> Mapping[str, object]:
    return {"name": one.name, "digest": one.digest, "definition": one.raw}


_NOTHING: Final = AcceptedServer(definitions={}, declined={})
