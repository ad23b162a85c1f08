"""One deployment of its own for the tests that read a real log."""

from tests.pipeline.conftest import command_environment, deployed, deployment, home, settings

__all__ = ["command_environment", "deployed", "deployment", "home", "settings"]
