-- The event log: every event of every topic of the truth, as it stands on Kafka.
--
-- A record's place is its key. An event is logged once for its topic and session, however often it was
-- published: within one partition the first record wins, which a replay repeats. The id alone is not enough:
-- people choose the ids of their messages, so two sessions may use the same one.
--
-- Not partitioned by time: uniqueness of an id cannot be declared across partitions, and a trace, which looks
-- events up by id alone, would have to ask every one of them.

CREATE TABLE IF NOT EXISTS event_log (
    event_id UUID NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    session_id UUID,
    type TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    causation_id UUID,
    correlation_id UUID,
    evidence_ids UUID[] NOT NULL,
    subject_id UUID,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    producer TEXT NOT NULL,
    versions JSONB NOT NULL,
    traceparent TEXT,
    source TEXT,
    state_digest TEXT,
    body JSONB NOT NULL,

    PRIMARY KEY (topic, partition, "offset"),
    CONSTRAINT event_log_once UNIQUE NULLS NOT DISTINCT (event_id, topic, session_id)
);

CREATE INDEX IF NOT EXISTS idx_event_log_session ON event_log(session_id, sequence);
CREATE INDEX IF NOT EXISTS idx_event_log_type ON event_log(type, occurred_at);
CREATE INDEX IF NOT EXISTS idx_event_log_causation ON event_log(causation_id) WHERE causation_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_event_log_correlation
    ON event_log(correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_event_log_subject ON event_log(subject_id) WHERE subject_id IS NOT NULL;
-- Without a list of pending entries: searches of a busy log would have to read it each time.
CREATE INDEX IF NOT EXISTS idx_event_log_evidence
    ON event_log USING gin (evidence_ids) WITH (fastupdate = off) WHERE evidence_ids <> '{}';

CREATE OR REPLACE FUNCTION cartrita_refuse_change() RETURNS TRIGGER AS $$
BEGIN
    IF current_setting('cartrita.rebuild', true) = 'on' THEN
        IF TG_LEVEL = 'STATEMENT' THEN
            RETURN NULL;
        END IF;
        RETURN COALESCE(NEW, OLD);
    END IF;
    RAISE EXCEPTION 'event_log is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Only a rebuild may change it, with SET LOCAL cartrita.rebuild = ''on''.';
END;
$$ LANGUAGE plpgsql;

DROP TRIGGER IF EXISTS event_log_append_only ON event_log;
CREATE TRIGGER event_log_append_only BEFORE UPDATE OR DELETE ON event_log
    FOR EACH ROW EXECUTE FUNCTION cartrita_refuse_change();
DROP TRIGGER IF EXISTS event_log_no_truncate ON event_log;
CREATE TRIGGER event_log_no_truncate BEFORE TRUNCATE ON event_log
    FOR EACH STATEMENT EXECUTE FUNCTION cartrita_refuse_change();

-- How far each sink has come; moved in the transaction that writes the rows, and only from where it stood.
CREATE TABLE IF NOT EXISTS sink_offsets (
    sink TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    topic_id UUID NOT NULL,
    next_offset BIGINT NOT NULL CHECK (next_offset >= 0),
    PRIMARY KEY (sink, topic, partition)
);

-- What a list of sessions shows.
CREATE TABLE IF NOT EXISTS session_summaries (
    id UUID PRIMARY KEY REFERENCES sessions(id) ON DELETE CASCADE,
    tenant_id TEXT,
    user_id TEXT,
    title TEXT,
    opened_at TIMESTAMP WITH TIME ZONE,
    last_input_at TIMESTAMP WITH TIME ZONE,
    messages BIGINT NOT NULL DEFAULT 0,
    budget_tokens BIGINT,
    budget_nanodollars BIGINT,
    tokens_used BIGINT NOT NULL DEFAULT 0,
    nanodollars_used BIGINT NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'open',
    turns BIGINT NOT NULL DEFAULT 0,
    last_answer_id UUID,
    last_answer TEXT,
    last_answer_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE
);

CREATE INDEX IF NOT EXISTS idx_session_summaries_opened ON session_summaries(opened_at DESC, id);
CREATE INDEX IF NOT EXISTS idx_session_summaries_owner
    ON session_summaries(tenant_id, user_id, opened_at DESC);
CREATE INDEX IF NOT EXISTS idx_session_summaries_status ON session_summaries(status, opened_at DESC);
