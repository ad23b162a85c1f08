-- Double-entry bookkeeping of every session's budget, read off the event log.
--
-- Four accounts a session: granted (where budgets come from), available, reserved, used. The entries of one
-- event always sum to zero, for tokens and for money; per reservation the account `reserved` sums to zero once
-- the call is settled, and per session `available` is what its newest event says is left.
-- A charge may exceed its reservation (tokens_released is then negative): `available` pays the difference.

CREATE OR REPLACE VIEW budget_entries AS
SELECT
    e.session_id,
    e.sequence,
    e.event_id,
    e.type,
    e.occurred_at,
    NULLIF(e.body ->> 'reservation_id', '') AS reservation_id,
    entry.account,
    entry.tokens,
    entry.nanodollars
FROM event_log e
CROSS JOIN LATERAL (
    SELECT
        (e.body ->> 'tokens')::numeric AS tokens,
        (e.body ->> 'nanodollars')::numeric AS nanodollars,
        COALESCE((e.body ->> 'tokens_released')::numeric, 0) AS tokens_released,
        COALESCE((e.body ->> 'nanodollars_released')::numeric, 0) AS nanodollars_released
) said
CROSS JOIN LATERAL (
    VALUES
        ('BudgetGranted', 'granted', -said.tokens, -said.nanodollars),
        ('BudgetGranted', 'available', said.tokens, said.nanodollars),
        ('BudgetReserved', 'available', -said.tokens, -said.nanodollars),
        ('BudgetReserved', 'reserved', said.tokens, said.nanodollars),
        ('BudgetCharged', 'reserved',
            -said.tokens - said.tokens_released, -said.nanodollars - said.nanodollars_released),
        ('BudgetCharged', 'used', said.tokens, said.nanodollars),
        ('BudgetCharged', 'available', said.tokens_released, said.nanodollars_released)
) entry(type, account, tokens, nanodollars)
WHERE e.topic = 'budget.events'
  AND e.type IN ('BudgetGranted', 'BudgetReserved', 'BudgetCharged')
  AND entry.type = e.type
  -- A task's budget is a bound within its session's, not money of its own.
  AND COALESCE(e.body ->> 'scope', 'session') = 'session';
