"""Programs that ask models for single answers all the while, as gateways write it down for them."""

import asyncio
import random
import threading
from hashlib import sha256
from typing import Final

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from schemas.envelope import Envelope
from schemas.events.client_calls import ClientCallReceived, ClientMessage
from schemas.events.models import ChatRole
from schemas.ids import derived_id
from schemas.wire.registry import RegistryError
from streams.client.client import Client
from streams.process.settings import Settings
from topics.catalog import CLIENT_CALLS

TOKENS: Final = 2
"""None has a budget of its own: its lease would come back a minute later, when a campaign is at rest."""
_STOP_S: Final = 300
_AGAIN_S: Final = 0.5


class Callers:
    """Ask for one call after the other; what Kafka has not acknowledged is asked again under its id."""

    def __init__(self, settings: Settings, *, seed: int, pause_s: float) -> None:
        """Ask for nothing yet.

        Args:
            settings: of the deployment; its services run when `start` is called.
            seed: of tokens, lengths and repeats.
            pause_s: between two calls.
        """
        self._settings = settings
        self._seed = seed
        self._chance = random.Random(seed)
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._sent: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="callers", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for no more, and return when Kafka has acknowledged all."""
        self._stopping.set()
        self._thread.join(_STOP_S)
        assert not self._thread.is_alive(), "Kafka does not acknowledge calls"

    def sent(self) -> dict[str, str]:
        """Return the session by event id, of each call that was acknowledged."""
        with self._lock:
            return dict(self._sent)

    async def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            call = self._call(number)
            for _ in range(1 + (self._chance.random() < 0.1)):
                await self._append(call)
            with self._lock:
                self._sent[call.event_id] = call.session_id
            number += 1
            await asyncio.sleep(self._pause_s)

    async def _append(self, call: Envelope) -> None:
        """Write a call, however long that takes; a client that was refused is made anew."""
        while True:
            try:
                async with Client(self._settings) as client:
                    await client.append(
                        CLIENT_CALLS,
                        client.codec.encode(CLIENT_CALLS, call),
                        key=call.session_id.encode(),
                        headers=client.codec.headers(CLIENT_CALLS, call),
                    )
                return
            except (KafkaError, RegistryError, OSError):
                await asyncio.sleep(_AGAIN_S)

    def _call(self, number: int) -> Envelope:
        token_id = derived_id("chaos", str(self._seed), "token", str(self._chance.randrange(TOKENS)))
        text = f"Say something about the number {number}."
        body = ClientCallReceived(
            token_id=token_id,
            route="chat.completions",
            model="gpt-4o-mini",
            messages=(ClientMessage(role=ChatRole.USER, text=text),),
            output_tokens_max=self._chance.choice((None, 60, 400)),
            prompt_tokens=20,
            body_sha256=sha256(text.encode()).hexdigest(),
        )
        return Envelope(
            event_id=derived_id("chaos", str(self._seed), "call", str(number)),
            type=type(body).__name__,
            session_id=derived_id(token_id, "day", str(self._chance.randrange(2))),
            tenant_id="default",
            user_id="caller",
            correlation_id=derived_id("chaos", str(self._seed), "call", str(number)),
            # The same whenever it is written, as a gateway's repeat under one key is.
            occurred_at_ms=1_700_000_000_000 + number,
            producer="gateway",
            body=body,
        )
