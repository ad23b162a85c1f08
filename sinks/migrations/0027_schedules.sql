-- Schedules, and what each began: rows of `schedule.events`.

CREATE TABLE IF NOT EXISTS session_schedules (
    id UUID PRIMARY KEY,
    tenant_id TEXT,
    user_id TEXT,
    name TEXT,
    message TEXT,
    cron TEXT,
    zone TEXT,
    every_ms BIGINT,
    at TIMESTAMP WITH TIME ZONE,
    plan JSONB NOT NULL DEFAULT '{}',
    status TEXT NOT NULL DEFAULT 'active',
    next_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE,
    created_by TEXT,
    changed_at TIMESTAMP WITH TIME ZONE,
    changed_by TEXT,
    reason TEXT,
    fired BIGINT NOT NULL DEFAULT 0,
    skipped BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS idx_session_schedules_owner ON session_schedules(tenant_id, user_id, created_at DESC);

CREATE TABLE IF NOT EXISTS schedule_firings (
    id UUID PRIMARY KEY,
    schedule_id UUID REFERENCES session_schedules(id) ON DELETE CASCADE,
    tenant_id TEXT,
    user_id TEXT,
    due_at TIMESTAMP WITH TIME ZONE,
    fired_at TIMESTAMP WITH TIME ZONE,
    missed BOOLEAN,
    target_session_id UUID,
    outcome TEXT,
    detail TEXT,
    ended_at TIMESTAMP WITH TIME ZONE
);
CREATE INDEX IF NOT EXISTS idx_schedule_firings_schedule ON schedule_firings(schedule_id, due_at DESC);
CREATE INDEX IF NOT EXISTS idx_schedule_firings_open ON schedule_firings(fired_at) WHERE outcome IS NULL;

ALTER TABLE session_schedules ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON session_schedules USING (true) WITH CHECK (true);
CREATE POLICY gateway ON session_schedules AS RESTRICTIVE TO cartrita_gateway
    USING (cartrita_is_theirs(tenant_id, user_id));
GRANT SELECT ON session_schedules TO cartrita_gateway;

ALTER TABLE schedule_firings ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON schedule_firings USING (true) WITH CHECK (true);
CREATE POLICY gateway ON schedule_firings AS RESTRICTIVE TO cartrita_gateway
    USING (cartrita_is_theirs(tenant_id, user_id));
GRANT SELECT ON schedule_firings TO cartrita_gateway;
