"""What the core asks of the world: a chat model, an embedder, a tool. Connectors are made to fit these."""
