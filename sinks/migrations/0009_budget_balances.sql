-- What each session's accounts hold, and by how much its books are off: always zero.

CREATE OR REPLACE VIEW budget_balances AS
SELECT
    session_id,
    COALESCE(-sum(tokens) FILTER (WHERE account = 'granted'), 0) AS tokens_granted,
    COALESCE(sum(tokens) FILTER (WHERE account = 'available'), 0) AS tokens_available,
    COALESCE(sum(tokens) FILTER (WHERE account = 'reserved'), 0) AS tokens_reserved,
    COALESCE(sum(tokens) FILTER (WHERE account = 'used'), 0) AS tokens_used,
    COALESCE(-sum(nanodollars) FILTER (WHERE account = 'granted'), 0) AS nanodollars_granted,
    COALESCE(sum(nanodollars) FILTER (WHERE account = 'available'), 0) AS nanodollars_available,
    COALESCE(sum(nanodollars) FILTER (WHERE account = 'reserved'), 0) AS nanodollars_reserved,
    COALESCE(sum(nanodollars) FILTER (WHERE account = 'used'), 0) AS nanodollars_used,
    sum(tokens) AS tokens_off,
    sum(nanodollars) AS nanodollars_off
FROM budget_entries
GROUP BY session_id;
