"""When to try again: exponential delays with a jitter that replays identically."""

from hashlib import blake2b

from schemas.configuration import Limits


def retry_delay_ms(attempt: int, subject: str, limits: Limits) -> int:
    """Return how long to wait after the failed `attempt` (from 1) of `subject`, in milliseconds.

    Doubles from the configured first delay up to the configured maximum; a quarter of it is jitter, which
    follows from the subject and the attempt, so that deciding again gives the same delay.
    """
    base = min(limits.retry_delay_ms_max, limits.retry_delay_ms << min(max(attempt - 1, 0), 20))
    draw = int.from_bytes(blake2b(f"{subject}/{attempt}".encode(), digest_size=4).digest(), "big") / 2**32
    return max(1, round(base * (0.75 + 0.25 * draw)))
