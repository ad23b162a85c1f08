"""Patterns of SQL's LIKE."""


def literal_of(text: str) -> str:
    """Return a text as a pattern that means just itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
