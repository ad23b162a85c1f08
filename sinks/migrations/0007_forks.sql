-- Which session a session was forked from, and at which event of it.

ALTER TABLE session_summaries ADD COLUMN IF NOT EXISTS forked_from UUID;
ALTER TABLE session_summaries ADD COLUMN IF NOT EXISTS forked_at UUID;

CREATE INDEX IF NOT EXISTS idx_session_summaries_forks ON session_summaries(forked_from)
    WHERE forked_from IS NOT NULL;
