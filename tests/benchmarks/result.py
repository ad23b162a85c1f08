"""What a benchmark gives: rows of one table, with medians over runs and ratios from the same run."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    """What was measured."""
    unit: str
    """sessions/s, ms, records …"""
    ours: float
    """Median over the runs."""
    peer: float | None = None
    """The same of whom we are compared with; None where there is nobody."""
    ratio: float | None = None
    """Median of ours / peer, each taken side by side in one run."""
    target: str = ""
    """What the issue asks for, as `ratio >= 1.0` or `ours <= 60`; empty: the row informs only."""
    note: str = ""
    """Who the peer is, and what a reader must know."""
    samples: tuple[tuple[float, float | None], ...] = ()
    """Of each run: ours and peer. Their spread tells how far to trust the medians."""

    @property
    def is_met(self) -> bool | None:
        """Tell whether the target is reached; None when there is none.

        Raises:
            ValueError: the target is not of the form that `target` describes.
        """
        if not self.target:
            return None
        try:
            subject, relation, bound = self.target.split()
            value = {"ratio": self.ratio, "ours": self.ours}[subject]
            reaches = {">=": operator.ge, "<=": operator.le}[relation]
        except (KeyError, ValueError) as error:
            raise ValueError(f"{self.name}: the target {self.target!r} is no `ratio >= 1.0`") from error
        return value is not None and bool(reaches(value, float(bound)))


def row(
    name: str,
    unit: str,
    samples: Sequence[tuple[float, float | None]],
    *,
    target: str = "",
    note: str = "",
) -> Row:
    """Sum up the runs of one measurement, each of them ours and the peer's side by side.

    Args:
        name: of the row.
        unit: of both numbers.
        samples: at least one; a peer is there in all of them or in none.
        target: see Row.
        note: see Row.
    """
    peers = [(ours, peer) for ours, peer in samples if peer is not None]
    assert samples, "a row needs at least one run"
    assert len(peers) in (0, len(samples)), "a peer is there in all runs or in none"
    return Row(
        name=name,
        unit=unit,
        ours=median(ours for ours, _ in samples),
        peer=median(peer for _, peer in peers) if peers else None,
        ratio=median(ours / peer for ours, peer in peers) if peers else None,
        target=target,
        note=note,
        samples=tuple(samples),
    )
