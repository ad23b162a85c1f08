-- Six questions that analysts ask, each a view: SELECT * FROM cost_by_agent.
--
-- They count events of the log, where each stands once, so a rebuild or a redelivered record counts nothing twice;
-- and what a role may see of the log is what it is told of here. One row is of one tenant. They tell of all time; of a period, where
-- the settings cartrita.since and cartrita.until name its first moment and the first one after it:
--     SET cartrita.since = '2026-11-01';
-- What came over from V1 is in no number but where a column says so: V1 knows no charges, rules or versions of tools.
-- Durations are between times at which records were written to Kafka.

CREATE OR REPLACE FUNCTION cartrita_in_period(moment TIMESTAMPTZ) RETURNS BOOLEAN AS $$
    SELECT moment >= COALESCE(NULLIF(current_setting('cartrita.since', true), '')::timestamptz, '-infinity')
       AND moment < COALESCE(NULLIF(current_setting('cartrita.until', true), '')::timestamptz, 'infinity')
$$ LANGUAGE sql STABLE;
COMMENT ON FUNCTION cartrita_in_period IS
    'Whether a moment is in the period that the settings cartrita.since and cartrita.until name; without them it is.';

-- An id of a body as one of a column; what is none, such as that of a call that was not made, is nobody's.
CREATE OR REPLACE FUNCTION cartrita_uuid(id TEXT) RETURNS UUID AS $$
    SELECT CASE WHEN pg_input_is_valid(id, 'uuid') THEN id::uuid END
$$ LANGUAGE sql STABLE;

-- 1. Which agents cost how much?
CREATE VIEW cost_by_agent WITH (security_invoker = true) AS
WITH charged AS (
    SELECT c.tenant_id, c.session_id, asked.body ->> 'agent' AS agent, (c.body ->> 'tokens')::numeric AS tokens,
           (c.body ->> 'nanodollars')::numeric AS nanodollars, c.body ->> 'basis' = 'reservation' AS is_estimate
    FROM event_log c
    LEFT JOIN event_log asked
        ON asked.session_id = c.session_id AND asked.subject_id = cartrita_uuid(c.body ->> 'reservation_id')
       AND asked.topic IN ('model.calls', 'tool.calls')
       AND asked.type IN ('ModelCallRequested', 'ToolCallRequested')
    WHERE c.topic = 'budget.events' AND c.type = 'BudgetCharged' AND cartrita_in_period(c.occurred_at)
)
SELECT
    tenant_id,
    agent,
    count(DISTINCT session_id) AS sessions,
    count(*) AS calls,
    count(*) FILTER (WHERE is_estimate) AS calls_estimated,
    sum(tokens)::numeric(38, 0) AS tokens,
    (sum(nanodollars) / 1000000000)::numeric(38, 9) AS cost_dollars,
    round(sum(nanodollars) / NULLIF(sum(sum(nanodollars)) OVER (PARTITION BY tenant_id), 0), 4) AS cost_share
FROM charged
GROUP BY tenant_id, agent;
COMMENT ON VIEW cost_by_agent IS
    'Which agents cost how much? A row for each agent of a tenant. A fork is charged for what it does itself, never for what it took over. What V1 spent is not here: it kept no charges.';
COMMENT ON COLUMN cost_by_agent.tenant_id IS 'Whose sessions.';
COMMENT ON COLUMN cost_by_agent.agent IS
    'Who asked for the calls: an agent, planner, critic, synthesizer or another part of a turn, or client for single model calls of clients. NULL: the log does not have the request (yet).';
COMMENT ON COLUMN cost_by_agent.sessions IS 'Sessions in which it was charged.';
COMMENT ON COLUMN cost_by_agent.calls IS
    'Calls of models and tools that were charged, each once; failed ones too, since they may be billed. A call that was denied was not made and is not here.';
COMMENT ON COLUMN cost_by_agent.calls_estimated IS
    'Of them, those whose bill is not known: all that was set aside for them counts as spent.';
COMMENT ON COLUMN cost_by_agent.tokens IS 'What they used, in and out together.';
COMMENT ON COLUMN cost_by_agent.cost_dollars IS 'What they cost, at the prices of the configuration at that time.';
COMMENT ON COLUMN cost_by_agent.cost_share IS 'Of all that its tenant was charged in the period, 0 to 1; NULL: nothing cost anything.';

