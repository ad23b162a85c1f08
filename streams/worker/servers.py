"""The MCP servers that the settings name, ready to be connected to."""

from connectors.mcp.servers import Servers
from connectors.mcp.ways import Ways
from processors.redaction.redactor import Redactor
from streams.configuration.secrets import resolve
from streams.configuration.servers import load_accepted, load_servers
from streams.process.settings import Settings
from streams.worker.confinement import program_sandbox


def mcp_servers(settings: Settings, redactor: Redactor) -> Servers:
    """Return the servers with what was accepted of them; nothing connects yet.

    Args:
        settings: of the process.
        redactor: told each secret that is read for one, for servers repeat what they are given.

    Raises:
        ConfigurationInvalid: their file, or that of what was accepted, cannot be used.
    """
    path = settings.mcp_servers
    return Servers(load_servers(path), load_accepted(path), mcp_ways(settings, redactor).open)


def mcp_ways(settings: Settings, redactor: Redactor) -> Ways:
    """Return what makes ways to servers on this machine."""

    def resolved(reference: str) -> str:
        secret = resolve(reference)
        redactor.know(secret)
        return secret

    return Ways(resolved, program_sandbox(settings))
