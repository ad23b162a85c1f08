-- session_summaries knows every status: waiting for a person, ended without a result, and why a session ended;
-- a session that was set aside is found by when that was.

ALTER TABLE session_summaries ADD COLUMN IF NOT EXISTS last_output_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE session_summaries ADD COLUMN IF NOT EXISTS put_aside_at TIMESTAMP WITH TIME ZONE;

WITH told AS (
    SELECT DISTINCT ON (session_id) session_id, occurred_at
    FROM event_log WHERE topic = 'session.outputs'
    ORDER BY session_id, partition DESC, "offset" DESC
), newest AS (
    SELECT DISTINCT ON (session_id) session_id,
        CASE
            WHEN type IN ('TurnStarted', 'ProgressReported') THEN 'running'
            WHEN type = 'ApprovalRequested' THEN 'waiting'
            WHEN type = 'AnswerGiven' AND body ->> 'model' = '' AND body -> 'citations' = '[]' THEN 'unanswered'
            WHEN type = 'AnswerGiven' THEN 'answered'
            WHEN body ->> 'reason' IN ('cancelled', 'closed', 'idle', 'lease_refused') THEN body ->> 'reason'
            ELSE 'closed'
        END AS status
    FROM event_log WHERE topic = 'session.outputs' AND type <> 'ErrorReported'
      AND type IN ('TurnStarted', 'ProgressReported', 'ApprovalRequested', 'AnswerGiven', 'SessionEnded')
    ORDER BY session_id, partition DESC, "offset" DESC
), aside AS (
    SELECT DISTINCT ON (session_id) session_id, occurred_at
    FROM event_log
    WHERE topic = 'dead.letters' AND type = 'RecordRejected' AND body ->> 'code' = 'quarantined'
    ORDER BY session_id, partition DESC, "offset" DESC
)
UPDATE session_summaries s
SET status = COALESCE(newest.status, s.status),
    last_output_at = told.occurred_at,
    put_aside_at = aside.occurred_at
FROM told
FULL JOIN newest USING (session_id)
FULL JOIN aside USING (session_id)
WHERE s.id = session_id;
