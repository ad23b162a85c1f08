"""What every process has: settings, logs, metrics, failpoints and an end."""
