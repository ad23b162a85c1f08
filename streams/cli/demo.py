"""`demo`: the main job on real input, shown step by step."""

import asyncio
import json
import shutil
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import psycopg
import typer
from rich.panel import Panel

from processors.budgets import DOWNSHIFT_RULE
from schemas.envelope import Envelope
from schemas.events.inputs import Attachment, MessageReceived
from schemas.events.outputs import AnswerGiven, ProgressReported
from sinks import queries
from sinks.trace import trace
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import deployment, environment
from streams.cli.context import settings as given_settings
from streams.cli.deployment import TerminalProgress, bring_up, demand_startable
from streams.cli.door import address_of, curl_line, local_token, tell_door, token_path
from streams.cli.ingest import run_ingest, tell
from streams.cli.messages import PRODUCER, show_fact
from streams.cli.sessions import show_session
from streams.cli.trace import trace_tree
from streams.client.client import Client
from streams.client.conversation import Told, ask
from streams.process.settings import Settings
from streams.worker.deployment import Deployment, DeploymentError

ANSWER_S: Final = 180.0
SINK_S: Final = 60.0
WORKER: Final = "worker-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One request of the demo, and what has to come of it."""

    title: str
    text: str
    attachment: Path | None = None
    budget_tokens: int | None = None
    complete: bool = True
    """Whether the answer has to be complete."""
    downshifts: bool = False
    """Whether a cheaper model has to take over at some time."""
    kill_worker: bool = False


def scenes(docs: Path) -> tuple[Scene, ...]:
    """Return the requests in their order."""
    text = docs / "texts" / "declaration-of-independence.txt"
    return (
        Scene(
            title="A question about the documentation that was just ingested",
            text="How does a shell with state make sure that no input is lost or applied twice?",
        ),
        Scene(
            title="The analysis of a text of some length (public domain)",
            text="Summarise the attachment, and list its main topics.",
            attachment=text,
        ),
        Scene(
            title="A request that must be split into dependent tasks",
            text=(
                "1. Find out what the budget rules say about reservations. "
                "2. Find out which topics exist and what they carry. "
                "3. Then write a short introduction for a new operator based on both. "
                "4. Finally review the introduction for gaps."
            ),
        ),
        Scene(
            title="A request with a budget that is too small for it",
            text=(
                "Find out how dead letters work. Find out how migrations work. "
                "Find out how the sandbox works. "
                "Find out how the embedded stack starts. Then write an overview of all four."
            ),
            budget_tokens=9_000,
            complete=False,
            downshifts=True,
        ),
        Scene(
            title="A computation, in the sandbox, and a document that is not there",
            text="Calculate 17 * 23 + 4 with code. Summarise the document attachment:missing.txt.",
        ),
        Scene(
            title="A request in the middle of which the worker is killed (kill -9) and started again",
            text=(
                "Find out how retries work. Find out how policy decisions are recorded. "
                "Then write a summary of both."
            ),
            kill_worker=True,
        ),
    )


@command
async def demo(
    docs: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="The documentation to ingest and ask about.")
    ] = Path("docs"),
    stop: Annotated[bool, typer.Option("--stop", help="Stop everything at the end.")] = False,
) -> None:
    """Show the main job: ingest, plan, tasks, tools, budgets, a killed worker, answers, trace, front door.

    All of it goes on running at the end, so that you can go on by hand; `cartrita down` stops it.

    Needs no keys: without OPENAI_API_KEY or OPENAI_BASE_URL a local deterministic model answers, and every
    output of it is labelled. Exit code 1 when some scene did not end as it has to.
    """
    here = deployment()
    demand_startable(here)
    shown = False
    try:
        await bring_up(here, 1, TerminalProgress())
        settings = given_settings()
        output.show(Panel.fit(output.styled("[bold]Ingesting this repository's documentation[/]")))
        tell(await run_ingest(settings, docs, "default", None, quiet=False))
        failures = await _play(here, settings, scenes(docs))
        failures += await _knock(here)
        shown = True
    except DeploymentError as error:
        fail(Code.AWAY, str(error))
    finally:
        if stop or not shown:
            await asyncio.to_thread(here.stop, TerminalProgress())
    if failures:
        fail(Code.FAILED, "these scenes did not end as they have to: " + "; ".join(failures))
    output.say("[green]all scenes ended as they have to[/]")
    if not stop:
        output.say("Everything goes on running, for you to try; [bold]cartrita down[/] stops it.")
        await tell_door(here)


