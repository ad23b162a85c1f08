"""The shells by name, and what the session shell reads; free of what running them takes."""

from typing import Final

from topics.catalog import ACCOUNT_EVENTS, MODEL_RESULTS, SESSION_INPUTS, SESSION_TIMERS, TOOL_RESULTS

INGRESS: Final = "ingress"
SESSION: Final = "session"
ACCOUNT: Final = "account"
CAPABILITY: Final = "capability"
MODEL: Final = "model"
TOOL: Final = "tool"
SHELLS: Final = (INGRESS, SESSION, ACCOUNT, CAPABILITY, MODEL, TOOL)
"""All shells; any mix may run in one process, each is a consumer group of its own."""
SESSION_SOURCES: Final = (SESSION_INPUTS, SESSION_TIMERS, MODEL_RESULTS, TOOL_RESULTS, ACCOUNT_EVENTS)
