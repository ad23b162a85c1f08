"""Dead letters and their redrives, as the command line and the console show them."""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row, dict_row

from schemas.events.redrives import LettersKept
from sinks.connection import Connection

LOOKED_AT_MAX: Final = 200_000
"""Letters that a look at groups takes in, the newest."""

# The same as `reason_in_common` in processors/redrives.py; a test compares them.
COMMON_REASON: Final = r"""
    left(regexp_replace(regexp_replace(regexp_replace(body ->> 'reason',
        '\m[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\M', '…', 'g'),
        '''[^'']*''|"[^"]*"', '''…''', 'g'),
        '[0-9][0-9,.]*[0-9]|[0-9]', '…', 'g'), 2000)
"""
# The first five bytes of a value, if they are a head of the wire format.
_SCHEMA: Final = r"""
    CASE WHEN body ->> 'value' ~ '^A[A-P][A-Za-z0-9+/]{5}' THEN
        (get_byte(h, 1)::bigint << 24) + (get_byte(h, 2) << 16) + (get_byte(h, 3) << 8) + get_byte(h, 4)
    END
"""
_LETTERS: Final = f"""
    SELECT event_id, occurred_at, body ->> 'topic' AS topic, (body ->> 'partition')::int AS partition,
           (body ->> 'offset')::bigint AS "offset", body ->> 'code' AS code, body ->> 'reason' AS reason,
           body ->> 'shell' AS shell, session_id, tenant_id, user_id, {COMMON_REASON} AS common,
           {_SCHEMA} AS schema_id
    FROM event_log
    CROSS JOIN LATERAL (SELECT decode(left(body ->> 'value', 8), 'base64') AS h) head
    WHERE topic = 'dead.letters' AND type = 'RecordRejected'
      AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
      AND (%(user)s::text IS NULL OR user_id = %(user)s)
"""  # noqa: S608  # texts of our own
# All that were tried again are read once: row-level security lets no index of arrays look for one.
_REDRIVEN: Final = """
    SELECT (body ->> 'letter_id')::uuid AS letter_id, min(occurred_at) AS redriven_at FROM event_log
    WHERE topic = 'redrives' AND type = 'LetterRedriven'
      AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
    GROUP BY 1
"""
_GROUPS: Final = f"""
    WITH letters AS ({_LETTERS} ORDER BY occurred_at DESC LIMIT {LOOKED_AT_MAX})
    SELECT code, topic, schema_id, common AS reason, count(*) AS letters, count(letter_id) AS redriven,
           min(occurred_at) AS first_at, max(occurred_at) AS last_at,
           (array_agg(event_id ORDER BY occurred_at DESC, event_id DESC))[1] AS example
    FROM letters LEFT JOIN ({_REDRIVEN}) redriven ON letter_id = event_id
    GROUP BY code, topic, schema_id, common
    ORDER BY count(*) - count(letter_id) DESC, max(occurred_at) DESC
    LIMIT %(limit)s
"""  # noqa: S608  # as above
_PAGE: Final = f"""
    SELECT l.*, redriven_at FROM (
        SELECT * FROM ({_LETTERS}) every
        WHERE (%(code)s::text IS NULL OR code = %(code)s)
          AND (%(topic)s::text IS NULL OR topic = %(topic)s)
          AND (%(reason)s::text IS NULL
               OR (common = %(reason)s AND schema_id IS NOT DISTINCT FROM %(schema)s))
          AND (%(at)s::timestamptz IS NULL OR (occurred_at, event_id) < (%(at)s, %(id)s::uuid))
        ORDER BY occurred_at DESC, event_id DESC
        LIMIT %(limit)s
    ) l LEFT JOIN ({_REDRIVEN}) redriven ON letter_id = event_id
    ORDER BY occurred_at DESC, event_id DESC
"""  # noqa: S608  # as above
_LETTER: Final = f"""
    SELECT l.*, redriven_at, e.body ->> 'key' AS key, e.body ->> 'value' AS value,
           e.body -> 'headers' AS headers
    FROM ({_LETTERS} AND event_id = %(id)s LIMIT 1) l
    JOIN event_log e ON e.event_id = l.event_id AND e.topic = 'dead.letters' AND e.type = 'RecordRejected'
    LEFT JOIN ({_REDRIVEN}) redriven ON letter_id = l.event_id
    LIMIT 1
"""  # noqa: S608  # as above
_REDRIVES: Final = """
    SELECT r.event_id AS id, r.occurred_at AS asked_at, r.user_id AS operator, r.body, ended.body AS ended,
           ended.occurred_at AS ended_at,
           (SELECT count(*) FROM event_log d WHERE d.causation_id = r.event_id AND d.type = 'LetterRedriven')
               AS done
    FROM event_log r
    LEFT JOIN LATERAL (
        SELECT e.body, e.occurred_at FROM event_log e
        WHERE e.causation_id = r.event_id AND e.type = 'RedriveEnded' LIMIT 1
    ) ended ON true
    WHERE r.topic = 'redrives' AND r.type = 'RedriveRequested'
      AND (%(tenant)s::text IS NULL OR r.body ->> 'tenant' = %(tenant)s)
      AND (%(user)s::text IS NULL OR r.body ->> 'user' = %(user)s)
      AND (%(id)s::uuid IS NULL OR r.event_id = %(id)s)
    ORDER BY r.occurred_at DESC
    LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    """Whose letters somebody may know of."""

    tenant: str | None = None
    """None: of every tenant."""
    user: str | None = None
    """None: of every user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """Letters that were put aside for the same."""

    code: str
    topic: str
    """Full name, with the prefix."""
    schema_id: int | None
    reason: str
    letters: int
    redriven: int
    """How many of them were tried again."""
    first_at: datetime
    last_at: datetime
    example: UUID
    """The newest of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRow:
    """One record that was put aside."""

    event_id: UUID
    occurred_at: datetime
    topic: str
    """Full name, with the prefix."""
    partition: int
    offset: int
    code: str
    reason: str
    shell: str
    session_id: UUID | None
    tenant_id: str
    user_id: str
    common: str
    """The reason without what differs from record to record."""
    schema_id: int | None
    redriven_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterDetail:
    """One record that was put aside, with its bytes."""

    letter: LetterRow
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Of which group letters are wanted; None: of each."""

    code: str | None = None
    topic: str | None = None
    """Full name, with the prefix."""
    reason: str | None = None
    """What reasons have in common; with it `schema_id` counts, too."""
    schema_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveRow:
    """A redrive, and what became of it up to now."""

    id: UUID
    asked_at: datetime
    operator: str
    request: dict[str, object]
    """RedriveRequested, as the log has it."""
    redriven: int
    ended_at: datetime | None
    redriven_before: int
    kept: tuple[LettersKept, ...]
    kept_count: int
    more: bool


