"""Faults on purpose, for tests: which requests fail, how, and how often."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final

KINDS: Final[Mapping[str, str]] = {
    "rate_limited": "HTTP 429 with Retry-After",
    "quota_exhausted": "HTTP 429 with code insufficient_quota and no Retry-After",
    "server_error": "HTTP 500",
    "unavailable": "HTTP 503",
    "not_found": "HTTP 404: there is no such endpoint",
    "unsupported": "HTTP 501: the server does not do that",
    "gateway_timeout": "HTTP 504: a provider may have done the work",
    "unauthorized": "HTTP 401",
    "hang": "no byte of a response until the client gives up",
    "late": "the answer begins after `delay_ms`, also for a client that has given up: it is billed",
    "disconnect": "the connection breaks before any response",
    "disconnect_mid_stream": "the connection breaks after `pieces` objects of the stream",
    "error_in_stream": "an error object takes the place of the rest of the stream",
    "garbage": "HTTP 200 with an event of the stream that is no JSON",
    "truncated_json": "the answer is the first half of what it should be, with finish_reason stop",
    "not_json": "the answer is a sentence, in JSON mode too",
    "cyclic_plan": "the answer is a plan of two tasks that wait for each other",
    "wrong_tool": "the answer calls a tool that was not offered",
    "bad_arguments": "the answer calls the first tool offered with arguments that are no JSON",
    "large_answer": "the answer is 1 MB long, whatever max_tokens says",
    "long_answer": "the answer is 8 kB long, whatever max_tokens says",
    "duplicate_answer": "every object of the stream comes a second time, after all others",
    "slow_drip": "each object of the stream comes `delay_ms` after the one before",
    "no_usage": "the answer comes without usage",
    "content_filter": "the answer is empty with finish_reason content_filter",
    "text": "the answer is `text`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSeen:
    """What a fault may depend on."""

    endpoint: str
    role: str
    model: str
    client_request_id: str
    attempt: int
    """1 for the first request with this id; always 1 without one."""
    text: str
    """All messages, or all texts to embed, joined by line ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault, and which requests it meets: those that fit all of its conditions."""

    kind: str
    times: int = 1
    """How many requests it meets; -1: all."""
    skip: int = 0
    """How many fitting requests pass before the first that it meets."""
    endpoint: str = ""
    """chat or embeddings; empty: both."""
    role: str = ""
    """Beginning of the role, for example `agent`; empty: every role."""
    contains: str = ""
    """A piece of text in the request."""
    attempt: int = 0
    """Meets only this attempt of a request id; 0: every attempt."""
    share: float = 1.0
    """Meets this share of the fitting requests, chosen by a hash of seed, request id and attempt."""
    seed: int = 0
    retry_after_s: float = 1.0
    delay_ms: int = 50
    pieces: int = 2
    text: str = ""

    def __post_init__(self) -> None:
        """Refuse a kind that nobody knows."""
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; known are {', '.join(KINDS)}")


FaultChooser = Callable[[RequestSeen], Fault | None]


class FaultScript:
    """A list of faults; the first that fits a request and is not used up meets it."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        """Note the faults in their order."""
        self._faults = list(faults)
        self._fitting = [0] * len(self._faults)
        self._met = [0] * len(self._faults)

    def __call__(self, request: RequestSeen) -> Fault | None:
        """Return the fault that meets `request`, and count it."""
        for index, fault in enumerate(self._faults):
            if not _fits(fault, request) or 0 <= fault.times <= self._met[index]:
                continue
            self._fitting[index] += 1
            if self._fitting[index] <= fault.skip:
                continue
            self._met[index] += 1
            return fault
        return None

    def met(self) -> list[int]:
        """Return how many requests each fault has met."""
        return list(self._met)


def fault_from_plain(value: object) -> Fault:
    """Return the fault that a JSON object describes.

    Raises:
        ValueError: it describes none.
    """
    known = {field.name: field.type for field in fields(Fault)}
    if not isinstance(value, dict) or not set(value) <= set(known) or "kind" not in value:
        raise ValueError(f"a fault is an object with kind and any of {', '.join(known)}")
    for name, given in value.items():
        wanted = (int, float) if known[name] is float else known[name]
        if not isinstance(given, wanted) or isinstance(given, bool):  # type: ignore[arg-type]  # a plain type
            raise ValueError(f"{name} of a fault must be {known[name]}")
    return Fault(**value)


def _fits(fault: Fault, request: RequestSeen) -> bool:
    return (
        fault.endpoint in ("", request.endpoint)
        and request.role.startswith(fault.role)
        and fault.contains in request.text
        and fault.attempt in (0, request.attempt)
        and _chosen(fault, request)
    )


def _chosen(fault: Fault, request: RequestSeen) -> bool:
    if fault.share >= 1:
        return True
    subject = request.client_request_id or request.text
    digest = hashlib.sha256(f"{fault.seed}/{subject}/{request.attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < fault.share
