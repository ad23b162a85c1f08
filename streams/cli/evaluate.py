"""`eval`: a suite of tasks, each sent some times, and how often the answers had what they must have."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from processors.evaluation import Attempt, Share, Summary, faults, summary
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import MessageReceived
from schemas.events.outputs import AnswerGiven, ErrorReported, SessionEnded
from schemas.events.tasks import TaskCreated
from schemas.events.tools import ToolCallRequested
from schemas.frozen import replace
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.messages import Tenant, envelope_of, nanodollars_of
from streams.cli.output import AsJson
from streams.client.client import Client
from streams.client.conversation import ask
from streams.configuration.suites import Suite, SuiteTask, load_suite
from topics.catalog import TASK_EVENTS, TOOL_CALLS

_CLOCKS_DIFFER_MS: Final = 600_000
"""The broker's clock and ours may differ by so much; a session's id is new, so that nothing else is found."""


class Planning(StrEnum):
    """Who decides how a task is done."""

    AS_WRITTEN = "as-written"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An attempt at a task, and what was wrong with it."""

    task: str
    attempt: Attempt
    faults: list[str]


@command
async def evaluate(
    file: Annotated[
        Path | None, typer.Argument(metavar="SUITE", help="A suite in TOML; else the shipped one.")
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be repeated.")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=1_000, help="How often each task is tried.")] = 1,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="How many are under way at once.")] = 2,
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="Seconds for each attempt.")] = 600,
    planning: Annotated[
        Planning,
        typer.Option(
            "--plan", help="always: a plan, whatever agent a task names; never: only tasks that name one."
        ),
    ] = Planning.AS_WRITTEN,
    dollars: Annotated[
        float | None,
        typer.Option(min=0.000000001, help="Begin nothing more once so much is spent on answers."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="What --json printed for an earlier run, to compare with.")
    ] = None,
    user: Annotated[str, typer.Option(help="On whose behalf.")] = "eval",
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Try the tasks of a suite, and tell how many answers had what they must have, at what cost, how fast.

    Each attempt is a session of its own, which any other command shows. Exit code 1: an attempt was not good.

    Examples: cartrita eval; cartrita eval mine.toml --repeats 5 --json > before.json
    cartrita eval mine.toml --repeats 5 --against before.json
    """
    suite = load_suite(file)
    tasks = _chosen(suite, task or [], planning)
    before = None if against is None else _earlier(against)
    bound = nanodollars_of(dollars)
    async with Client(settings()) as client:
        runs = _Runs(client, user=user, tenant=tenant, timeout_s=timeout_s, bound=bound, quiet=as_json)
        tried = await runs.all([one for _ in range(repeats) for one in tasks], at_once)
    by_task: dict[str, list[Tried]] = defaultdict(list)
    for one in tried:
        by_task[one.task].append(one)
    if as_json:
        output.emit_json(_plain(suite, by_task))
    else:
        output.show(_table(by_task, before))
        _tell_faults(tried)
    skipped = len(tasks) * repeats - len(tried)
    if skipped:
        output.note("[yellow]{count} were not begun: the money is spent[/]", count=f"{skipped:,}")
    if skipped or any(one.faults for one in tried):
        raise typer.Exit(Code.FAILED)


def _chosen(suite: Suite, names: list[str], planning: Planning) -> list[SuiteTask]:
    known = {one.name for one in suite.tasks}
    for name in names:
        if name not in known:
            fail(Code.NOT_FOUND, f"there is no task {name}; there are {', '.join(sorted(known))}")
    tasks = [one for one in suite.tasks if not names or one.name in names]
    if planning is Planning.NEVER:
        tasks = [one for one in tasks if one.agent is not None]
        if not tasks:
            fail(Code.USAGE, "no task names an agent, so that each needs a plan")
    return [replace(one, agent=None) for one in tasks] if planning is Planning.ALWAYS else tasks


class _Runs:
    """Attempts, some at once, until the money is spent."""

    def __init__(
        self,
        client: Client,
        *,
        user: str,
        tenant: str,
        timeout_s: float,
        bound: int | None,
        quiet: bool,
    ) -> None:
        self._client = client
        self._user = user
        self._tenant = tenant
        self._timeout_s = timeout_s
        self._bound = bound
        self._quiet = quiet
        self._spent = 0

    async def all(self, tasks: list[SuiteTask], at_once: int) -> list[Tried]:
        """Try each, in their order as far as some at once can have one."""
        slots = asyncio.Semaphore(at_once)
        tried: list[Tried | None] = [None] * len(tasks)

        async def run(place: int) -> None:
            async with slots:
                if self._bound is None or self._spent < self._bound:
                    tried[place] = await self._try(tasks[place])

        async with asyncio.TaskGroup() as group:
            for place in range(len(tasks)):
                group.create_task(run(place))
        return [one for one in tried if one is not None]

    async def _try(self, task: SuiteTask) -> Tried:
        attempt = await self._attempt(task)
        self._spent += attempt.nanodollars
        found = faults(attempt, task.checks)
        if not self._quiet:
            output.note(
                "[red]✗[/] {task}  [dim]{session}[/]" if found else "[green]✓[/] {task}",
                task=task.name,
                session=attempt.session_id,
            )
        return Tried(task=task.name, attempt=attempt, faults=found)

    async def _attempt(self, task: SuiteTask) -> Attempt:
        message = envelope_of(
            MessageReceived(
                text=task.text,
                attachments=task.attachments,
                agent=task.agent,
                budget_tokens=task.budget_tokens,
                budget_nanodollars=task.budget_nanodollars,
            ),
            None,
            self._user,
            self._tenant,
        )
        began_s = time.monotonic()
        settled: object = None
        try:
            async with asyncio.timeout(self._timeout_s), aclosing(ask(self._client, message)) as updates:
                async for told in updates:
                    settled = told.fact
        except TimeoutError:
            failure = f"no answer within {self._timeout_s:.0f} s"
            return Attempt(session_id=message.session_id, failure=failure)
        if not isinstance(settled, AnswerGiven):
            return Attempt(session_id=message.session_id, failure=_failure(settled))
        since_ms = time.time_ns() // 1_000_000 - round(self._timeout_s * 1_000) - _CLOCKS_DIFFER_MS
        tools, agents = await self._done(message.session_id, since_ms)
        return Attempt(
            session_id=message.session_id,
            text=settled.text,
            complete=settled.complete,
            tools=tools,
            agents=agents,
            citations=len(settled.citations),
            tokens=settled.tokens,
            nanodollars=settled.cost_nanodollars,
            latency_ms=round(1_000 * (time.monotonic() - began_s)),
        )

    async def _done(self, session: str, since_ms: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the tools that a session called, and the agents that had a task, each once, in order."""
        tools, agents = dict[str, None](), dict[str, None]()
        for topic in (TOOL_CALLS, TASK_EVENTS):
            async with aclosing(self._client.read_since(topic, session.encode(), since_ms)) as records:
                async for received in records:
                    match received.event and received.event.body:
                        case ToolCallRequested(tool=tool):
                            tools[tool] = None
                        case TaskCreated(agent=agent):
                            agents[agent] = None
                        case _:
                            pass
        return tuple(tools), tuple(agents)


