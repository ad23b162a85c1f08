-- Tracing: from an event, or from what events are about, to every cause, in one recursive query.
--
-- A cause is what an event names as its causation_id or among its evidence_ids. Each event comes once, however
-- many ways lead to it, so that neither cycles nor a dense graph of evidence cost more than their edges. Where
-- two sessions have used one id for a message, the session's own is meant, and another tenant's never is.

-- Where a trace starts. `given` is the id of an event (an answer, say), of what events are about (a task, a
-- call, a plan, a decision, a snapshot: the newest event about it, or the oldest to look forward from), or of a
-- session (its newest answer, or its first input).
CREATE OR REPLACE FUNCTION cartrita_trace_start(given UUID, forward BOOLEAN DEFAULT FALSE)
RETURNS SETOF event_log AS $$
    WITH candidates AS (
        (SELECT 1 AS preference, topic, partition, "offset"
         FROM event_log WHERE event_id = given
         ORDER BY topic = 'user.inputs' LIMIT 1)
        UNION ALL
        (SELECT 2, topic, partition, "offset"
         FROM event_log WHERE subject_id = given
         -- A result and its request may carry the same millisecond.
         ORDER BY extract(epoch FROM occurred_at) * CASE WHEN forward THEN 1 ELSE -1 END,
                  (topic LIKE '%.results') = forward,
                  sequence * CASE WHEN forward THEN 1 ELSE -1 END
         LIMIT 1)
        UNION ALL
        (SELECT 3, topic, partition, "offset"
         FROM event_log
         WHERE session_id = given
           AND CASE WHEN forward THEN topic = 'session.inputs' ELSE type = 'AnswerGiven' END
         ORDER BY CASE WHEN forward THEN "offset" ELSE -sequence END
         LIMIT 1)
    )
    SELECT e.*
    FROM (SELECT * FROM candidates ORDER BY preference LIMIT 1) start
    JOIN event_log e USING (topic, partition, "offset")
$$ LANGUAGE sql STABLE;

-- The start and all its causes, and theirs.
CREATE OR REPLACE FUNCTION cartrita_trace(given UUID, events_max INTEGER DEFAULT 10000)
RETURNS SETOF event_log AS $$
    WITH RECURSIVE ancestry AS (
        SELECT topic, partition, "offset", session_id, tenant_id, evidence_ids || causation_id AS causes
        FROM cartrita_trace_start(given)
        UNION
        SELECT e.topic, e.partition, e."offset", e.session_id, e.tenant_id, e.evidence_ids || e.causation_id
        FROM ancestry a
        CROSS JOIN LATERAL unnest(a.causes) AS cause(id)
        CROSS JOIN LATERAL (
            SELECT *
            FROM event_log l
            WHERE l.event_id = cause.id
              AND (l.tenant_id = a.tenant_id OR l.session_id IS NULL OR a.session_id IS NULL)
            ORDER BY l.session_id IS DISTINCT FROM a.session_id
            LIMIT 1
        ) e
    )
    SELECT e.*
    FROM (SELECT * FROM ancestry LIMIT events_max) a
    JOIN event_log e USING (topic, partition, "offset")
$$ LANGUAGE sql STABLE;

-- The start and all that it led to, as cause or as evidence.
CREATE OR REPLACE FUNCTION cartrita_effects(given UUID, events_max INTEGER DEFAULT 10000)
RETURNS SETOF event_log AS $$
    WITH RECURSIVE posterity AS (
        SELECT topic, partition, "offset", session_id, tenant_id, event_id
        FROM cartrita_trace_start(given, TRUE)
        UNION
        SELECT e.topic, e.partition, e."offset", e.session_id, e.tenant_id, e.event_id
        FROM posterity p
        CROSS JOIN LATERAL (
            SELECT * FROM event_log l WHERE l.causation_id = p.event_id
            UNION ALL
            SELECT * FROM event_log l WHERE l.evidence_ids @> ARRAY[p.event_id] AND l.evidence_ids <> '{}'
        ) e
        WHERE (e.tenant_id = p.tenant_id OR e.session_id IS NULL OR p.session_id IS NULL)
          AND (e.session_id = p.session_id OR e.session_id IS NULL OR p.session_id IS NULL
               OR e.topic = 'session.inputs')
    )
    SELECT e.*
    FROM (SELECT * FROM posterity LIMIT events_max) p
    JOIN event_log e USING (topic, partition, "offset")
$$ LANGUAGE sql STABLE;
