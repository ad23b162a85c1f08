"""The MCP servers that the settings name, ready to be connected to."""

from connectors.mcp.servers import Servers
from connectors.mcp.ways import Ways
from connectors.sandbox.programs import ProgramSandbox
from connectors.sandbox.tier import TierDemand
from streams.configuration.secrets import resolve
from streams.configuration.servers import load_accepted, load_servers
from streams.process.settings import Settings


def mcp_servers(settings: Settings) -> Servers:
    """Return the servers with what was accepted of them; nothing connects yet.

    Raises:
        ConfigurationInvalid: their file, or that of what was accepted, cannot be used.
    """
    path = settings.mcp_servers
    return Servers(load_servers(path), load_accepted(path), mcp_ways(settings).open)


def mcp_ways(settings: Settings) -> Ways:
    """Return what makes ways to servers on this machine."""
    return Ways(resolve, program_sandbox(settings))


def program_sandbox(settings: Settings) -> ProgramSandbox:
    """Return what confines programs, as the settings demand it; nothing is tried yet."""
    folder = settings.sandbox_directory or settings.data_directory / "sandbox"
    return ProgramSandbox(folder.absolute() / "programs", TierDemand(settings.sandbox))
