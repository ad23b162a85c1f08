"""/api/v2: records that were put aside, and their redrives.

Whoever administers a tenant sees what was put aside of it, and asks for redrives; a worker carries them out.
A record that cannot be read is nobody's, and stands under the tenant `default`.
"""

import base64
import json
import time
from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import orjson
from fastapi import Query
from pydantic import Field, JsonValue, StrictBool

from processors.redrives import LETTERS_MAX, RECORDS_PER_S_DEFAULT, RECORDS_PER_S_MAX, checked_redrive
from schemas.envelope import Envelope
from schemas.events.access import Scope
from schemas.events.redrives import LetterGroup, RedriveRequested
from schemas.plain import to_plain
from schemas.wire.codec import UndecodableError
from sinks import letters
from sinks.letters import GroupRow, LetterDetail, LetterRow, Mine, RedriveRow, Which
from streams.gateway.access import Principal
from streams.gateway.acts import post_act
from streams.gateway.bodies import Body, Moment
from streams.gateway.door import PRODUCER, id_of, require
from streams.gateway.front import Front
from streams.gateway.pages import mark_of, moment_in, parts_of, uuid_in
from streams.gateway.problems import Problem
from streams.gateway.sessions_api import Bearer, Doors, IdempotencyKey, Limit, make_router
from topics.catalog import USER_INPUTS

GROUPS_MAX: Final = 200
_KIND_MAX: Final = 2_000

router: Final = make_router()


class LettersOfGroup(Body):
    """Letters that were put aside for the same."""

    code: str
    topic: str
    schema_id: int | None
    reason: str
    letters: int
    redriven: int
    first_at: datetime
    last_at: datetime
    example: UUID
    """The newest of them; by it the whole group is redriven."""


class LetterGroups(Body):
    """Groups, those with most that was not tried again first."""

    groups: list[LettersOfGroup]
    truncated: bool
    """true: there are more groups than are told."""


class Letter(Body):
    """One record that was put aside."""

    id: UUID
    put_aside_at: datetime
    topic: str
    partition: int
    offset: int
    code: str
    reason: str
    shell: str
    session_id: UUID | None
    user_id: str
    redriven_at: datetime | None


class LetterPage(Body):
    """A page of letters, the newest first."""

    letters: list[Letter]
    next: str | None


class LetterHeader(Body):
    """One header of a record."""

    name: str
    base64: str | None


class WholeLetter(Letter):
    """One record that was put aside, with its bytes."""

    key_base64: str | None
    value_base64: str | None
    headers: list[LetterHeader]
    event: dict[str, JsonValue] | None
    """What it says, if it can be read."""
    unreadable: str | None
    """Why it cannot."""
    editable: bool
    """Whether a copy of it may be changed before it is tried again."""


class NewRedrive(Body):
    """Which letters are to be tried again, and how."""

    letters: list[UUID] = Field(default=[], max_length=LETTERS_MAX)
    like: UUID | None = None
    """Instead: this letter and all of its group."""
    put_aside_until: Moment | None = None
    """Letters of later are left alone."""
    records_per_second: int = Field(default=RECORDS_PER_S_DEFAULT, ge=1, le=RECORDS_PER_S_MAX, strict=True)
    dry: StrictBool = False
    """true: nothing is written, and what would pass is told."""
    edit: dict[str, JsonValue] | None = None
    """Merged into what each record says (RFC 7386); of user.inputs alone."""


class AskedRedrive(Body):
    """A redrive that was asked for."""

    redrive_id: UUID


class Kept(Body):
    """Letters that were not tried again, for one reason."""

    reason: str
    letters: int
    example: UUID | None


class Redrive(Body):
    """A redrive, and what became of it up to now."""

    id: UUID
    status: Literal["running", "ended"]
    asked_at: datetime
    ended_at: datetime | None
    operator: str
    dry: bool
    edited: bool
    group: dict[str, JsonValue] | None
    letters: int
    """That it names one by one."""
    redriven: int
    redriven_before: int
    kept: list[Kept]
    kept_count: int
    more: bool


