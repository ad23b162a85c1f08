"""Projections: pure functions from events to the rows that sinks write to Postgres, a module a table."""
