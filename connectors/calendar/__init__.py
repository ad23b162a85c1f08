"""Zones and cron expressions."""
