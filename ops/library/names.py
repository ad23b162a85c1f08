"""Cartrita for programs of others: tools, the client and the events under one name.

The wheel alone has this package; all in it is the project's own, under the names that last.
"""

try:
    from cartrita import events

    from schemas.configuration import ToolSpec
    from schemas.ports.tool import Arguments, DeltaSink, Tool, ToolContext, ToolError, ToolResult
    from streams.client.client import Client, Received
    from streams.client.conversation import Told, ask
    from streams.process.settings import Settings, SettingsInvalid
    from topics import catalog as topics
except ImportError as error:
    _top = (error.name or "").partition(".")[0]
    if _top not in ("connectors", "processors", "schemas", "sinks", "streams", "topics"):
        raise
    import importlib

    _found = importlib.import_module(_top)
    _where = getattr(_found, "__file__", None) or next(iter(_found.__path__), "nowhere")
    raise ImportError(
        f"cartrita needs its own top-level package {_top!r}, and Python finds another project's at {_where}; "
        "the two cannot be imported by one process, see docs/library.md",
        name=error.name,
    ) from error

__all__ = [
    "Arguments",
    "Client",
    "DeltaSink",
    "Received",
    "Settings",
    "SettingsInvalid",
    "Told",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolResult",
    "ToolSpec",
    "ask",
    "events",
    "topics",
]
