-- A budget may be set anew, so that a grant moves only what it differs by from the one before.

CREATE OR REPLACE VIEW budget_entries AS
SELECT
    e.session_id,
    e.sequence,
    e.event_id,
    e.type,
    e.occurred_at,
    NULLIF(COALESCE(e.body ->> 'reservation_id', e.body ->> 'call_id'), '') AS reservation_id,
    entry.account,
    entry.tokens,
    entry.nanodollars
FROM event_log e
CROSS JOIN LATERAL (
    SELECT
        COALESCE(e.body ->> 'reserved_tokens', e.body ->> 'tokens')::numeric
            - COALESCE((e.body ->> 'tokens_before')::numeric, 0) AS tokens,
        COALESCE(e.body ->> 'reserved_nanodollars', e.body ->> 'nanodollars')::numeric
            - COALESCE((e.body ->> 'nanodollars_before')::numeric, 0) AS nanodollars,
        COALESCE((e.body ->> 'tokens_released')::numeric, 0) AS tokens_released,
        COALESCE((e.body ->> 'nanodollars_released')::numeric, 0) AS nanodollars_released
) said
CROSS JOIN LATERAL (
    VALUES
        ('BudgetGranted', 'granted', -said.tokens, -said.nanodollars),
        ('BudgetGranted', 'available', said.tokens, said.nanodollars),
        ('ModelCallRequested', 'available', -said.tokens, -said.nanodollars),
        ('ModelCallRequested', 'reserved', said.tokens, said.nanodollars),
        ('ToolCallRequested', 'available', -said.tokens, -said.nanodollars),
        ('ToolCallRequested', 'reserved', said.tokens, said.nanodollars),
        ('BudgetCharged', 'reserved',
            -said.tokens - said.tokens_released, -said.nanodollars - said.nanodollars_released),
        ('BudgetCharged', 'used', said.tokens, said.nanodollars),
        ('BudgetCharged', 'available', said.tokens_released, said.nanodollars_released)
) entry(type, account, tokens, nanodollars)
WHERE e.topic IN ('budget.events', 'model.calls', 'tool.calls')
  AND e.type IN ('BudgetGranted', 'ModelCallRequested', 'ToolCallRequested', 'BudgetCharged')
  AND entry.type = e.type
  -- A tool without model calls of its own reserves nothing, and nothing is settled.
  AND (said.tokens > 0 OR e.type LIKE 'Budget%')
  -- A task's budget is a bound within its session's, not money of its own.
  AND COALESCE(e.body ->> 'scope', 'session') = 'session';
