-- conversation_messages is a chat: one row a user's message and one an answer. What models and tools said on
-- the way went into it before; it is in the event log, and in the view below.

CREATE OR REPLACE VIEW conversation_steps AS
SELECT
    e.session_id,
    e.occurred_at AS said_at,
    e.event_id,
    e.type,
    CASE
        WHEN e.topic = 'session.inputs' THEN 'user'
        WHEN e.topic = 'tool.results' THEN 'tool'
        ELSE 'assistant'
    END AS role,
    CASE
        WHEN e.topic = 'session.inputs' THEN 'intake'
        WHEN e.topic = 'session.outputs' THEN 'answer'
        WHEN e.topic = 'tool.results' OR e.body ->> 'purpose' = 'step' THEN 'execute'
        ELSE e.body ->> 'purpose'
    END AS graph_node,
    e.body ->> 'agent' AS agent,
    e.body ->> 'tool' AS tool_name,
    NULLIF(e.body ->> 'model', '') AS model,
    e.body ->> 'task_id' AS task_id,
    COALESCE(e.body ->> 'text', e.body ->> 'result_json', e.body ->> 'message', '') AS content,
    -- An answer's own cost is its turn's; the calls that made it up stand here by themselves.
    CASE
        WHEN e.topic = 'model.results'
            THEN (e.body ->> 'input_tokens')::bigint + (e.body ->> 'output_tokens')::bigint
        WHEN e.topic = 'tool.results' THEN (e.body ->> 'used_tokens')::bigint
        ELSE 0
    END AS cost_tokens,
    CASE
        WHEN e.topic IN ('model.results', 'tool.results') THEN (e.body ->> 'cost_nanodollars')::bigint
        ELSE 0
    END AS cost_nanodollars,
    e.topic,
    e.partition,
    e."offset"
FROM event_log e
WHERE (e.topic = 'session.inputs' AND e.type IN ('MessageReceived', 'SessionForked'))
   OR (e.topic = 'session.outputs' AND e.type = 'AnswerGiven')
   OR e.topic IN ('model.results', 'tool.results');

-- What the sink wrote of models and tools, and nothing else: V1's own rows name no event of the log.
DELETE FROM conversation_messages m
USING event_log e
WHERE e.topic IN ('model.results', 'tool.results')
  AND e.session_id::text = m.session_id::text
  AND to_jsonb(m) -> 'metadata' ->> 'event_id' = e.event_id::text
  AND to_jsonb(m) -> 'metadata' ->> 'call_id' = e.body ->> 'call_id';

-- What a turn used stands on its answer; what no answer tells of, on its message.
WITH charged AS (
    SELECT session_id, correlation_id AS input_id, sum((body ->> 'tokens')::numeric) AS tokens
    FROM event_log WHERE topic = 'budget.events' AND type = 'BudgetCharged' GROUP BY 1, 2
), told AS (
    SELECT session_id, body ->> 'input_id' AS input_id, sum((body ->> 'tokens')::numeric) AS tokens
    FROM event_log WHERE topic = 'session.outputs' AND type = 'AnswerGiven' GROUP BY 1, 2
), said AS (
    SELECT e.session_id, e.event_id,
           COALESCE(c.tokens, 0) - COALESCE(t.tokens, 0) AS tokens,
           CASE WHEN e.type = 'SessionForked' AND e.body ->> 'call_id' IS NOT NULL THEN
               '(forked from session ' || (e.body ->> 'origin_session_id') || ' with another result of a tool)'
           END AS content
    FROM event_log e
    LEFT JOIN charged c ON c.session_id = e.session_id AND c.input_id = e.event_id
    LEFT JOIN told t ON t.session_id = e.session_id AND t.input_id = e.event_id::text
    WHERE e.topic = 'session.inputs' AND e.type IN ('MessageReceived', 'SessionForked')
)
UPDATE conversation_messages m
SET cost_tokens = LEAST(GREATEST(said.tokens, -2147483647), 2147483647)::integer,
    content = COALESCE(said.content, m.content),
    role = 'user'
FROM said
WHERE m.session_id::text = said.session_id::text
  AND to_jsonb(m) -> 'metadata' ->> 'event_id' = said.event_id::text
  AND m.role IN ('user', 'tool');