-- 2. Where does the time go?
CREATE VIEW slowest_hops WITH (security_invoker = true) AS
WITH passes AS (
    SELECT b.tenant_id, 'ingress' AS hop, NULL AS name, NULL AS purpose, b.recorded_at AS began_at,
           e.recorded_at AS ended_at, NULL::numeric AS work_ms, NULL::boolean AS has_failed, e.event_id
    FROM event_log b
    LEFT JOIN event_log e ON e.event_id = b.correlation_id AND e.topic = 'session.inputs'
    WHERE b.topic = 'user.inputs' AND b.type = 'MessageReceived' AND cartrita_in_period(b.occurred_at)
    UNION ALL
    SELECT b.tenant_id, 'queue', NULL, NULL, b.recorded_at, e.recorded_at, NULL, NULL, e.event_id
    FROM event_log b
    LEFT JOIN event_log e
        ON e.session_id = b.session_id AND e.body ->> 'input_id' = b.event_id::text
       AND e.topic = 'session.outputs' AND e.type = 'TurnStarted'
    WHERE b.topic = 'session.inputs' AND b.type = 'MessageReceived' AND cartrita_in_period(b.occurred_at)
    UNION ALL
    SELECT b.tenant_id, split_part(b.topic, '.', 1), COALESCE(b.body ->> 'tool', b.body ->> 'model'),
           b.body ->> 'purpose', b.recorded_at, e.recorded_at, (e.body ->> 'latency_ms')::numeric,
           e.type IN ('ModelCallFailed', 'ToolCallFailed'), e.event_id
    FROM event_log b
    LEFT JOIN LATERAL (
        SELECT o.* FROM event_log o
        WHERE o.subject_id = b.subject_id AND o.session_id = b.session_id
          AND o.topic IN ('model.results', 'tool.results')
        ORDER BY o.recorded_at, o."offset" LIMIT 1
    ) e ON true
    WHERE b.topic IN ('model.calls', 'tool.calls') AND b.type IN ('ModelCallRequested', 'ToolCallRequested')
      AND cartrita_in_period(b.occurred_at)
    UNION ALL
    SELECT b.tenant_id, 'approval', b.body ->> 'tool', NULL, b.recorded_at, e.recorded_at, NULL, NULL, e.event_id
    FROM event_log b
    LEFT JOIN event_log e
        ON e.session_id = b.session_id AND e.body ->> 'approval_id' = b.body ->> 'approval_id'
       AND e.topic = 'session.outputs' AND e.type = 'ApprovalClosed'
    WHERE b.topic = 'session.outputs' AND b.type = 'ApprovalRequested' AND cartrita_in_period(b.occurred_at)
    UNION ALL
    SELECT b.tenant_id, 'turn', NULL, NULL, b.recorded_at, e.recorded_at, NULL,
           (e.body ->> 'complete')::boolean IS FALSE, e.event_id
    FROM event_log b
    LEFT JOIN event_log e
        ON e.session_id = b.session_id AND e.body ->> 'turn' = b.body ->> 'turn'
       AND e.topic = 'session.outputs' AND e.type = 'AnswerGiven'
    WHERE b.topic = 'session.outputs' AND b.type = 'TurnStarted' AND cartrita_in_period(b.occurred_at)
), timed AS (
    -- Two machines' clocks may differ by more than a hop takes. (GREATEST alone would make 0 of NULL.)
    SELECT *, CASE WHEN ended_at IS NOT NULL
                   THEN GREATEST(extract(epoch FROM ended_at - began_at) * 1000, 0) END AS duration_ms
    FROM passes
)
SELECT
    tenant_id,
    hop,
    name,
    purpose,
    count(ended_at) AS passes,
    count(*) - count(ended_at) AS passes_unended,
    CASE WHEN hop IN ('model', 'tool', 'turn') THEN count(*) FILTER (WHERE has_failed) END AS passes_failed,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms)::numeric)::bigint AS duration_ms_p50,
    round(percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms)::numeric)::bigint AS duration_ms_p95,
    round(max(duration_ms))::bigint AS duration_ms_max,
    round(percentile_cont(0.5) WITHIN GROUP (
        ORDER BY CASE WHEN work_ms IS NOT NULL THEN GREATEST(duration_ms - work_ms, 0) END)::numeric)::bigint
        AS waiting_ms_p50,
    round(sum(duration_ms) / 1000, 3) AS seconds_in_all,
    (array_agg(event_id ORDER BY duration_ms DESC NULLS LAST, event_id))[1] AS slowest_event_id
