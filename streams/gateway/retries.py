"""Requests that are sent again: by their own key, or as OpenAI's SDKs try again by themselves."""

import json
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Final

from starlette.requests import Request

from streams.gateway.access import Principal
from streams.gateway.problems import Problem
from streams.gateway.recent import remember

RETRY_S: Final = 120
"""An SDK that tries again within so long, with the same body, gets what it asked for the first time."""
RETRIES_MAX: Final = 10_000


class Retries:
    """What this gateway was asked lately without a key."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._made: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def key_of(self, bearer: Principal, raw: bytes, request: Request, *more: str) -> tuple[str, bool]:
        """Return the key of a request, and whether nobody can have asked under it before.

        Without a key it is a new one, or that of the request which it repeats.

        Args:
            bearer: who asks.
            raw: the body as it came.
            request: with its headers and path.
            more: what else tells it from other requests.
        """
        given = request.headers.get("idempotency-key")
        if given:
            return given, False
        parts = (bearer.token_id, request.url.path, *more)
        digest = sha256(b"\0".join((*(part.encode() for part in parts), raw))).hexdigest()
        now_s = time.monotonic()
        known = self._made.get(digest)
        is_retry = request.headers.get("x-stainless-retry-count", "0") not in ("", "0")
        if is_retry and known is not None and now_s - known[0] < RETRY_S:
            return known[1], False
        key = str(uuid.uuid4())
        remember(self._made, digest, (now_s, key), RETRIES_MAX)
        return key, True

    @contextmanager
    def asking(self, key: str) -> Iterator[None]:
        """Ask under a key. After a failure a key that was made here is forgotten.

        What an SDK tries again by itself then is another request.
        """
        try:
            yield
        except Problem:
            self._forget(key)
            raise

    def _forget(self, key: str) -> None:
        for digest, (_, made) in reversed(self._made.items()):
            if made == key:
                del self._made[digest]
                return


def json_of(raw: bytes) -> Mapping[str, object]:
    """Read the body of a request.

    Raises:
        Problem: it is no JSON object.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "the body is no JSON", code="invalid_json") from error
    if not isinstance(body, Mapping):
        raise Problem(400, "the body is no JSON object", code="invalid_json")
    return body
