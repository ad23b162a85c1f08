"""Materializing topics into Postgres: migrations and the writer."""
