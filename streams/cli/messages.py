"""`send`, `cancel`, `settle`, `close`: what people and scripts tell a session."""

import asyncio
import math
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Final

import typer

from connectors.retrieval.naming import citable
from connectors.text.decoding import NotText, decoded
from processors import amounts
from processors.inputs import AMOUNT_MAX
from processors.objections import EVERY_TENANT
from schemas.configuration import Limits
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected, RejectionCode
from schemas.events.deltas import ModelDeltaReceived
from schemas.events.inputs import (
    Attachment,
    InputFact,
    MessageReceived,
    OutcomeTold,
    SessionCancelled,
    SessionClosed,
)
from schemas.events.outputs import (
    AnswerGiven,
    ApprovalRequested,
    ErrorReported,
    NoticeGiven,
    OutcomeAsked,
    ProgressReported,
    SessionEnded,
    TurnStarted,
)
from schemas.ids import is_uuid
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.output import AsJson
from streams.client.client import Client
from streams.client.conversation import Told, ask
from topics.catalog import OPERATOR_INPUTS, USER_INPUTS, Topic

TEXT_BYTES_MAX: Final = Limits().text_bytes_max
PRODUCER: Final = "cartrita-cli"
PUT_ASIDE_HINT: Final = (
    "Begin another session to go on now. Whoever runs Cartrita finds the cause with "
    "`cartrita dead-letters list --code quarantined`, and once it is mended redrives "
    "what was put aside, oldest first."
)
# What is longer is too long in every encoding; a device never ends.
_READ_BYTES_MAX: Final = 4 * (TEXT_BYTES_MAX + 1)

Session = Annotated[str | None, typer.Option("--session", "-s", help="UUID of a session; new if not given.")]
SessionArgument = Annotated[str, typer.Argument(help="UUID of the session.")]
User = Annotated[str, typer.Option(help="On whose behalf.")]
Tenant = Annotated[str, typer.Option(help="For which tenant.")]