class RedriveList(Body):
    """Redrives, the newest first."""

    redrives: list[Redrive]


@router.get("/dead-letters/groups")
async def list_groups(front: Doors, bearer: Bearer) -> LetterGroups:
    """Group what was put aside by code, topic, schema and reason."""
    mine = _mine(bearer)
    async with front.door.database(bearer) as connection:
        found = await letters.groups(connection, mine, GROUPS_MAX + 1)
    return LetterGroups(
        groups=[_group(front, one) for one in found[:GROUPS_MAX]], truncated=len(found) > GROUPS_MAX
    )


@router.get("/dead-letters")
async def list_letters(
    front: Doors,
    bearer: Bearer,
    *,
    code: Annotated[str | None, Query(max_length=_KIND_MAX)] = None,
    topic: Annotated[str | None, Query(max_length=_KIND_MAX)] = None,
    reason: Annotated[str | None, Query(max_length=_KIND_MAX)] = None,
    schema_id: Annotated[int | None, Query(alias="schemaId", ge=0, lt=2**32)] = None,
    before: str | None = None,
    limit: Limit = 50,
) -> LetterPage:
    """List what was put aside, the newest first; `reason` is a group's, and `schemaId` counts with it."""
    mine = _mine(bearer)
    mark: tuple[datetime, UUID] | None = None
    if before is not None:
        at, letter_id = parts_of(before, 2)
        mark = moment_in(at), uuid_in(letter_id)
    which = Which(
        code=_clean(code),
        topic=None if topic is None else front.prefix + (_clean(topic) or ""),
        reason=_clean(reason),
        schema_id=schema_id,
    )
    async with front.door.database(bearer) as connection:
        page = await letters.letters(connection, mine, which, before=mark, limit=limit)
    last = page[-1] if len(page) == limit else None
    return LetterPage(
        letters=[_letter(front, one) for one in page],
        next=None if last is None else mark_of(last.occurred_at.isoformat(), str(last.event_id)),
    )


@router.get("/dead-letters/{letter_id}")
async def show_letter(letter_id: UUID, front: Doors, bearer: Bearer) -> WholeLetter:
    """Show one record that was put aside, with its bytes and what it says."""
    detail = await _found(front, bearer, letter_id)
    event: dict[str, JsonValue] | None = None
    unreadable = None
    try:
        read = await front.door.client.codec.decode(detail.value, detail.headers)
        event = orjson.loads(orjson.dumps(to_plain(read), default=_base64))
    except UndecodableError as error:
        unreadable = error.reason
    row = _letter(front, detail.letter)
    return WholeLetter(
        **row.model_dump(),
        key_base64=_base64(detail.key),
        value_base64=_base64(detail.value),
        headers=[LetterHeader(name=name, base64=_base64(value)) for name, value in detail.headers],
        event=event,
        unreadable=unreadable,
        editable=event is not None and row.topic == USER_INPUTS.name,
    )


@router.post("/redrives", status_code=202)
async def ask_redrive(
    new: NewRedrive, front: Doors, bearer: Bearer, idempotency_key: IdempotencyKey = None
) -> AskedRedrive:
    """Ask for letters to be tried again; an operator's act, which a worker carries out."""
    _mine(bearer)
    until = new.put_aside_until
    fact = RedriveRequested(
        letters=tuple(map(str, new.letters)),
        group=None if new.like is None else await _group_like(front, bearer, new.like),
        put_aside_until_ms=None if until is None else round(until.timestamp() * 1_000),
        tenant=bearer.tenant,
        user=bearer.user,
        records_per_s_max=new.records_per_second,
        dry=new.dry,
        edit_json=None if new.edit is None else json.dumps(new.edit, ensure_ascii=False),
    )
    event = Envelope(
        event_id=id_of(bearer, "redrives", idempotency_key),
        type=RedriveRequested.__name__,
        tenant_id=bearer.tenant,
        user_id=bearer.operator,
        occurred_at_ms=time.time_ns() // 1_000_000,
        producer=PRODUCER,
        body=fact,
    )
    await post_act(front, event, checked_redrive)
    return AskedRedrive(redrive_id=UUID(event.event_id))