async def groups(connection: Connection, mine: Mine, limit: int) -> list[GroupRow]:
    """Group what was put aside, those with most that was not tried again first."""
    async with connection.cursor(row_factory=class_row(GroupRow)) as cursor:
        await cursor.execute(_GROUPS.encode(), {"tenant": mine.tenant, "user": mine.user, "limit": limit})
        return await cursor.fetchall()


async def letters(
    connection: Connection,
    mine: Mine,
    which: Which,
    *,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 100,
) -> list[LetterRow]:
    """List what was put aside, the newest first; `before` is time and id of the last row of a page."""
    at, letter_id = before or (None, None)
    async with connection.cursor(row_factory=class_row(LetterRow)) as cursor:
        await cursor.execute(
            _PAGE.encode(),
            {
                "tenant": mine.tenant,
                "user": mine.user,
                "code": which.code,
                "topic": which.topic,
                "reason": which.reason,
                "schema": which.schema_id,
                "at": at,
                "id": letter_id,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def letter(connection: Connection, mine: Mine, event_id: UUID) -> LetterDetail | None:
    """Return one record that was put aside, by the id of its dead letter."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_LETTER.encode(), {"tenant": mine.tenant, "user": mine.user, "id": event_id})
        row = await cursor.fetchone()
    if row is None:
        return None
    key, value, headers = row.pop("key"), row.pop("value"), row.pop("headers")
    return LetterDetail(
        letter=LetterRow(**row),
        key=_bytes(key),
        value=_bytes(value),
        headers=tuple((header["name"], _bytes(header["value"])) for header in headers),
    )


async def redrives(
    connection: Connection, mine: Mine, *, redrive_id: UUID | None = None, limit: int = 20
) -> list[RedriveRow]:
    """List redrives, the newest first, or one of them."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            _REDRIVES.encode(),
            {"tenant": mine.tenant, "user": mine.user, "id": redrive_id, "limit": limit},
        )
        rows = await cursor.fetchall()
    return [_redrive(row) for row in rows]


def _redrive(row: dict[str, object]) -> RedriveRow:
    ended = row["ended"]
    told = ended if isinstance(ended, dict) else {}
    body = row["body"]
    assert isinstance(body, dict)
    return RedriveRow(
        id=row["id"],  # type: ignore[arg-type]  # psycopg knows the columns' types, mypy does not
        asked_at=row["asked_at"],  # type: ignore[arg-type]  # as above
        operator=str(row["operator"]),
        request=body,
        redriven=int(told.get("redriven", row["done"])),
        ended_at=row["ended_at"],  # type: ignore[arg-type]  # as above
        redriven_before=int(told.get("redriven_before", 0)),
        kept=tuple(LettersKept(**one) for one in told.get("kept", ())),
        kept_count=int(told.get("kept_count", 0)),
        more=bool(told.get("more")),
    )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