FROM timed
GROUP BY tenant_id, hop, name, purpose;
COMMENT ON VIEW slowest_hops IS
    'Where does the time go on the way from a message to its answer? A row for each hop of a tenant, by model, tool and purpose. Nothing of V1 and nothing that a fork took over was timed; what a fork does itself is.';
COMMENT ON COLUMN slowest_hops.tenant_id IS 'Whose sessions.';
COMMENT ON COLUMN slowest_hops.hop IS
    'ingress: from a message''s record on user.inputs until it is validated and on its session''s partition; queue: until its turn begins, behind the session''s earlier turns; model and tool: from asking for a call to its outcome, its retries in it; approval: from asking a person to the end of the request; turn: from the beginning of a turn to its answer. A turn holds the calls and approvals of its tasks, many of them side by side: add none of them to it.';
COMMENT ON COLUMN slowest_hops.name IS 'The model that was asked, by its name in the configuration, or the tool; NULL: the hop has none.';
COMMENT ON COLUMN slowest_hops.purpose IS 'What a model was called for: plan, critique, step, synthesize, summarize or client; else NULL.';
COMMENT ON COLUMN slowest_hops.passes IS 'How often it was gone through to the end; durations are theirs.';
COMMENT ON COLUMN slowest_hops.passes_unended IS 'How often it was begun and has no end so far: it is under way, is stuck, or ended with its session.';
COMMENT ON COLUMN slowest_hops.passes_failed IS
    'Of the passes, calls without a result, cancelled ones among them, and turns whose answer is not complete; their time counts. NULL: the hop cannot fail.';
COMMENT ON COLUMN slowest_hops.duration_ms_p50 IS 'Half of the passes took no longer. NULL: none has ended.';
COMMENT ON COLUMN slowest_hops.duration_ms_p95 IS '95 of 100 took no longer.';
COMMENT ON COLUMN slowest_hops.duration_ms_max IS 'The slowest.';
COMMENT ON COLUMN slowest_hops.waiting_ms_p50 IS
    'Of a call, the part that was not the call itself: Kafka, and waiting for a free worker. NULL: the hop has no such part.';
COMMENT ON COLUMN slowest_hops.seconds_in_all IS 'All passes together: what a faster one would save at the most.';
COMMENT ON COLUMN slowest_hops.slowest_event_id IS 'The event that ended the slowest pass: `cartrita trace` tells how it came about.';

