"""Tells a server by HTTP that something waits, signed as Standard Webhooks are."""

import base64
import binascii
import hmac
from hashlib import sha256
from types import TracebackType
from typing import Final, Self

import httpx

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # how secrets begin, not one
SECRET_BYTES_MIN: Final = 24
SEND_S: Final = 10.0
"""How long the server may take to answer."""


class WebhookFailed(Exception):
    """The server was not told; the sentence says why, and has nothing of what it answered."""


def secret_of(text: str) -> bytes:
    """Read a secret: whsec_ and base64 of at least 24 bytes.

    Raises:
        ValueError: it is none; the message does not repeat it.
    """
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("it is no base64") from error
    if not text.startswith(SECRET_PREFIX) or len(secret) < SECRET_BYTES_MIN:
        raise ValueError(f"it is {SECRET_PREFIX} and base64 of at least {SECRET_BYTES_MIN} bytes")
    return secret


def signature_of(secret: bytes, message_id: str, at_s: int, body: bytes) -> str:
    """Return the signature of a message, for the header webhook-signature."""
    signed = b".".join((message_id.encode(), str(at_s).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(secret, signed, sha256)).decode()


class Webhook:
    """One server that is told."""

    def __init__(self, url: str, secret: bytes, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Take where it is, and the secret that it knows, too."""
        self._url, self._secret = url, secret
        # A redirect would take the message where nobody has said that it may go.
        self._http = httpx.AsyncClient(
            timeout=SEND_S, follow_redirects=False, trust_env=False, transport=transport
        )

    async def __aenter__(self) -> Self:
        """Hold connections."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close them."""
        await self._http.aclose()

    async def send(self, message_id: str, at_s: int, body: bytes) -> None:
        """Tell something.

        Args:
            message_id: the same whenever the same is told, so that the server can drop repeats.
            at_s: when it is sent, in seconds since 1970; servers refuse what is old.
            body: JSON.

        Raises:
            WebhookFailed: the server is away, or answers that it has not taken it.
        """
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": signature_of(self._secret, message_id, at_s, body),
        }
        try:
            async with self._http.stream("POST", self._url, content=body, headers=headers) as answer:
                status = answer.status_code
        except httpx.HTTPError as error:
            raise WebhookFailed(type(error).__name__) from error
        if not answer.is_success:
            raise WebhookFailed(f"HTTP {status}")
