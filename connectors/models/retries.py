"""Which failures of a provider may be repeated here, and after how long.

Only an attempt that is certain not to be billed is repeated: a reservation covers one that may be. What
answers 429 or 5xx has given no answer, and a connection that was never made has carried no request; a
timeout after sending, a gateway's timeout or a broken stream may have been answered, and billed.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import openai

from connectors.models.errors import failure_of, retry_after_ms, said_in_text, short
from schemas.ports.chat import ConnectorError, ProviderFailed

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
"""Waits so many seconds."""
Random = Callable[[], float]
"""Gives a number from 0 to below 1."""

# By name, since the client library brings its own HTTP library, whose name has changed before.
_NEVER_SENT = frozenset(
    {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to wait between attempts."""

    delay_ms: int = 500
    """Before the second attempt; doubles with each further one."""
    delay_ms_max: int = 8_000
    jitter: float = 0.25
    """Up to this share of the delay is taken off at random, so that clients don't come back together."""
    retry_after_ms_max: int = 60_000
    """A provider that asks for a longer wait than this gets no further attempt here."""

    def wait_ms(self, attempt: int, retry_after_ms: int | None, random: Random) -> int:
        """Return how long to wait after `attempt` (from 1) has failed.

        500, 1,000, 2,000, 4,000, 8,000, 8,000 … less the jitter; never less than the provider asks for.
        """
        delay_ms = min(self.delay_ms << min(attempt - 1, 30), self.delay_ms_max)
        return max(round(delay_ms * (1 - self.jitter * random())), retry_after_ms or 0)


async def with_retries(
    once: Callable[[int], Awaitable[T]],
    *,
    attempts_max: int,
    policy: RetryPolicy,
    sleep: Sleep,
    random: Random,
) -> T:
    """Call `once` with the number of the attempt until it succeeds or may not be repeated.

    Raises:
        ConnectorError: the last attempt's; its `attempts` says how many there were.
    """
    attempt = 1
    while True:
        try:
            return await once(attempt)
        except ConnectorError as error:
            error.attempts = attempt
            too_long = (error.retry_after_ms or 0) > policy.retry_after_ms_max
            if not error.retryable or error.maybe_billed or too_long or attempt >= attempts_max:
                raise
            wait_ms = policy.wait_ms(attempt, error.retry_after_ms, random)
        await sleep(wait_ms / 1000)
        attempt += 1


def translate(error: Exception, *, what: str, timeout_ms: int) -> ConnectorError:
    """Return what `error`, raised by the client library or while reading its stream, means here.

    Args:
        what: the call in words, for the message.
        timeout_ms: what the attempt was given.
    """
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, what)
    message = f"{what}: {short(str(error) or type(error).__name__)}"
    cause = type(error.__cause__).__name__ if error.__cause__ is not None else ""
    if isinstance(error, openai.APIConnectionError) and cause in _NEVER_SENT:
        detail = f": {error.__cause__}" if str(error.__cause__) else ""
        return ProviderFailed(
            "provider_error", f"{what}: no connection ({cause}{detail})", retryable=True, maybe_billed=False
        )
    if isinstance(error, (openai.APITimeoutError, TimeoutError)):
        text = f"{what}: no complete answer within {timeout_ms} ms"
        return ProviderFailed("timeout", text, retryable=True, maybe_billed=True)
    if isinstance(error, openai.APIError):
        return ProviderFailed("interrupted", message, retryable=True, maybe_billed=True)
    return ProviderFailed("interrupted", f"{what}: {short(repr(error))}", retryable=True, maybe_billed=True)


def _of_status(error: openai.APIStatusError, what: str) -> ConnectorError:
    said = said_in_text(_body_of(error))
    wait_ms = retry_after_ms(error.response.headers, time.time())
    known = replace(
        said, status=error.status_code, retry_after_ms=said.retry_after_ms if wait_ms is None else wait_ms
    )
    return failure_of(known, what)


def _body_of(error: openai.APIStatusError) -> str:
    try:
        return error.response.text
    except Exception:  # noqa: BLE001, RUF100  # a body that was never read has a name with the HTTP library alone
        return str(error.message)