-- 3. How often do budgets get in the way?
CREATE VIEW budget_hit_rate WITH (security_invoker = true) AS
WITH told AS (
    SELECT e.tenant_id, e.session_id,
           CASE WHEN s.calls_of IS NULL THEN 'conversation' ELSE 'client' END AS kind,
           e.type IN ('AnswerGiven', 'ClientCallAnswered', 'ClientCallFailed')
               OR (e.type = 'SessionEnded' AND e.body ->> 'reason' = 'lease_refused') AS is_request,
           (e.type = 'SessionEnded' AND e.body ->> 'reason' = 'lease_refused')
               OR (e.type = 'ClientCallFailed' AND e.body ->> 'kind' IN ('budget_spent', 'budget_busy')) AS is_refused,
           e.type = 'AnswerGiven' AND e.body ->> 'reason' = 'budget_exhausted' AS is_cut_short,
           e.type = 'BudgetDownshifted' AND e.body ->> 'limited_by' IS DISTINCT FROM 'window' AS is_downshift,
           e.type = 'BudgetWarned' AS is_warning,
           e.type = 'BudgetExhausted' AS is_exhausted,
           e.type = 'BudgetCharged' AS is_charge,
           CASE WHEN e.type = 'BudgetCharged' THEN (e.body ->> 'tokens')::numeric END AS tokens,
           CASE WHEN e.type = 'BudgetCharged' THEN (e.body ->> 'nanodollars')::numeric END AS nanodollars
    FROM event_log e
    LEFT JOIN session_summaries s ON s.id = e.session_id
    WHERE e.topic IN ('budget.events', 'session.outputs', 'client.answers')
      AND e.type IN ('BudgetCharged', 'BudgetDownshifted', 'BudgetWarned', 'BudgetExhausted', 'AnswerGiven',
                     'SessionEnded', 'ClientCallAnswered', 'ClientCallFailed')
      AND (e.type <> 'SessionEnded' OR e.body ->> 'reason' = 'lease_refused')
      AND cartrita_in_period(e.occurred_at)
)
SELECT
    tenant_id,
    kind,
    count(DISTINCT session_id) AS sessions,
    count(DISTINCT session_id) FILTER (WHERE is_warning) AS sessions_warned,
    count(DISTINCT session_id) FILTER (WHERE is_exhausted OR is_refused) AS sessions_hit,
    count(*) FILTER (WHERE is_request) AS requests,
    count(*) FILTER (WHERE is_refused) AS requests_refused,
    count(*) FILTER (WHERE is_cut_short) AS requests_cut_short,
    round(count(*) FILTER (WHERE is_refused OR is_cut_short)::numeric
        / NULLIF(count(*) FILTER (WHERE is_request), 0), 4) AS hit_rate,
    count(*) FILTER (WHERE is_charge) AS calls,
    count(*) FILTER (WHERE is_downshift) AS calls_downshifted,
    COALESCE(sum(tokens), 0)::numeric(38, 0) AS tokens,
    (COALESCE(sum(nanodollars), 0) / 1000000000)::numeric(38, 9) AS cost_dollars
FROM told
GROUP BY tenant_id, kind;
COMMENT ON VIEW budget_hit_rate IS
    'How often do budgets get in the way of what people ask? A row for the conversations of a tenant, and one for the single model calls of its clients. Sessions of V1 had no budgets and count only with what was asked in them since.';
COMMENT ON COLUMN budget_hit_rate.tenant_id IS 'Whose sessions.';
COMMENT ON COLUMN budget_hit_rate.kind IS 'conversation, or client: calls that clients ask for by a model''s own name, of which one token''s of a day are one session.';
COMMENT ON COLUMN budget_hit_rate.sessions IS 'Sessions in which something was charged, answered or refused; a fork is one of its own, with a budget of its own.';
COMMENT ON COLUMN budget_hit_rate.sessions_warned IS 'Of them, those that were warned that most of their budget is used or set aside.';
COMMENT ON COLUMN budget_hit_rate.sessions_hit IS
    'Of them, those in which something was not affordable: a call that was not made, for the session''s budget or its task''s, or no budget was to be had at all.';
COMMENT ON COLUMN budget_hit_rate.requests IS 'Answers and failures that people and clients were given, and sessions that were given no budget.';
COMMENT ON COLUMN budget_hit_rate.requests_refused IS 'Of them, those that got nothing for want of budget.';
COMMENT ON COLUMN budget_hit_rate.requests_cut_short IS 'Of them, answers that are less than they could be, since the budget ran out on the way.';
COMMENT ON COLUMN budget_hit_rate.hit_rate IS 'Share of the requests that were refused or cut short for want of budget, 0 to 1; NULL: there were none.';
COMMENT ON COLUMN budget_hit_rate.calls IS 'Calls of models and tools that were charged.';
COMMENT ON COLUMN budget_hit_rate.calls_downshifted IS
    'Calls that went to a cheaper model to save tokens or money; those that had to for the length of their prompt are not counted.';
COMMENT ON COLUMN budget_hit_rate.tokens IS 'What was charged.';
COMMENT ON COLUMN budget_hit_rate.cost_dollars IS 'What was charged.';

