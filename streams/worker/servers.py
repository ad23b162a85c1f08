"""The MCP servers that the settings name, ready to be connected to."""

from connectors.mcp.servers import Servers
from connectors.mcp.ways import Ways
from streams.configuration.secrets import resolve
from streams.configuration.servers import load_accepted, load_servers
from streams.process.settings import Settings
from streams.worker.confinement import program_sandbox


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
