"""The embedded stack: Kafka, schema registry and Postgres as child processes, without Docker or Java."""
