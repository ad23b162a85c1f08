"""What the projections make of every fact, as text."""

from processors.projections.version import PROJECTIONS
from tests.projections.made import rows_by_fact


def told() -> str:
    """Return the number and the rows' digests, one fact a line."""
    lines = [f"projections {PROJECTIONS}", *(f"{fact} {digest}" for fact, digest in rows_by_fact().items())]
    return "\n".join(lines) + "\n"
