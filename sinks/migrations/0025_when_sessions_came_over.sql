-- A list says of sessions that came over from V1 when they did.

ALTER TABLE session_summaries ADD COLUMN IF NOT EXISTS imported_at TIMESTAMP WITH TIME ZONE;

WITH came AS (
    SELECT DISTINCT ON (session_id) session_id, recorded_at
    FROM event_log WHERE topic = 'session.imports' AND type = 'ConversationImported'
    ORDER BY session_id, partition, "offset"
)
UPDATE session_summaries s
SET imported_at = came.recorded_at
FROM came
WHERE s.id = came.session_id;
