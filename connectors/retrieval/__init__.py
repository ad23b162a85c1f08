"""Documents from a folder, split into passages that a search finds by meaning and by words."""