@router.get("/redrives")
async def list_redrives(front: Doors, bearer: Bearer, limit: Limit = 20) -> RedriveList:
    """List redrives, the newest first."""
    mine = _mine(bearer)
    async with front.door.database(bearer) as connection:
        found = await letters.redrives(connection, mine, limit=limit)
    return RedriveList(redrives=[_redrive(one) for one in found])


@router.get("/redrives/{redrive_id}")
async def show_redrive(redrive_id: UUID, front: Doors, bearer: Bearer) -> Redrive:
    """Tell how a redrive stands; one that was asked for just now may not be there yet."""
    mine = _mine(bearer)
    async with front.door.database(bearer) as connection:
        found = await letters.redrives(connection, mine, redrive_id=redrive_id, limit=1)
    if not found:
        raise Problem(404, "there is no such redrive", code="redrive_not_found")
    return _redrive(found[0])


def _mine(bearer: Principal) -> Mine:
    require(bearer, Scope.ADMINISTER)
    return Mine(tenant=bearer.tenant, user=bearer.user)


async def _found(front: Front, bearer: Principal, letter_id: UUID) -> LetterDetail:
    mine = _mine(bearer)
    async with front.door.database(bearer) as connection:
        found = await letters.letter(connection, mine, letter_id)
    if found is None:
        raise Problem(404, "there is no such dead letter", code="letter_not_found")
    return found


async def _group_like(front: Front, bearer: Principal, letter_id: UUID) -> LetterGroup:
    row = (await _found(front, bearer, letter_id)).letter
    return LetterGroup(
        code=row.code,
        topic=row.topic.removeprefix(front.prefix),
        schema_id=row.schema_id,
        reason=row.common,
    )


def _group(front: Front, row: GroupRow) -> LettersOfGroup:
    return LettersOfGroup(
        code=row.code,
        topic=row.topic.removeprefix(front.prefix),
        schema_id=row.schema_id,
        reason=row.reason,
        letters=row.letters,
        redriven=row.redriven,
        first_at=row.first_at,
        last_at=row.last_at,
        example=row.example,
    )


def _letter(front: Front, row: LetterRow) -> Letter:
    return Letter(
        id=row.event_id,
        put_aside_at=row.occurred_at,
        topic=row.topic.removeprefix(front.prefix),
        partition=row.partition,
        offset=row.offset,
        code=row.code,
        reason=row.reason,
        shell=row.shell,
        session_id=row.session_id,
        user_id=row.user_id,
        redriven_at=row.redriven_at,
    )


def _redrive(row: RedriveRow) -> Redrive:
    request = row.request
    named, group = request.get("letters"), request.get("group")
    return Redrive(
        id=row.id,
        status="running" if row.ended_at is None else "ended",
        asked_at=row.asked_at,
        ended_at=row.ended_at,
        operator=row.operator,
        dry=bool(request.get("dry")),
        edited=request.get("edit_json") is not None,
        group=group if isinstance(group, dict) else None,
        letters=len(named) if isinstance(named, list) else 0,
        redriven=row.redriven,
        redriven_before=row.redriven_before,
        kept=[
            Kept(
                reason=one.reason,
                letters=one.letters,
                example=UUID(one.example_id) if one.example_id else None,
            )
            for one in row.kept
        ],
        kept_count=row.kept_count,
        more=row.more,
    )


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _clean(text: str | None) -> str | None:
    return None if text is None else text.replace("\0", "")
