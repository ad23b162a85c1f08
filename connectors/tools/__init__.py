"""The registry of tools, and the first tools."""
