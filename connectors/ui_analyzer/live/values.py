"""Reads values that a hostile page may have tampered with: the wrong type becomes a harmless default."""


def text(value: object, most: int = 300) -> str:
    """Text of at most `most` characters, printable; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else " " for char in value[:most])


def number(value: object) -> float | None:
    """A finite number from 0 up; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return float(value) if 0 <= value < 1e12 else None


def record(value: object) -> dict[str, object]:
    """An object; {} for anything else."""
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def items(value: object, most: int = 500) -> list[object]:
    """A list of at most `most` items; [] for anything else."""
    return list(value[:most]) if isinstance(value, list) else []
