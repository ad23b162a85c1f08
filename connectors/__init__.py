"""All I/O with the world: models, tools, retrieval, the sandbox, the embedded stack."""