-- 4. Which tools can be relied on?
CREATE VIEW tool_reliability WITH (security_invoker = true) AS
WITH calls AS (
    SELECT b.tenant_id, b.body ->> 'tool' AS tool, b.body ->> 'tool_version' AS version, b.occurred_at,
           e.type AS ended, e.body ->> 'kind' AS kind, e.occurred_at AS ended_at,
           (e.body ->> 'attempts')::numeric AS attempts, (e.body ->> 'latency_ms')::numeric AS latency_ms
    FROM event_log b
    LEFT JOIN LATERAL (
        SELECT o.* FROM event_log o
        WHERE o.subject_id = b.subject_id AND o.session_id = b.session_id AND o.topic = 'tool.results'
        ORDER BY o.recorded_at, o."offset" LIMIT 1
    ) e ON true
    WHERE b.topic = 'tool.calls' AND b.type = 'ToolCallRequested' AND cartrita_in_period(b.occurred_at)
), judged AS (
    SELECT *,
           COALESCE(kind IN ('cancelled', 'unknown_tool', 'parse_error', 'validation_error', 'approval_invalid'), false)
               AS is_not_its_doing
    FROM calls
)
SELECT
    tenant_id,
    tool,
    version,
    count(*) AS calls,
    count(*) FILTER (WHERE ended = 'ToolCallCompleted') AS calls_succeeded,
    count(*) FILTER (WHERE ended = 'ToolCallFailed' AND NOT is_not_its_doing) AS calls_failed,
    count(*) FILTER (WHERE is_not_its_doing) AS calls_not_its_doing,
    count(*) FILTER (WHERE ended IS NULL) AS calls_unended,
    round(count(*) FILTER (WHERE ended = 'ToolCallCompleted')::numeric
        / NULLIF(count(*) FILTER (WHERE ended IS NOT NULL AND NOT is_not_its_doing), 0), 4) AS success_rate,
    count(*) FILTER (WHERE kind = 'timeout') AS calls_timed_out,
    count(*) FILTER (WHERE kind = 'unknown') AS calls_unknown,
    COALESCE(sum(attempts - 1) FILTER (WHERE attempts > 1), 0)::bigint AS retries,
    mode() WITHIN GROUP (ORDER BY kind) FILTER (WHERE NOT is_not_its_doing) AS failure_most,
    max(ended_at) FILTER (WHERE ended = 'ToolCallFailed' AND NOT is_not_its_doing) AS failed_last_at,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms)
        FILTER (WHERE NOT is_not_its_doing)::numeric)::bigint AS latency_ms_p50,
    round(percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms)
        FILTER (WHERE NOT is_not_its_doing)::numeric)::bigint AS latency_ms_p95
FROM judged
GROUP BY tenant_id, tool, version;
COMMENT ON VIEW tool_reliability IS
    'Which tools can be relied on? A row for each version of a tool that a tenant''s agents called. Calls that policy or budget denied were never made: policy_outcomes has those. V1''s calls are not here, since V1 does not say of all whether they succeeded, and never why not: its statistics are in tool_capability_index under the version v1. A call that a fork took over counts where it was made.';
COMMENT ON COLUMN tool_reliability.tenant_id IS 'Whose sessions.';
COMMENT ON COLUMN tool_reliability.tool IS 'The tool; those of MCP servers begin with the server''s name.';
COMMENT ON COLUMN tool_reliability.version IS 'Its version when it was called.';
COMMENT ON COLUMN tool_reliability.calls IS 'Calls that were made.';
COMMENT ON COLUMN tool_reliability.calls_succeeded IS 'Calls with a result that fits the tool''s schema.';
COMMENT ON COLUMN tool_reliability.calls_failed IS 'Calls that failed by the tool''s doing, after all their attempts.';
COMMENT ON COLUMN tool_reliability.calls_not_its_doing IS
    'Calls that failed and say nothing of the tool: cancelled, arguments that a model wrote wrongly, no such tool, or an approval that was not of exactly this call.';
