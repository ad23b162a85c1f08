"""The whole pipeline on the real stack: outside producers in, Postgres rows out, whatever is killed."""
