"""Why an event happened, told to whom its session belongs: as `sinks.trace`, within what is theirs."""

from typing import Final
from uuid import UUID

from sinks.connection import Connection
from sinks.conversations import OWNS, owns
from sinks.trace import COLUMNS, Trace, events_of, tree

# An event of a session of the owner's, or of none; the owner of a session is who opened it.
_THEIRS: Final = f"""
    {OWNS} AND (
        l.session_id IS NULL AND (l.tenant_id, l.user_id) = (%(tenant)s, %(user)s)
        OR EXISTS (
            SELECT 1 FROM session_summaries s
            WHERE s.id = l.session_id AND (s.tenant_id, s.user_id) = (%(tenant)s, %(user)s)
        )
    )
"""  # noqa: S608  # texts of ours, here and below
_SESSION: Final = """
    SELECT l.session_id FROM event_log l JOIN session_summaries s ON s.id = l.session_id
    WHERE l.event_id = %s AND s.tenant_id = %s AND (%s::text IS NULL OR s.user_id = %s)
    ORDER BY l.topic = 'user.inputs' LIMIT 1
"""
_START: Final = f"""
    SELECT * FROM event_log l
    WHERE event_id = %(event)s AND session_id = %(session)s AND {_THEIRS}
    ORDER BY topic = 'user.inputs' LIMIT 1
"""  # noqa: S608
_CAUSES: Final = f"""
    WITH RECURSIVE start AS ({_START}), ancestry AS (
        SELECT topic, partition, "offset", session_id, evidence_ids || causation_id AS causes FROM start
        UNION
        SELECT e.topic, e.partition, e."offset", e.session_id, e.evidence_ids || e.causation_id
        FROM ancestry a
        CROSS JOIN LATERAL unnest(a.causes) AS cause(id)
        CROSS JOIN LATERAL (
            SELECT * FROM event_log l WHERE l.event_id = cause.id AND {_THEIRS}
            ORDER BY l.session_id IS DISTINCT FROM a.session_id LIMIT 1
        ) e
    )
    SELECT {COLUMNS} FROM (SELECT topic, partition, "offset" FROM ancestry LIMIT %(limit)s) found
    JOIN event_log USING (topic, partition, "offset")
"""  # noqa: S608
# Only events of a session itself, and of what was forked from it, cite its events. The index of citations
# does not help here: where policies hold, Postgres compares lists only in rows that may be seen already.
_EFFECTS: Final = f"""
    WITH RECURSIVE start AS ({_START}), family AS (
        SELECT %(session)s AS id
        UNION
        SELECT s.id FROM family f JOIN session_summaries s ON s.forked_from = f.id
        WHERE (s.tenant_id, s.user_id) = (%(tenant)s, %(user)s)
    ), citing AS MATERIALIZED (
        SELECT l.topic, l.partition, l."offset", l.event_id, cited.event_id AS cited_id
        FROM family f
        JOIN event_log l ON l.session_id = f.id
        CROSS JOIN LATERAL unnest(l.evidence_ids) AS cited(event_id)
        WHERE {OWNS}
    ), posterity AS (
        SELECT topic, partition, "offset", event_id FROM start
        UNION
        SELECT e.topic, e.partition, e."offset", e.event_id
        FROM posterity p
        CROSS JOIN LATERAL (
            SELECT topic, partition, "offset", event_id FROM event_log l
            WHERE l.causation_id = p.event_id AND {_THEIRS}
            UNION ALL
            SELECT topic, partition, "offset", event_id FROM citing WHERE cited_id = p.event_id
        ) e
    )
    SELECT {COLUMNS} FROM (SELECT topic, partition, "offset" FROM posterity LIMIT %(limit)s) found
    JOIN event_log USING (topic, partition, "offset")
"""  # noqa: S608


async def session_of_event(
    connection: Connection, event_id: UUID, tenant: str, user: str | None
) -> UUID | None:
    """Return the session of an event, among those of a tenant or of one user; None: they have none such."""
    cursor = await connection.execute(_SESSION, [event_id, tenant, user, user])
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def owned_trace(
    connection: Connection,
    session_id: UUID,
    owner: tuple[str, str],
    event_id: UUID,
    *,
    effects: bool,
    events_max: int,
) -> Trace | None:
    """Return why an event of a session happened, or what it led to.

    Args:
        connection: to Postgres.
        session_id: of the session.
        owner: tenant and user to whom it belongs; nothing of others is told.
        event_id: of the event.
        effects: look forward instead.
        events_max: the nearest events are kept, and one more tells that there were more.

    Returns:
        None when the session has no such event that its owner is told of.
    """
    given = owns(owner) | {"event": event_id, "session": session_id, "limit": events_max + 1}
    cursor = await connection.execute(_EFFECTS if effects else _CAUSES, given)
    events = events_of(await cursor.fetchall())
    if not events:
        return None
    return tree(event_id, events, effects=effects, truncated=len(events) > events_max)
