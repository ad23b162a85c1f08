"""The facts of the system, one module a topic."""
