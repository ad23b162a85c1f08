"""`approvals`: tool calls that wait for a person, and what an approver decides about them."""

import asyncio
import time
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from processors.approvals.binding import arguments_of, asked_bound, binding_digest
from processors.inputs import InputInvalid
from processors.objections import EVERY_TENANT
from schemas.canonical import NotCanonical
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import SignedFact
from schemas.events.outputs import ApprovalClosed, ApprovalRequested, ErrorReported
from schemas.plain import to_plain
from sinks import approvals as requests
from sinks.approvals import Request
from streams.cli import output
from streams.cli.command import Code, command, fail, given_uuid, plain_command
from streams.cli.context import database, settings
from streams.cli.messages import envelope_of
from streams.cli.output import AsJson
from streams.client.client import Client
from streams.configuration.approvers import (
    ApproverKey,
    approver_table,
    load_key,
    make_key,
    signed_decision,
    signed_edit,
)
from topics.catalog import DEAD_LETTERS, OPERATOR_INPUTS, SESSION_OUTPUTS

WORD_S: Final = 60.0
"""How long the session may take to say whether a decision counts."""

approvals = typer.Typer(
    help="Tool calls that wait for a person: list, show, approve, edit, deny, watch.", no_args_is_help=True
)
ApprovalId = Annotated[str, typer.Argument(metavar="APPROVAL", help="UUID of the request.")]
Why = Annotated[str | None, typer.Option("--reason", help="Why, for the record.")]
Digest = Annotated[
    str,
    typer.Option(help="Decide without a question, if the request is the one with this digest."),
]
Tenant = Annotated[str, typer.Option(help="For which tenant you act; by default for every one.")]