def _failure(settled: object) -> str:
    match settled:
        case ErrorReported():
            return f"{settled.code}: {settled.message}"
        case RecordRejected():
            return f"put aside: {settled.code}: {settled.reason}"
        case SessionEnded():
            return f"the session has ended: {settled.reason}"
        case _:
            raise AssertionError(f"nobody asks for {settled!r}")


def _plain(suite: Suite, by_task: Mapping[str, list[Tried]]) -> dict[str, object]:
    return {
        "suite": suite.name,
        "tasks": [
            {
                "task": name,
                "passed": told.passed.good,
                "attempts": told.passed.of,
                "interval": told.passed.interval,
                "tokens_median": told.tokens_median,
                "nanodollars": told.nanodollars,
                "latency_ms_median": told.latency_ms_median,
                "latency_ms_max": told.latency_ms_max,
                "runs": [
                    {
                        "session": one.attempt.session_id,
                        "faults": one.faults,
                        "tokens": one.attempt.tokens,
                        "nanodollars": one.attempt.nanodollars,
                        "latency_ms": one.attempt.latency_ms,
                        "tools": one.attempt.tools,
                        "agents": one.attempt.agents,
                    }
                    for one in tried
                ],
            }
            for name, tried in by_task.items()
            for told in [_summed(tried)]
        ],
    }


def _summed(tried: list[Tried]) -> Summary:
    return summary((one.attempt, not one.faults) for one in tried)


def _earlier(path: Path) -> dict[str, Share]:
    try:
        read: Any = json.loads(path.read_text(encoding="utf-8"))  # (Any: whatever the file holds)
        shares = {
            str(one["task"]): Share(good=int(one["passed"]), of=int(one["attempts"])) for one in read["tasks"]
        }
    except (ValueError, TypeError, KeyError):
        shares = {}
    if not shares or any(not 0 <= share.good <= share.of for share in shares.values()):
        fail(Code.USAGE, f"{path} is not what `cartrita eval --json` prints")
    return shares


def _table(by_task: Mapping[str, list[Tried]], before: Mapping[str, Share] | None) -> Table:
    summed = {name: _summed(tried) for name, tried in by_task.items()}
    whole = _summed([one for tried in by_task.values() for one in tried])
    table = Table("task", box=None, header_style="dim", show_footer=True, footer_style="bold")
    table.columns[0].footer = "all"
    for name, footer in (
        ("good", f"{whole.passed.good}/{whole.passed.of}"),
        ("95 %", _interval(whole.passed)),
        *((("before", ""),) if before is not None else ()),
        ("tokens", ""),
        ("cost", output.money(whole.nanodollars)),
        ("median", ""),
        ("slowest", _seconds(whole.latency_ms_max)),
    ):
        table.add_column(name, footer=footer, justify="right")
    for name, told in summed.items():
        table.add_row(
            name,
            f"{told.passed.good}/{told.passed.of}",
            _interval(told.passed),
            *([_before(told.passed, before.get(name))] if before is not None else []),
            f"{told.tokens_median:,}",
            output.money(told.nanodollars),
            _seconds(told.latency_ms_median),
            _seconds(told.latency_ms_max),
        )
    return table


def _interval(share: Share) -> str:
    low, high = share.interval
    return f"{low:.0%} to {high:.0%}"


def _before(now: Share, before: Share | None) -> str:
    if before is None:
        return "new"
    told = f"{before.good}/{before.of}"
    if not now.differs_from(before):
        return told
    return f"{told} {'better' if now.share > before.share else 'worse'}"


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1_000:.1f} s"


def _tell_faults(tried: list[Tried]) -> None:
    for one in tried:
        for fault in one.faults:
            output.say(
                "[red]✗[/] {task}: {fault}  [dim]cartrita sessions {session}[/]",
                task=one.task,
                fault=fault,
                session=one.attempt.session_id,
            )
