-- A client may cancel its call: what it says then stands beside what it asked, and is no call of its own.

CREATE OR REPLACE VIEW client_calls WITH (security_invoker = true) AS
SELECT
    asked.event_id AS id,
    asked.session_id,
    asked.tenant_id,
    asked.user_id,
    asked.body ->> 'token_id' AS token_id,
    asked.body ->> 'route' AS route,
    asked.body ->> 'model' AS model,
    asked.occurred_at AS asked_at,
    told.occurred_at AS ended_at,
    CASE told.type
        WHEN 'ClientCallAnswered' THEN 'answered'
        WHEN 'ClientCallFailed' THEN told.body ->> 'kind'
        ELSE 'open'
    END AS status,
    NULLIF(told.body ->> 'call_id', '') AS call_id,
    COALESCE(
        (told.body ->> 'tokens')::bigint,
        (told.body ->> 'input_tokens')::bigint + (told.body ->> 'output_tokens')::bigint, 0
    ) AS tokens,
    COALESCE((told.body ->> 'cost_nanodollars')::bigint, 0) AS cost_nanodollars,
    COALESCE(jsonb_array_length(told.body -> 'tool_calls'), 0) AS tool_calls,
    COALESCE(jsonb_array_length(told.body -> 'denied'), 0) AS denied
FROM event_log asked
LEFT JOIN event_log told ON told.correlation_id = asked.event_id AND told.topic = 'client.answers'
WHERE asked.topic = 'client.calls' AND asked.type = 'ClientCallReceived';