@approvals.command("list")
@command
async def list_requests(
    tenant: Annotated[str | None, typer.Option(help="Only sessions of this tenant.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List what waits for a person, the oldest first."""
    async with database() as connection:
        found = await requests.open_requests(connection, tenant=tenant, user=None, limit=limit)
    if as_json:
        output.emit_json([_plain(one) for one in found])
        return
    table = Table("approval", "tool", "arguments", "for", "waits until", box=None, header_style="dim")
    for one in found:
        asked = one.asked
        table.add_row(
            asked.approval_id,
            asked.tool,
            asked.arguments_json[:80],
            f"{one.tenant_id}/{one.user_id}",
            _until(asked),
        )
    output.show(table)


@approvals.command("show")
@command
async def show(approval: ApprovalId, as_json: AsJson = False) -> None:
    """Show one request: exactly what would run, for whom, and why a person is asked."""
    request = await _found(approval)
    if as_json:
        output.emit_json(_plain(request))
        return
    _show(request)


@approvals.command("approve")
@command
async def approve(
    approval: ApprovalId, reason: Why = None, digest: Digest = "", tenant: Tenant = EVERY_TENANT
) -> None:
    """Approve one call, once, as it is shown. Exit code 1: it does not count; 5: no word in time.

    A standing permission is a rule of the policy, which no approval makes.
    """
    await _decide(approval, approved=True, reason=reason, digest=digest, tenant=tenant)


@approvals.command("deny")
@command
async def deny(
    approval: ApprovalId, reason: Why = None, digest: Digest = "", tenant: Tenant = EVERY_TENANT
) -> None:
    """Refuse one call; the agent is told why. Exit code 1: it does not count; 5: no word in time."""
    await _decide(approval, approved=False, reason=reason, digest=digest, tenant=tenant)


@approvals.command("edit")
@command
async def edit(
    approval: ApprovalId,
    arguments: Annotated[str | None, typer.Option(help="A JSON object.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with the arguments.")] = None,
    reason: Why = None,
    digest: Digest = "",
    tenant: Tenant = EVERY_TENANT,
) -> None:
    """Write other arguments for a call: it is decided and asked for anew, and nothing runs before that.

    Exit code 1: the edit does not count; 5: no word in time.
    """
    if (arguments is None) == (file is None):
        fail(Code.USAGE, "name either --arguments or --file")
    text = arguments if arguments is not None else _text_of(file)
    try:
        arguments_of(text)
    except NotCanonical as error:
        fail(Code.USAGE, f"the arguments cannot be asked for: {error}")
    request, key = await _to_decide(approval, digest, "Ask anew with other arguments?")
    fact = signed_edit(
        key, request.asked, arguments_json=text, approver=key.name, tenant=tenant, reason=reason
    )
    await _send(request, fact, key, tenant)


@approvals.command("watch")
@command
async def watch(
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell of requests as they come, and of what becomes of them. Ctrl-C ends it."""
    told = 0
    async with Client(settings()) as client, aclosing(client.read([SESSION_OUTPUTS])) as records:
        async for received in records:
            event = received.event
            if event is None or not isinstance(event.body, ApprovalRequested | ApprovalClosed):
                continue
            _tell(event, as_json=as_json)
            told += 1
            if limit is not None and told >= limit:
                return


@approvals.command("key")
@plain_command
def key(
    path: Annotated[Path, typer.Argument(help="New file for the key; its owner alone may read it.")],
    name: Annotated[str, typer.Option(help="Whose key it is, as decisions name them.")],
    tenant: Annotated[
        list[str] | None, typer.Option(help="In whose sessions it counts; by default in all.")
    ] = None,
) -> None:
    """Make a key, and print what the file of approvers has to say for it to count."""
    made = make_key(path, name)
    output.note(
        "[dim]the key is in {path}; put this into the file that CARTRITA_APPROVERS names:[/]", path=path
    )
    output.say("{text}", text=approver_table(made, tuple(tenant or [EVERY_TENANT])))


async def _decide(approval: str, *, approved: bool, reason: str | None, digest: str, tenant: str) -> None:
    request, key = await _to_decide(approval, digest, "Approve this, once?" if approved else "Refuse this?")
    fact = signed_decision(
        key, request.asked, approved=approved, approver=key.name, tenant=tenant, reason=reason
    )
    await _send(request, fact, key, tenant)


async def _to_decide(approval: str, digest: str, question: str) -> tuple[Request, ApproverKey]:
    """Return an open request that the approver has seen, and the key to sign with."""
    path = settings().approver_key
    if path is None:
        fail(
            Code.USAGE,
            "there is no key to sign with: set CARTRITA_APPROVER_KEY",
            "`cartrita approvals key` makes one; `cartrita up` makes one for this machine.",
        )
    signing = load_key(path)
    request = await _found(approval)
    if request.ended is not None:
        fail(Code.FAILED, f"the request was {request.ended} before")
    asked = request.asked
    try:
        bound = asked_bound(request.session_id, request.tenant_id, request.user_id, asked)
        made_anew = binding_digest(bound)
    except NotCanonical as error:
        fail(Code.FAILED, f"the request cannot be decided: {error}")
    if made_anew != asked.digest:
        fail(Code.FAILED, "the request's digest is not that of what it shows: it is not to be trusted")
    if digest:
        if digest != asked.digest:
            fail(Code.FAILED, f"the request has the digest {asked.digest}, not {digest}: look at it anew")
    else:
        _show(request)
        if not await asyncio.to_thread(typer.confirm, question):
            fail(Code.FAILED, "nothing was decided")
    return request, signing


async def _send(request: Request, fact: SignedFact, key: ApproverKey, tenant: str) -> None:
    """Send what was decided, and tell what the session says of it."""
    message = envelope_of(fact, request.session_id, key.name, tenant)
    try:
        async with asyncio.timeout(WORD_S), Client(settings()) as client:
            word = await _word(client, message)
    except InputInvalid as error:
        fail(Code.USAGE, str(error))
    except TimeoutError:
        fail(
            Code.TIMED_OUT,
            f"no word from the session within {WORD_S:.0f} s; it counts as soon as it is read",
            f"Look later with: cartrita approvals show {request.asked.approval_id}",
        )
    match word:
        case ApprovalClosed():
            output.say("{end}", end=word.end)
        case ErrorReported():
            fail(Code.FAILED, word.message)
        case RecordRejected():
            fail(Code.FAILED, word.reason)


async def _word(client: Client, message: Envelope) -> ApprovalClosed | ErrorReported | RecordRejected:
    async with client.listening((SESSION_OUTPUTS, DEAD_LETTERS)) as records:
        place = await client.post(message, OPERATOR_INPUTS)
        async for received in records:
            event = received.event
            if event is None:
                continue
            fact = event.body
            if isinstance(fact, ApprovalClosed | ErrorReported) and event.causation_id == message.event_id:
                return fact
            if isinstance(fact, RecordRejected) and (
                event.causation_id == message.event_id
                or (fact.topic.endswith(OPERATOR_INPUTS.name) and (fact.partition, fact.offset) == place)
            ):
                return fact
    raise AssertionError("records are read without end")


async def _found(approval: str) -> Request:
    approval_id = str(given_uuid(approval))
    async with database() as connection:
        request = await requests.request_of(connection, approval_id)
    if request is None:
        fail(Code.NOT_FOUND, f"there is no request {approval}", "`cartrita approvals list` names them.")
    return request


def _show(request: Request) -> None:
    asked = request.asked
    output.say("{text}", text=asked.shown)
    if asked.approvers:
        output.say("[dim]who may decide: {names}[/]", names=", ".join(asked.approvers))
    if asked.scope:
        output.say("[dim]an approver has to be good for {scope}[/]", scope=asked.scope)
    if asked.four_eyes:
        output.say("[dim]four eyes: neither the user nor who wrote the arguments may approve[/]")
    output.say("[dim]digest {digest}[/]", digest=asked.digest)
    if request.ended is None:
        output.say("[dim]waits until {at}[/]", at=_until(asked))
    else:
        output.say(
            "{ended} {by}", ended=request.ended, by=f"by {request.approver}" if request.approver else ""
        )


def _tell(event: Envelope, *, as_json: bool) -> None:
    fact = event.body
    assert isinstance(fact, ApprovalRequested | ApprovalClosed)
    if as_json:
        output.emit_json(output.event_json(event))
    elif isinstance(fact, ApprovalRequested):
        output.say("[bold yellow]waits[/] {approval}", approval=fact.approval_id)
        output.say("{text}", text=fact.shown)
    else:
        output.say(
            "[bold]{end}[/] {approval} {by} {reason}",
            end=fact.end,
            approval=fact.approval_id,
            by=f"by {fact.approver}" if fact.approver else "",
            reason=fact.reason,
        )


def _plain(request: Request) -> dict[str, object]:
    return {
        "session_id": request.session_id,
        "tenant_id": request.tenant_id,
        "user_id": request.user_id,
        "asked_at": request.asked_at,
        "ended": request.ended,
        "approver": request.approver,
        **to_plain(request.asked),
    }


def _until(asked: ApprovalRequested) -> str:
    expired = " (over)" if asked.expires_at_ms <= time.time() * 1_000 else ""
    return f"{output.time(asked.expires_at_ms)}{expired}"


def _text_of(path: Path | None) -> str:
    assert path is not None
    return path.read_text(encoding="utf-8")
