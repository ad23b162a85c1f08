"""Words of natural language, for searches, analyses and the local model."""
