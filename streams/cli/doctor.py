"""`doctor`: what is wrong on this machine, and what to do about it."""

import asyncio
import platform
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import psycopg
import typer

from connectors.mcp.acceptance import AcceptedServer
from connectors.mcp.server import Program, Server
from connectors.sandbox.doctor import render, run_doctor
from connectors.sandbox.errors import SandboxUnavailable
from connectors.sandbox.sandbox import SandboxConfig
from schemas.wire.registry import SchemaRegistry
from sinks import projected, roles
from sinks.errors import SinkStopped
from sinks.mapping import MappingInvalid, read_mapping
from sinks.migrator import PostgresTooOld, demand_version, pending
from sinks.outcomes import calls_with_several
from streams.cli import output
from streams.cli.command import Code, command
from streams.cli.context import home, settings
from streams.cli.ingest import due_ingests
from streams.cli.output import AsJson
from streams.cli.restraints import read_restraints, told_of_stop, told_of_withheld
from streams.cli.version_one import told_of_v1
from streams.client.client import Client
from streams.configuration.checking import demand_tools
from streams.configuration.loading import ConfigurationInvalid, load_configuration
from streams.configuration.servers import load_accepted, load_servers
from streams.process.settings import Settings, SettingsInvalid
from streams.worker.confinement import program_sandbox
from streams.worker.own_tools import configured_tool_names
from topics.admin import verify
from topics.clients import admin_of

DISK_BYTES_MIN: Final = 2_000_000_000
CHECK_S: Final = 15.0
MODELS_MS: Final = 10_000

Names = Annotated[
    list[str] | None, typer.Option("--model", help="Ask this model alone; may be given more than once.")
]