COMMENT ON COLUMN tool_reliability.calls_unended IS 'Calls of which no outcome is known so far.';
COMMENT ON COLUMN tool_reliability.success_rate IS 'Succeeded, of those that succeeded or failed by the tool''s doing, 0 to 1; NULL: there are none.';
COMMENT ON COLUMN tool_reliability.calls_timed_out IS 'Of the failed calls, those that took too long.';
COMMENT ON COLUMN tool_reliability.calls_unknown IS 'Of the failed calls, those of which nobody knows whether they took effect.';
COMMENT ON COLUMN tool_reliability.retries IS 'Attempts beyond the first, of all calls together: a failed attempt that a later one made good is no failed call.';
COMMENT ON COLUMN tool_reliability.failure_most IS 'The most frequent kind of failure that is the tool''s doing; NULL: none.';
COMMENT ON COLUMN tool_reliability.failed_last_at IS 'When a call last failed by the tool''s doing.';
COMMENT ON COLUMN tool_reliability.latency_ms_p50 IS 'Half of the calls that ended took no longer once they ran, their retries in it; those that say nothing of the tool are left out.';
COMMENT ON COLUMN tool_reliability.latency_ms_p95 IS '95 of 100 took no longer.';

-- 5. Does searching help?
CREATE VIEW retrieval_usefulness WITH (security_invoker = true) AS
WITH searches AS (
    SELECT m.tenant_id, m.session_id, m.event_id, made.body ->> 'tool' AS tool, NULL AS imported_from,
           (m.body ->> 'retrieval_latency_ms')::numeric + (m.body ->> 'rerank_latency_ms')::numeric AS latency_ms,
           (m.body ->> 'context_tokens_after')::numeric AS context_tokens,
           jsonb_array_length(m.body -> 'documents') AS passages_found,
           (SELECT count(*) FROM jsonb_array_elements(m.body -> 'documents') d WHERE (d ->> 'used')::boolean)
               AS passages_given,
           CASE WHEN told.model_feedback ->> 'task_status' = 'complete'
               THEN jsonb_array_length(jsonb_path_query_array(told.model_feedback, '$.cited[*]'))
           END AS passages_cited,
           told.model_feedback ->> 'task_status' = 'complete'
               AND jsonb_path_exists(m.body, '$.documents[*] ? (@.used == true)') AS is_judged,
           (m.body ->> 'usefulness_score')::numeric AS usefulness
    FROM event_log m
    LEFT JOIN retrieval_metrics told ON told.id = cartrita_uuid(m.body ->> 'call_id') AND told.session_id = m.session_id
    LEFT JOIN LATERAL (
        SELECT o.body FROM event_log o
        WHERE o.subject_id = cartrita_uuid(m.body ->> 'call_id') AND o.session_id = m.session_id
          AND o.topic = 'tool.results' AND o.type = 'ToolCallCompleted'
        ORDER BY o.recorded_at, o."offset" LIMIT 1
    ) made ON true
    WHERE m.topic = 'retrieval.metrics' AND m.type = 'RetrievalMeasured' AND cartrita_in_period(m.occurred_at)
    UNION ALL
    SELECT m.tenant_id, m.session_id, m.event_id, NULL, m.body ->> 'origin',
           (m.body ->> 'retrieval_latency_ms')::numeric + COALESCE((m.body ->> 'rerank_latency_ms')::numeric, 0),
           (m.body ->> 'context_tokens_after')::numeric,
           (m.body ->> 'documents_retrieved')::numeric, (m.body ->> 'documents_used')::numeric, NULL,
           m.body ->> 'usefulness_score' IS NOT NULL, (m.body ->> 'usefulness_score')::numeric
    FROM (
        SELECT DISTINCT ON (i.session_id, i.subject_id) i.* FROM event_log i
        WHERE i.topic = 'session.imports' AND i.type = 'RetrievalImported' AND cartrita_in_period(i.occurred_at)
        ORDER BY i.session_id, i.subject_id, i."offset" DESC
    ) m
)
SELECT
    tenant_id,
    tool,
    imported_from,
    count(*) AS searches,
    count(*) FILTER (WHERE passages_found = 0) AS searches_empty,
    count(*) FILTER (WHERE is_judged) AS searches_judged,
    count(*) FILTER (WHERE is_judged AND usefulness = 0) AS searches_useless,
    round(avg(usefulness) FILTER (WHERE is_judged), 4) AS usefulness_mean,
    sum(passages_found)::bigint AS passages_found,
    sum(passages_given)::bigint AS passages_given,
    sum(passages_cited)::bigint AS passages_cited,
    round(avg(context_tokens)) AS context_tokens_mean,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms)::numeric)::bigint AS latency_ms_p50,
    round(percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms)::numeric)::bigint AS latency_ms_p95
