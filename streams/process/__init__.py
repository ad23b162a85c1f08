"""What every process has: settings, a start, logs, metrics, failpoints and an end."""
