-- The list of sessions is read newest first, those without a time last; the index of before had another order,
-- and so every page sorted all sessions.

CREATE INDEX IF NOT EXISTS idx_session_summaries_listed
    ON session_summaries(opened_at DESC NULLS LAST, id DESC);
DROP INDEX IF EXISTS idx_session_summaries_opened;