FROM searches
GROUP BY tenant_id, tool, imported_from;
COMMENT ON VIEW retrieval_usefulness IS
    'Does searching help? A row for each tool that searches, and one for each V1 that searches came over from. A passage helped if the answer of the task that searched cites it.';
COMMENT ON COLUMN retrieval_usefulness.tenant_id IS 'Whose sessions.';
COMMENT ON COLUMN retrieval_usefulness.tool IS 'The tool that searched; NULL: it was V1, or the log does not have the call (yet).';
COMMENT ON COLUMN retrieval_usefulness.imported_from IS
    'Name of the V1 that the searches came over from, with the usefulness that V1 measured in its own way: compare it with no other row. NULL: they are V2''s own.';
COMMENT ON COLUMN retrieval_usefulness.searches IS 'Searches whose task has ended.';
COMMENT ON COLUMN retrieval_usefulness.searches_empty IS 'Of them, those that found nothing.';
COMMENT ON COLUMN retrieval_usefulness.searches_judged IS
    'Of them, those that gave passages to a task that ended well: a task that failed or was stopped has no answer, and its searches say nothing. Of V1''s, those whose usefulness V1 measured.';
COMMENT ON COLUMN retrieval_usefulness.searches_useless IS 'Of the judged ones, those of which nothing was cited.';
COMMENT ON COLUMN retrieval_usefulness.usefulness_mean IS 'Share of the passages given that were cited, on the average of the judged searches, 0 to 1; NULL: none is judged.';
COMMENT ON COLUMN retrieval_usefulness.passages_found IS 'Passages that were found, in all.';
COMMENT ON COLUMN retrieval_usefulness.passages_given IS 'Of them, those that went into results, for a model to read.';
COMMENT ON COLUMN retrieval_usefulness.passages_cited IS 'Of those, the ones that answers of tasks that ended well cite; NULL: V1 does not say.';
COMMENT ON COLUMN retrieval_usefulness.context_tokens_mean IS 'Tokens of the passages of one result, on the average: what a search costs its reader.';
COMMENT ON COLUMN retrieval_usefulness.latency_ms_p50 IS 'Half of the searches took no longer, with reranking.';
COMMENT ON COLUMN retrieval_usefulness.latency_ms_p95 IS '95 of 100 took no longer.';

-- 6. What do rules decide, and what comes of it?
CREATE VIEW policy_outcomes WITH (security_invoker = true) AS
WITH decided AS (
    SELECT e.tenant_id, e.body ->> 'rule' AS rule, NULLIF(e.body ->> 'tool', '') AS tool,
           e.body ->> 'decision' AS decision, e.occurred_at,
           made.subject_id IS NOT NULL AS is_made, NULL AS ended, NULL::numeric AS wait_ms
    FROM event_log e
    LEFT JOIN event_log made
        ON made.session_id = e.session_id AND made.subject_id = cartrita_uuid(e.body ->> 'call_id')
       AND made.topic IN ('model.calls', 'tool.calls')
       AND made.type IN ('ModelCallRequested', 'ToolCallRequested')
    WHERE e.topic = 'policy.decisions' AND e.type = 'PolicyDecided' AND cartrita_in_period(e.occurred_at)
    UNION ALL
    SELECT b.tenant_id, b.body ->> 'rule', b.body ->> 'tool', NULL, NULL, NULL, COALESCE(e.body ->> 'end', 'waiting'),
           GREATEST(extract(epoch FROM e.recorded_at - b.recorded_at) * 1000, 0)
    FROM event_log b
    LEFT JOIN event_log e
        ON e.session_id = b.session_id AND e.body ->> 'approval_id' = b.body ->> 'approval_id'
       AND e.topic = 'session.outputs' AND e.type = 'ApprovalClosed'
    WHERE b.topic = 'session.outputs' AND b.type = 'ApprovalRequested' AND cartrita_in_period(b.occurred_at)
)
SELECT
    tenant_id,
    CASE WHEN rule IN ('budget_downshift', 'budget_exhausted') THEN 'budget' ELSE 'policy' END AS decided_by,
    rule,
    tool,
    count(decision) AS decisions,
    count(*) FILTER (WHERE decision = 'allow') AS allowed,
    count(*) FILTER (WHERE decision = 'audit') AS allowed_for_review,
    count(*) FILTER (WHERE decision = 'throttle') AS delayed,
    count(*) FILTER (WHERE decision = 'deny') AS denied,
    count(*) FILTER (WHERE decision = 'escalate') AS escalated,
    count(*) FILTER (WHERE decision IS NOT NULL AND is_made) AS calls_made,
    count(*) FILTER (WHERE ended = 'approved') AS requests_approved,
    count(*) FILTER (WHERE ended = 'refused') AS requests_refused,
    count(*) FILTER (WHERE ended = 'edited') AS requests_edited,
    count(*) FILTER (WHERE ended = 'expired') AS requests_expired,
    count(*) FILTER (WHERE ended IN ('renewed', 'withdrawn')) AS requests_void,
    count(*) FILTER (WHERE ended = 'waiting') AS requests_waiting,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY wait_ms)
        FILTER (WHERE ended IN ('approved', 'refused', 'edited'))::numeric)::bigint AS approval_ms_p50,
    max(occurred_at) AS decided_last_at
