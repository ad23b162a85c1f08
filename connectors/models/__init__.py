"""OpenAI-compatible providers: chat, embeddings, tokens, and when an attempt is repeated."""
