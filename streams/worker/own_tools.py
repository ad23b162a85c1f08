"""Tools of one's own: a file of Python in a folder, or an entry point of an installed package.

The folder and the entry points are named by settings; nothing is looked for elsewhere. A file holds one tool,
which has the file's name, so that one that cannot be loaded is known by name and costs itself alone. Its
digest goes with its version, and so onto the log with every call.
"""

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import structlog

from connectors.tools.registry import ToolRegistry
from schemas.configuration import ToolSpec
from schemas.ports.tool import Arguments, Happened, Reconciler, Tool, ToolContext, ToolResult
from streams.configuration.checking import TOOLS
from streams.configuration.servers import demand_own, load_accepted
from streams.process.settings import Settings

ENTRY_POINTS: Final = "cartrita.tools"
"""The group in which packages offer tools."""
ATTRIBUTE: Final = "tool"
"""What a file calls its tool."""
DIGEST_CHARACTERS: Final = 12
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTools:
    """What was found of one's own."""

    tools: tuple[Tool, ...]
    absent: Mapping[str, str]
    """Tools that cannot be used, by name, each with the reason."""


def load_own_tools(settings: Settings) -> OwnTools:
    """Load the tools that the settings name; each that cannot be used is told, and costs itself alone.

    Raises:
        ConfigurationInvalid: others may write the folder.
    """
    tools: list[Tool] = []
    absent: dict[str, str] = {}
    for name, load in _sources(settings):
        try:
            tools.append(_usable(name, *load()))
        except (Exception, SystemExit) as error:  # whatever a file does at its import is its own affair
            absent[name] = f"{type(error).__name__}: {error}"[:500]
            _log.error("own_tool_absent", tool=name, reason=absent[name])
    return OwnTools(tools=tuple(tools), absent=absent)


def configured_tool_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of all tools that agents may be given, without loading any.

    Ours, those accepted of foreign servers, and one's own.

    Raises:
        ConfigurationInvalid: a file cannot be read, or others may write the folder.
    """
    accepted = load_accepted(settings.mcp_servers)
    foreign = (one.name for known in accepted.values() for one in known.definitions.values())
    return (*TOOLS, *foreign, *(name for name, _ in _sources(settings)))


_Load = Callable[[], tuple[object, Path]]


def _sources(settings: Settings) -> Iterator[tuple[str, _Load]]:
    folder = settings.tools_directory
    if folder is not None:
        demand_own(folder)
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith("_"):
                yield path.stem, lambda path=path: (_of_file(path), path)  # type: ignore[misc]  # bound now
    for name in filter(None, (one.strip() for one in settings.tool_entry_points.split(","))):
        yield name, lambda name=name: _of_entry_point(name)  # type: ignore[misc]  # likewise


def _of_file(path: Path) -> object:
    demand_own(path)
    spec = importlib.util.spec_from_file_location(f"cartrita_own_tools_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no file of Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, ATTRIBUTE)


def _of_entry_point(name: str) -> tuple[object, Path]:
    found = tuple(entry_points(group=ENTRY_POINTS, name=name))
    if len(found) != 1:
        raise ImportError(f"{len(found)} packages offer an entry point {name!r} in the group {ENTRY_POINTS}")
    spec = importlib.util.find_spec(found[0].module)
    if spec is None or spec.origin is None:
        raise ImportError(f"the module {found[0].module} of the entry point {name!r} is not there")
    return found[0].load(), Path(spec.origin)


def _usable(name: str, found: object, path: Path) -> Tool:
    spec = getattr(found, "spec", None)
    run = getattr(found, "run", None)
    if not isinstance(spec, ToolSpec) or not callable(run):
        raise TypeError(f"{ATTRIBUTE} has no spec (a ToolSpec) and no run; docs/adding-a-tool.md shows both")
    if spec.name != name:
        raise ValueError(f"the tool is named {spec.name!r}; it must be named {name!r} as its file")
    if name in TOOLS or "__" in name:
        raise ValueError(f"the name {name!r} is taken, or looks like that of a foreign tool")
    digest = sha256(path.read_bytes()).hexdigest()[:DIGEST_CHARACTERS]
    tool = _Pinned(found, replace(spec, version=f"{spec.version}+{digest}"))  # type: ignore[arg-type]  # looked at
    ToolRegistry([tool])
    return tool


class _Pinned:
    """A tool of one's own, whose version says which file it is."""

    def __init__(self, tool: Tool, spec: ToolSpec) -> None:
        self._tool, self.spec = tool, spec

    async def run(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """Run the tool."""
        return await self._tool.run(arguments, context)

    async def happened(self, arguments: Arguments, context: ToolContext) -> Happened | None:
        """Say what the tool knows of an earlier call; None: it does not say such things."""
        if not isinstance(self._tool, Reconciler):
            return None
        return await self._tool.happened(arguments, context)