FROM decided
GROUP BY tenant_id, rule, tool;
COMMENT ON VIEW policy_outcomes IS
    'What do rules decide, and what comes of it? A row for each rule and tool of a tenant that was decided about. A call may be decided more than once: anew after a person edited it or in a fork, or by the budget after policy allowed it. V1 had no rules.';
COMMENT ON COLUMN policy_outcomes.tenant_id IS 'Whose sessions.';
COMMENT ON COLUMN policy_outcomes.decided_by IS
    'budget: it was a matter of what is left (the rules budget_downshift and budget_exhausted); policy: all else.';
COMMENT ON COLUMN policy_outcomes.rule IS 'Name of the rule.';
COMMENT ON COLUMN policy_outcomes.tool IS 'The tool that was to be called; NULL: a model was.';
COMMENT ON COLUMN policy_outcomes.decisions IS 'How often it decided: the sum of the next five.';
COMMENT ON COLUMN policy_outcomes.allowed IS 'Let through.';
COMMENT ON COLUMN policy_outcomes.allowed_for_review IS 'Let through and marked for review, as every downshift is (decision audit).';
COMMENT ON COLUMN policy_outcomes.delayed IS 'Let through after a delay (decision throttle).';
COMMENT ON COLUMN policy_outcomes.denied IS 'Not made; the model is told why.';
COMMENT ON COLUMN policy_outcomes.escalated IS 'Left to a person.';
COMMENT ON COLUMN policy_outcomes.calls_made IS
    'Of the decisions, those whose call was made, now or after an approval. Fewer than were let through: the budget was too small, or the task ended first.';
COMMENT ON COLUMN policy_outcomes.requests_approved IS 'Requests to a person that were approved. A request may be asked anew, so these may be more than were escalated.';
COMMENT ON COLUMN policy_outcomes.requests_refused IS 'Requests that were refused.';
COMMENT ON COLUMN policy_outcomes.requests_edited IS 'Requests whose arguments a person changed; the call was then decided anew.';
COMMENT ON COLUMN policy_outcomes.requests_expired IS 'Requests that nobody decided in time: the calls were not made.';
COMMENT ON COLUMN policy_outcomes.requests_void IS 'Requests that nobody needed to decide any more: what they rested on changed, or the task ended.';
COMMENT ON COLUMN policy_outcomes.requests_waiting IS 'Requests that wait for a person now.';
COMMENT ON COLUMN policy_outcomes.approval_ms_p50 IS 'Half of the requests that a person decided took no longer to be.';
COMMENT ON COLUMN policy_outcomes.decided_last_at IS 'When it last decided; NULL: before the period.';

GRANT SELECT ON cost_by_agent, slowest_hops, budget_hit_rate, tool_reliability, retrieval_usefulness, policy_outcomes
    TO cartrita_gateway;
