"""What confines foreign programs, as the settings demand it; without the MCP SDK, which is slow to import."""

from connectors.sandbox.programs import ProgramSandbox
from connectors.sandbox.tier import TierDemand
from streams.process.settings import Settings


def program_sandbox(settings: Settings) -> ProgramSandbox:
    """Return what confines programs, as the settings demand it; nothing is tried yet."""
    folder = settings.sandbox_directory or settings.data_directory / "sandbox"
    return ProgramSandbox(folder.absolute() / "programs", TierDemand(settings.sandbox))