@command
async def send(
    text: Annotated[str, typer.Argument(help="What to ask; - reads standard input.")],
    file: Annotated[
        list[Path] | None, typer.Option("--file", "-f", help="A text file to attach; may be repeated.")
    ] = None,
    session: Session = None,
    budget_tokens: Annotated[
        int | None,
        typer.Option(min=1, max=AMOUNT_MAX, help="Tokens that the new session may use in all."),
    ] = None,
    budget_dollars: Annotated[
        float | None, typer.Option(min=0.000000001, help="Money that the new session may use in all.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for the answer and show the way to it.")
    ] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds to wait with --follow.")
    ] = 600,
    user: User = "anonymous",
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Send a message to a session. Exit code 1: no complete answer; 5: none in time.

    Examples: cartrita send --follow "What does the ingress shell do?"
    cartrita send -f report.txt "Summarise the attachment" --budget-tokens 20000 --follow
    """
    message = envelope_of(
        MessageReceived(
            text=_standard_input() if text == "-" else text,
            attachments=tuple(_attachment(path) for path in file or ()),
            budget_tokens=budget_tokens,
            budget_nanodollars=nanodollars_of(budget_dollars),
        ),
        session,
        user,
        tenant,
    )
    _demand_size(message)
    async with Client(settings()) as client:
        await post_or_follow(client, message, follow=follow, timeout_s=timeout_s, as_json=as_json)


@command
async def cancel(
    session: SessionArgument,
    reason: Annotated[str | None, typer.Option(help="Why, for the record.")] = None,
    user: User = "anonymous",
    tenant: Tenant = "default",
) -> None:
    """Stop a session of the user: its tasks and calls in flight are aborted, and it takes no more input."""
    await _post(envelope_of(SessionCancelled(reason=reason), session, user, tenant))


@command
async def close(session: SessionArgument, user: User = "anonymous", tenant: Tenant = "default") -> None:
    """End a session of the user once the messages that it has taken are answered."""
    await _post(envelope_of(SessionClosed(), session, user, tenant))


@command
async def settle(
    session: SessionArgument,
    call: Annotated[str, typer.Argument(help="Id of the tool call, as the question names it.")],
    carried_out: Annotated[bool, typer.Option("--carried-out/--not-carried-out", help="What became of it.")],
    result: Annotated[str | None, typer.Option(help="What it gave, as far as you know.")] = None,
    reason: Annotated[str | None, typer.Option(help="How you know, for the record and the agent.")] = None,
    user: Annotated[str, typer.Option(help="Which operator tells it, for the record.")] = "operator",
    tenant: Annotated[
        str, typer.Option(help="Only in a session of this tenant; by default in whosever it is.")
    ] = EVERY_TENANT,
) -> None:
    """Tell whether a tool call was carried out of which nobody knows; an operator's act.

    The agent that asked for it goes on with what you tell. Until then, and for an hour at most, it waits.

    Example: cartrita settle SESSION CALL --carried-out --reason "the mail is in the outbox"
    """
    told = OutcomeTold(call_id=call, carried_out=carried_out, result=result, reason=reason)
    await _post(envelope_of(told, session, user, tenant), OPERATOR_INPUTS)


def envelope_of(body: InputFact, session: str | None, user: str, tenant: str) -> Envelope:
    """Return an input as the command line sends it; to a new session where none is named."""
    if session is not None and not is_uuid(session):
        fail(Code.USAGE, f"{session!r} is not the id of a session: a UUID in lower case with hyphens")
    return Envelope(
        event_id=str(uuid.uuid4()),
        session_id=session or str(uuid.uuid4()),
        user_id=user,
        tenant_id=tenant,
        producer=PRODUCER,
        body=body,
    )


def nanodollars_of(dollars: float | None, *, least: int = 1) -> int | None:
    """Return a budget as events have it: at least `least` nanodollars, or None for the configured one."""
    if dollars is None:
        return None
    if not math.isfinite(dollars) or dollars * amounts.NANODOLLARS > AMOUNT_MAX:
        fail(
            Code.USAGE,
            f"{dollars} dollars are no budget",
            f"The most is {AMOUNT_MAX // amounts.NANODOLLARS:,} dollars.",
        )
    return amounts.nanodollars_of(dollars, least=least)


async def post_or_follow(
    client: Client, message: Envelope, *, follow: bool, timeout_s: float, as_json: bool
) -> None:
    """Post an input that begins a turn, and with `follow` show the way to its answer and end by its kind."""
    if not follow:
        await client.post(message)
        _tell_sent(message, as_json=as_json)
        return
    if not as_json:
        output.note("[dim]session {session}[/]", session=message.session_id)
    settled = None
    try:
        async with asyncio.timeout(timeout_s):
            settled = await show(ask(client, message), as_json=as_json)
    except TimeoutError:
        fail(
            Code.TIMED_OUT,
            f"no answer within {timeout_s:.0f} s; the session goes on",
            f"Look later with: cartrita sessions {message.session_id}",
        )
    if not (isinstance(settled, AnswerGiven) and settled.complete):
        raise typer.Exit(Code.FAILED)


async def show(told: AsyncGenerator[Told, None], *, as_json: bool, until: type | None = None) -> object:
    """Show what a session tells of an input, up to a fact of the class `until`; returns the last."""
    settled: object = None
    async with aclosing(told) as updates:
        async for update in updates:
            settled = update.fact
            if as_json:
                output.emit_json(output.event_json(update.event))
            else:
                show_fact(update.fact)
            if until is not None and isinstance(update.fact, until):
                break
    return settled


def show_fact(fact: object) -> None:
    """Show one thing that a session told."""
    match fact:
        case TurnStarted():
            output.note("[dim]taken up[/]")
        case ProgressReported():
            done = f"{fact.tasks_done}/{fact.tasks_total}"
            output.note(
                "[dim]{stage:>10} {done:>5}[/]  {detail}", stage=fact.stage, done=done, detail=fact.detail
            )
        case ModelDeltaReceived():
            return  # whole answers are easier to read than their pieces among the progress
        case ApprovalRequested():
            output.say(
                "[bold yellow]waits for approval[/] of {tool} {arguments}: {reason}",
                tool=fact.tool,
                arguments=fact.arguments_json,
                reason=fact.reason,
            )
            output.say("  cartrita approvals approve {approval}", approval=fact.approval_id)
        case OutcomeAsked():
            output.say(
                "[bold yellow]was it carried out?[/] {tool} {arguments}: {message}",
                tool=fact.tool,
                arguments=fact.arguments_json,
                message=fact.message,
            )
            output.say("  cartrita settle SESSION {call} --carried-out|--not-carried-out", call=fact.call_id)
        case AnswerGiven():
            show_answer(fact)
        case NoticeGiven():
            output.note("[yellow]{message}[/]", message=fact.message)
        case ErrorReported():
            output.error(f"{fact.code}: {fact.message}")
        case RecordRejected(code=RejectionCode.QUARANTINED):
            output.error(
                f"the session is put aside, and nothing of it is lost: {fact.reason}", PUT_ASIDE_HINT
            )
        case RecordRejected():
            output.error(f"the message was put aside: {fact.code}: {fact.reason}")
        case SessionEnded():
            output.error(f"the session has ended: {fact.reason}")
        case _:
            raise AssertionError(f"nothing shows {type(fact).__name__}")


def show_answer(fact: AnswerGiven) -> None:
    """Show an answer with what it rests on and what it cost."""
    title = "answer" if fact.complete else f"incomplete answer ({fact.reason})"
    head = output.styled("\n[bold]{title}[/]", title=title)
    if fact.local:
        head.append_text(output.styled(" [black on yellow] local deterministic model [/]"))
    output.show(head)
    output.say("{text}", text=fact.text)
    for citation in fact.citations:
        output.say("[dim]\\[{number}] {intent}[/]", number=citation.number, intent=citation.intent)
    output.say(
        "[dim]{tokens:,} tokens, {cost}[/]\n", tokens=fact.tokens, cost=output.money(fact.cost_nanodollars)
    )


async def _post(message: Envelope, topic: Topic = USER_INPUTS) -> None:
    async with Client(settings()) as client:
        await client.post(message, topic)
    output.say("sent to session {session}", session=message.session_id)


def _standard_input() -> str:
    if sys.stdin is None:
        fail(Code.USAGE, "standard input is closed")
    return _text(sys.stdin.buffer.read(_READ_BYTES_MAX), "standard input")


def _attachment(path: Path) -> Attachment:
    try:
        with path.open("rb") as file:
            data = file.read(_READ_BYTES_MAX)
    except OSError as error:
        fail(Code.USAGE, f"{path} cannot be read: {error.strerror}")
    return Attachment(name=citable(path.name), text=_text(data, str(path)))


def _text(data: bytes, what: str) -> str:
    try:
        read = decoded(data)
    except NotText as error:
        fail(Code.USAGE, f"{what} is not text: {error}")
    if read.note:
        output.note("[dim]{what}: {note}[/]", what=what, note=read.note)
    return read.text


def _demand_size(message: Envelope) -> None:
    body = message.body
    assert isinstance(body, MessageReceived)
    if not body.text.strip():
        fail(Code.USAGE, "the message is empty")
    size = len(body.text.encode()) + sum(len(attached.text.encode()) for attached in body.attachments)
    if size > TEXT_BYTES_MAX:
        fail(
            Code.USAGE,
            f"text and attachments have {size:,} bytes; at most {TEXT_BYTES_MAX:,} fit a message",
            "Ingest long documents with `cartrita ingest FOLDER` and ask about them.",
        )


def _tell_sent(message: Envelope, *, as_json: bool) -> None:
    if as_json:
        output.emit_json({"session_id": message.session_id, "input_id": message.event_id})
    else:
        output.say(
            "sent: session {session}, message {message}",
            session=message.session_id,
            message=message.event_id,
        )
