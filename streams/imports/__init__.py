"""Bringing over V1: its rows read, mapped, and put onto the log."""
