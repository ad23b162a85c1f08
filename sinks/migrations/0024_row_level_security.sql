-- The gateway reads as a role of its own, cartrita_gateway, which sees of each table what belongs to the tenant, and
-- where a token has one to the user, that its transaction names; of a transaction that names none, nothing. It
-- may read what is named here, and neither write nor read anything else, V1's tables included. The role is there
-- already: `migrate` makes it before, since roles belong to all databases of a server.
--
-- Everybody else is let through: the policies of that role are restrictive, and the one for all is not.
-- A new table that the gateway is to read needs the same four statements; a test looks at every table.

-- Names begin with '=', so that a setting that is absent or empty is nobody's, and no name means all of them.
CREATE OR REPLACE FUNCTION cartrita_is_theirs(tenant TEXT, owner TEXT) RETURNS BOOLEAN AS $$
    SELECT current_setting('cartrita.tenant', true) IN ('*', '=' || tenant)
       AND current_setting('cartrita.user', true) IN ('*', '=' || owner)
$$ LANGUAGE sql STABLE;

ALTER TABLE event_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON event_log USING (true) WITH CHECK (true);
-- What operators decide about a session, of its tenant or of every one, is told to whoever may see the session;
-- and what an operator of every tenant wants to be tried again, to whose letters those are. The configuration
-- is the same for all.
CREATE POLICY gateway ON event_log AS RESTRICTIVE TO cartrita_gateway
    USING (cartrita_is_theirs(tenant_id, user_id)
        OR (topic = 'session.inputs' AND type IN ('ApprovalReceived', 'ApprovalEdited', 'OutcomeTold', 'SessionBudgetSet')
            AND (tenant_id = '*' OR current_setting('cartrita.tenant', true) = '=' || tenant_id)
            AND EXISTS (SELECT FROM session_summaries s WHERE s.id = session_id))
        OR (topic = 'redrives' AND type = 'RedriveRequested' AND cartrita_is_theirs(body ->> 'tenant', body ->> 'user'))
        OR (topic = 'configuration' AND current_setting('cartrita.tenant', true) <> ''));
GRANT SELECT ON event_log TO cartrita_gateway;

ALTER TABLE session_summaries ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON session_summaries USING (true) WITH CHECK (true);
CREATE POLICY gateway ON session_summaries AS RESTRICTIVE TO cartrita_gateway
    USING (cartrita_is_theirs(tenant_id, user_id));
GRANT SELECT ON session_summaries TO cartrita_gateway;

-- What belongs to a session is whose that is: what is asked of session_summaries here is walled itself.
ALTER TABLE tasks_v2 ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON tasks_v2 USING (true) WITH CHECK (true);
CREATE POLICY gateway ON tasks_v2 AS RESTRICTIVE TO cartrita_gateway
    USING (EXISTS (SELECT FROM session_summaries s WHERE s.id = session_id));
GRANT SELECT ON tasks_v2 TO cartrita_gateway;

ALTER TABLE task_edges ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON task_edges USING (true) WITH CHECK (true);
CREATE POLICY gateway ON task_edges AS RESTRICTIVE TO cartrita_gateway
    USING (EXISTS (SELECT FROM tasks_v2 t WHERE t.id = from_task_id)
       AND EXISTS (SELECT FROM tasks_v2 t WHERE t.id = to_task_id));
GRANT SELECT ON task_edges TO cartrita_gateway;

ALTER TABLE graph_snapshots ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON graph_snapshots USING (true) WITH CHECK (true);
CREATE POLICY gateway ON graph_snapshots AS RESTRICTIVE TO cartrita_gateway
    USING (EXISTS (SELECT FROM session_summaries s WHERE s.id = session_id));
GRANT SELECT ON graph_snapshots TO cartrita_gateway;

ALTER TABLE retrieval_metrics ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON retrieval_metrics USING (true) WITH CHECK (true);
CREATE POLICY gateway ON retrieval_metrics AS RESTRICTIVE TO cartrita_gateway
    USING (EXISTS (SELECT FROM session_summaries s WHERE s.id = session_id));
GRANT SELECT ON retrieval_metrics TO cartrita_gateway;

ALTER TABLE policy_decisions ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON policy_decisions USING (true) WITH CHECK (true);
CREATE POLICY gateway ON policy_decisions AS RESTRICTIVE TO cartrita_gateway
    USING (EXISTS (SELECT FROM session_summaries s WHERE s.id = session_id));
GRANT SELECT ON policy_decisions TO cartrita_gateway;

-- How far the sink has read says nothing of anybody.
ALTER TABLE sink_offsets ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON sink_offsets USING (true) WITH CHECK (true);
CREATE POLICY gateway ON sink_offsets AS RESTRICTIVE TO cartrita_gateway USING (true);
GRANT SELECT ON sink_offsets TO cartrita_gateway;

-- A view shows what whoever asks it may see of its tables, not what its owner may.
ALTER VIEW budget_entries SET (security_invoker = true);
ALTER VIEW budget_balances SET (security_invoker = true);
ALTER VIEW conversation_steps SET (security_invoker = true);
GRANT SELECT ON budget_entries, budget_balances, conversation_steps, client_calls TO cartrita_gateway;

DO $$
BEGIN
    IF NOT has_schema_privilege('cartrita_gateway', current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO cartrita_gateway', current_schema());
    END IF;
END;
$$;