async def _play(here: Deployment, settings: Settings, played: tuple[Scene, ...]) -> list[str]:
    failures: list[str] = []
    last: Told | None = None
    async with (
        Client(settings) as client,
        await psycopg.AsyncConnection.connect(settings.postgres_dsn, autocommit=True) as connection,
    ):
        for number, scene in enumerate(played, start=1):
            title = output.styled(
                "[bold]{number}. {title}[/]\n{text}", number=number, title=scene.title, text=scene.text
            )
            output.show(Panel.fit(title))
            try:
                async with asyncio.timeout(ANSWER_S):
                    told = await _ask(here, client, scene)
            except TimeoutError:
                failures.append(f"{scene.title}: no answer within {ANSWER_S:.0f} s")
                continue
            fact = told.fact
            if not isinstance(fact, AnswerGiven) or fact.complete != scene.complete:
                failures.append(f"{scene.title}: {type(fact).__name__}")
            last = told
            shown = await _show_plan(connection, told)
            if scene.downshifts and not any(one.rule == DOWNSHIFT_RULE for one in shown.decisions):
                failures.append(f"{scene.title}: no cheaper model took over")
        if last is not None:
            output.show(Panel.fit(output.styled("[bold]Why this answer? Its causes, from one SQL query[/]")))
            found = await trace(connection, UUID(last.event.event_id))
            if found is not None:
                output.show(trace_tree(found.root))
    return failures


async def _knock(here: Deployment) -> list[str]:
    """Ask by the front door, with the very line that is printed at the end."""
    await local_token(Settings.from_environment({**environment(), **here.settings()}), token_path())
    line = curl_line(address_of(here.settings()), token_path())
    output.show(
        Panel.fit(
            output.styled("[bold]The same by HTTP, as any client made for OpenAI asks[/]\n{line}", line=line)
        )
    )
    if shutil.which("curl") is None:
        output.note("[yellow]note[/] this machine has no curl, so that the line is not tried")
        return []
    asking = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(ANSWER_S):
            told, _ = await asking.communicate()
    except TimeoutError:
        asking.kill()
        await asking.wait()
        return [f"no answer by HTTP within {ANSWER_S:.0f} s"]
    try:
        answer = json.loads(told)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return ["no answer by HTTP"]
    output.say("{text}", text=answer)
    return []


async def _ask(here: Deployment, client: Client, scene: Scene) -> Told:
    attachments: tuple[Attachment, ...] = ()
    if scene.attachment is not None:
        text = scene.attachment.read_text(encoding="utf-8")
        attachments = (Attachment(name=scene.attachment.name, text=text),)
    body = MessageReceived(text=scene.text, attachments=attachments, budget_tokens=scene.budget_tokens)
    message = Envelope(event_id=str(uuid.uuid4()), session_id=str(uuid.uuid4()), producer=PRODUCER, body=body)
    output.note("[dim]session {session}[/]", session=message.session_id)
    last: Told | None = None
    kill = _killer(here) if scene.kill_worker else None
    async with aclosing(ask(client, message)) as updates:
        async for told in updates:
            show_fact(told.fact)
            last = told
            if kill is not None and isinstance(told.fact, ProgressReported):
                await kill()
                kill = None
    assert last is not None
    return last


def _killer(here: Deployment) -> Callable[[], Awaitable[None]]:
    async def kill() -> None:
        output.say("[bold red]kill -9 of the worker[/], in the middle of the work …")
        await asyncio.to_thread(here.stop_part, WORKER, hard=True)
        await asyncio.to_thread(here.start_part, WORKER, "worker")
        output.say("… and a new one is started; it goes on where the log stands")

    return kill


async def _show_plan(
    connection: psycopg.AsyncConnection[tuple[object, ...]], told: Told
) -> queries.SessionDetail:
    """Show the plan as soon as the sink has the answer, and return what was shown."""
    async with asyncio.timeout(SINK_S):
        while True:
            cursor = await connection.execute(
                "SELECT 1 FROM event_log WHERE event_id = %s", [told.event.event_id]
            )
            if await cursor.fetchone() is not None:
                break
            await asyncio.sleep(0.1)
    detail = await queries.session_detail(connection, UUID(told.event.session_id))
    assert detail is not None
    show_session(detail)
    return detail
