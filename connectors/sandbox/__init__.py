"""Runs Python that nobody trusts: isolation tiers, limits, attack suite, and the `execute_python` tool."""
