"""Tests of the sinks, on a real Postgres and, where it says so, a real Kafka."""
