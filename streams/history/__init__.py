"""The past: recordings, replay and forks."""
