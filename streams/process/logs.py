"""Logs of a long-running process: ours with constant event names, and other libraries' by the same form."""

import logging
import sys

import structlog

from connectors.text.harmless import harmless
from processors.redaction.redactor import PATTERNS_ALONE

_QUIET = (
    "faust",
    "mode",
    "aiokafka",
    "httpx",
    "httpx2",
    "openai",
    "mcp",
    # Subclasses of Faust's services log under the names of their own modules.
    "streams.engine.recovery_fix",
    "streams.engine.transport",
    "streams.engine.app",
)
"""Libraries, and our subclasses of theirs, that tell of every normal event."""


def set_up_logs(*, log_format: str, level: str) -> None:
    """Send everything to standard error, one line per event.

    Args:
        log_format: json, or console for people.
        level: the least that is shown: debug, info, warning or error.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, _without_secrets, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [_without_secrets, _harmless, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *renderers,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))
    structlog.configure(
        processors=[*shared[:2], *shared[3:], structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _without_secrets(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Take credentials out: errors of foreign programs quote what these were given."""
    return {
        key: PATTERNS_ALONE.text(value) if isinstance(value, str) else value for key, value in event.items()
    }


def _harmless(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Write out what would act on a terminal; JSON does so by itself."""
    return {key: harmless(value) if isinstance(value, str) else value for key, value in event.items()}