doctor = typer.Typer(
    help="Check this machine and everything that Cartrita needs; `doctor sandbox` attacks the sandbox, and "
    "`doctor provider` asks the models.",
    invoke_without_command=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""


@doctor.callback(invoke_without_command=True)
@command
async def check_all(context: typer.Context, as_json: AsJson = False) -> None:
    """Run all checks. Exit code 1 when one fails."""
    if context.invoked_subcommand is not None:
        return
    findings = [_python(), _disk(), *await _settings_and_services()]
    if as_json:
        output.emit_json(findings)
    else:
        for finding in findings:
            line = output.styled("[green]ok  [/]" if finding.ok else "[red]FAIL[/]")
            output.show(
                line.append_text(
                    output.styled(" {check:<14} {detail}", check=finding.check, detail=finding.detail)
                )
            )
            if finding.remedy:
                output.say("                    [dim]{remedy}[/]", remedy=finding.remedy)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(Code.FAILED)


def _python() -> Finding:
    fits = sys.version_info >= (3, 11)
    return Finding(
        check="python",
        ok=fits,
        detail=f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        remedy="" if fits else "Cartrita needs Python 3.11 or newer.",
    )


def _disk() -> Finding:
    folder = home() if home().exists() else home().absolute().parent
    free = shutil.disk_usage(folder).free
    fits = free >= DISK_BYTES_MIN
    return Finding(
        check="disk",
        ok=fits,
        detail=f"{free / 1e9:.1f} GB free for {home()}",
        remedy="" if fits else f"Free some: the stack wants {DISK_BYTES_MIN / 1e9:.0f} GB.",
    )


async def _settings_and_services() -> list[Finding]:
    try:
        given = settings()
        configuration = load_configuration((), given.configuration_directory)
        servers = load_servers(given.mcp_servers)
        accepted = load_accepted(given.mcp_servers)
        demand_tools(configuration, configured_tool_names(given), given.configuration_directory)
    except SettingsInvalid as error:
        return [Finding(check="settings", ok=False, detail=fault) for fault in error.faults]
    except ConfigurationInvalid as error:
        where = given.configuration_directory
        remedy = f"The files are in {where}." if where else ""
        faults = str(error).splitlines()
        return [Finding(check="configuration", ok=False, detail=fault, remedy=remedy) for fault in faults]
    findings = [
        Finding(check="settings", ok=True, detail="all settings can be used"),
        Finding(check="configuration", ok=True, detail=f"prices as of {configuration.models.dated}"),
        *await asyncio.to_thread(_servers, given, servers, accepted),
    ]
    checks: dict[str, Callable[[Settings], Awaitable[str]]] = {
        "kafka": _kafka,
        "topics": _topics,
        "registry": _registry,
        "tools": _tools,
        "postgres": _postgres,
        "outcomes": _outcomes,
        "model": _model,
    }
    for name, check in checks.items():
        findings.append(await _checked(name, check, given))
    if next(finding.ok for finding in findings if finding.check == "postgres"):
        findings += [await _version_one(given), await _documents(given)]
    return findings


def _servers(
    given: Settings, servers: Mapping[str, Server], accepted: Mapping[str, AcceptedServer]
) -> list[Finding]:
    """Tell of each MCP server what was accepted, and how it is confined."""
    findings = []
    for name, server in sorted(servers.items()):
        known = accepted.get(name)
        count = f"{len(known.definitions)} tools accepted" if known else "nothing accepted"
        remedy = "" if known else f"`cartrita tools accept {name}` shows what it offers."
        ok = True
        if isinstance(server.way, Program) and not server.way.confined:
            count += "; NOT CONFINED: it may do all that the worker may"
        elif isinstance(server.way, Program):
            try:
                count += f"; confined in tier {program_sandbox(given).tier()}"
            except SandboxUnavailable as error:
                ok, count = False, f"it cannot be confined here: {error}"
                remedy = "`cartrita doctor sandbox` tells more; docs/mcp.md says what can be done."
        findings.append(Finding(check=f"mcp {name}", ok=ok, detail=count, remedy=remedy))
    return findings


class _Wrong(Exception):
    """A check found something that starting services would not mend."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.remedy = remedy


async def _documents(given: Settings) -> Finding:
    due = await due_ingests(given)
    return Finding(
        check="documents",
        ok=True,
        detail="a new ingest is due" if due else "all passages are as this version makes them",
        remedy="; ".join(due),
    )


async def _version_one(given: Settings) -> Finding:
    """Tell how V1's tables are written. What is left alone is no fault: V2 keeps it elsewhere."""
    connected = psycopg.AsyncConnection.connect(given.postgres_dsn, autocommit=True, connect_timeout=10)
    try:
        mapping = read_mapping(given.version_one_tables)
        async with await connected as connection:
            told = await told_of_v1(connection, mapping)
    except MappingInvalid as error:
        return Finding(check="v1 tables", ok=False, detail=str(error))
    except (SinkStopped, psycopg.Error) as error:
        remedy = "`cartrita migrate` puts it right."
        return Finding(check="v1 tables", ok=False, detail=str(error).strip(), remedy=remedy)
    return Finding(
        check="v1 tables",
        ok=True,
        detail="; ".join((told.detail, *told.faults)),
        remedy="; ".join(told.remedies),
    )


async def _checked(name: str, check: Callable[[Settings], Awaitable[str]], given: Settings) -> Finding:
    try:
        return Finding(check=name, ok=True, detail=await asyncio.wait_for(check(given), CHECK_S))
    except TimeoutError:
        reason = f"no answer within {CHECK_S:.0f} s"
    except _Wrong as wrong:
        return Finding(check=name, ok=False, detail=str(wrong), remedy=wrong.remedy)
    except Exception as error:  # whatever is wrong with a service is the finding
        reason = str(error).strip() or type(error).__name__
    return Finding(
        check=name, ok=False, detail=reason, remedy="`cartrita up` starts it here; `cartrita status` tells."
    )


async def _kafka(given: Settings) -> str:
    client = admin_of(given.kafka_bootstrap)
    await client.start()
    try:
        cluster = await client.describe_cluster()
    finally:
        await client.close()
    return f"{len(cluster['brokers'])} broker(s) at {given.kafka_bootstrap}"


async def _topics(given: Settings) -> str:
    report = await verify(
        given.kafka_bootstrap,
        given.topic_prefix,
        given.partitions,
        given.replication,
        given.session_timeout_ms,
    )
    if not report.ok:
        raise LookupError(
            f"{len(report.missing)} missing, {len(report.faults)} break a promise: `cartrita topics verify`"
        )
    tuned = f", {len(report.differences)} settings tuned" if report.differences else ""
    return f"{report.verified} topics as the catalogue has them{tuned}"


async def _tools(given: Settings) -> str:
    """Tell what the log says must not be called. A stop is somebody's will, and no fault."""
    async with Client(given) as client:
        held = await read_restraints(client)
    due = [one for one in held.withheld.values() if one.is_due]
    if due:
        one = due[0]
        more = f"; and of {len(due) - 1} more" if len(due) > 1 else ""
        raise _Wrong(
            f"of the server {one.fact.server} something is withheld {told_of_withheld(one)}{more}",
            f"`cartrita tools show {one.fact.server}` shows it whole; "
            f"`cartrita tools accept {one.fact.server}` accepts it as it stands.",
        )
    stopped = "; ".join(f"{name} {told_of_stop(stop)}" for name, stop in held.stops.items())
    return stopped or "none is stopped or withheld"


async def _registry(given: Settings) -> str:
    registry = SchemaRegistry(given.registry_url)
    try:
        return f"{len(await registry.subjects())} subjects at {given.registry_url}"
    finally:
        await registry.close()


async def _postgres(given: Settings) -> str:
    async with await psycopg.AsyncConnection.connect(given.postgres_dsn, connect_timeout=10) as connection:
        version = connection.info.server_version // 10_000
        try:
            demand_version(connection.info.server_version)
        except PostgresTooOld as error:
            raise _Wrong(str(error), "`cartrita migrate` refuses it as well.") from error
        lacks = await pending(connection)
        if lacks:
            raise _Wrong(f"{len(lacks)} migrations are not applied", "`cartrita migrate` applies them.")
        differs = await projected.difference(connection)
        opened = await roles.unwalled(connection)
    if differs is not None:
        raise _Wrong(differs.detail, differs.remedy)
    if opened:
        raise _Wrong(
            f"the gateway's role may read {', '.join(opened)} of all tenants",
            f"REVOKE that from {roles.GATEWAY} or from PUBLIC, whichever has it (docs/postgres.md).",
        )
    return f"version {version}, all migrations applied"


async def _outcomes(given: Settings) -> str:
    async with await psycopg.AsyncConnection.connect(given.postgres_dsn, connect_timeout=10) as connection:
        found = await calls_with_several(connection)
    wrong = [call for call in found if not call.is_explained]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise _Wrong(
            f"{wrong[0]}{more}",
            "Somebody else writes to model.results or tool.results, or two owners ran one call: look at who "
            "may write there, and at docs/operations.md#sequence-conflict.",
        )
    return f"{len(found)} calls have an outcome that was put aside" if found else "every call has one"


async def _model(given: Settings) -> str:
    # The models' client takes a second to import, which no other command should wait for.
    import openai

    from connectors.models.client import listed_models

    base_url = given.model_url
    try:
        names = await listed_models(base_url, given.model_api_key, MODELS_MS)
    except (openai.NotFoundError, openai.UnprocessableEntityError):
        return f"{base_url} answers, and lists no models; `cartrita doctor provider` asks it more"
    return f"{len(names)} models at {base_url}; `cartrita doctor provider` asks it more"


@doctor.command("provider")
def examine_provider(models: Names = None, as_json: AsJson = False) -> None:
    """Ask the configured provider some small questions, and say what works and which profile fits.

    About ten for each model of models.toml; they cost what such questions cost. Exit code 1 when something
    that Cartrita needs does not work, 3 when no model answers.
    """
    # As above: it asks by the models' client.
    from streams.cli.doctor_provider import run_examination

    run_examination(models, as_json)


@doctor.command("sandbox")
def attack_sandbox(as_json: AsJson = False) -> None:
    """Carry out every attack of the suite in every tier that this machine allows; takes some minutes.

    Exit code 1 when a usable tier let one pass, or when no tier can be used.
    """
    with tempfile.TemporaryDirectory(prefix="cartrita-doctor-") as folder:
        # The runs' users, whom a root process becomes, must be able to enter.
        state = Path(folder)
        state.chmod(0o711)
        report = run_doctor(
            SandboxConfig(state_path=state / "sandbox"),
            on_progress=lambda text: None if as_json else output.note("[dim]{text}[/]", text=text),
        )
    if as_json:
        output.emit_json(report)
    else:
        output.say("{text}", text=render(report))
    if not report.healthy:
        raise typer.Exit(Code.FAILED)
