"""Models, tools, retrieval, and the local deterministic server."""
