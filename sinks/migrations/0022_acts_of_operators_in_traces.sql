-- What an operator of every tenant did is among the causes of what it led to: such an act stands under no
-- tenant of its own, and belongs to the session that it names.
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
              AND (l.tenant_id = a.tenant_id OR l.session_id IS NULL OR a.session_id IS NULL
                   OR ('*' IN (l.tenant_id, a.tenant_id) AND l.session_id = a.session_id))
            ORDER BY l.session_id IS DISTINCT FROM a.session_id
            LIMIT 1
        ) e
    )
    SELECT e.*
    FROM (SELECT * FROM ancestry LIMIT events_max) a
    JOIN event_log e USING (topic, partition, "offset")
$$ LANGUAGE sql STABLE;

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
        WHERE (e.tenant_id = p.tenant_id OR e.session_id IS NULL OR p.session_id IS NULL
               OR ('*' IN (e.tenant_id, p.tenant_id) AND e.session_id = p.session_id))
          AND (e.session_id = p.session_id OR e.session_id IS NULL OR p.session_id IS NULL
               OR e.topic = 'session.inputs')
    )
    SELECT e.*
    FROM (SELECT * FROM posterity LIMIT events_max) p
    JOIN event_log e USING (topic, partition, "offset")
$$ LANGUAGE sql STABLE;
