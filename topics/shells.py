"""The shells by name; what each reads stands in the catalogue, with the topics."""

from typing import Final

INGRESS: Final = "ingress"
FORK: Final = "fork"
SESSION: Final = "session"
ACCOUNT: Final = "account"
CAPABILITY: Final = "capability"
MODEL: Final = "model"
TOOL: Final = "tool"
SCHEDULE: Final = "schedule"
REDRIVE: Final = "redrive"
"""The part of the ingress shell's process that tries dead letters again; no shell, but a group of its own."""
SHELLS: Final = (INGRESS, FORK, SESSION, ACCOUNT, CAPABILITY, MODEL, TOOL, SCHEDULE)
"""All shells; any mix may run in one process, each is a consumer group of its own."""
