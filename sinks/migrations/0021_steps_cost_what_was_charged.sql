-- What a step of a conversation cost is what was charged for it: a call that failed and may have been billed counts
-- with its reservation, and an outcome that was put aside (a second one, say) with nothing.

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
    COALESCE(charged.tokens, 0) AS cost_tokens,
    COALESCE(charged.nanodollars, 0) AS cost_nanodollars,
    e.topic,
    e.partition,
    e."offset",
    charged.basis AS cost_basis
FROM event_log e
LEFT JOIN LATERAL (
    SELECT (c.body ->> 'tokens')::bigint AS tokens, (c.body ->> 'nanodollars')::bigint AS nanodollars,
           c.body ->> 'basis' AS basis
    FROM event_log c
    WHERE e.topic IN ('model.results', 'tool.results')
      AND c.causation_id = e.event_id AND c.session_id = e.session_id
      AND c.topic = 'budget.events' AND c.type = 'BudgetCharged'
      AND c.body ->> 'reservation_id' = e.body ->> 'call_id'
    LIMIT 1
) charged ON true
WHERE (e.topic = 'session.inputs' AND e.type IN ('MessageReceived', 'SessionForked'))
   OR (e.topic = 'session.outputs' AND e.type = 'AnswerGiven')
   OR e.topic IN ('model.results', 'tool.results');
