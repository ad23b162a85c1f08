"""The ingress shell: checks what the world sends, counts its tokens, and puts it on its session's partition.

`user.inputs` takes any key and any partitioner; everything behind this shell writes with Java's murmur2, so
that a session never has two owners.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from processors import forking
from schemas.codec import Codec, UnknownFactError
from schemas.configuration import Limits
from schemas.envelope import Envelope
from schemas.events.inputs import (
    ApprovalReceived,
    Attachment,
    InputFact,
    MessageReceived,
    SessionCancelled,
    SessionClosed,
    SessionForked,
    SessionOpened,
)
from schemas.ids import derived_id, is_uuid
from schemas.records import replace
from streams.engine.app import ShellApp
from streams.engine.context import ShellContext
from streams.engine.faust_shell import FaustShell
from streams.engine.kafka_log import KafkaLog
from streams.process import failpoints
from streams.process.metrics import ShellMetrics
from streams.records.delivery import Delivery, Log, Outgoing, OwnershipLost, outgoing
from streams.records.intake import Intake, RecordRefused
from topics.catalog import RECORD_BYTES_MAX, SESSION_INPUTS, USER_INPUTS
from topics.shells import INGRESS

_log = structlog.get_logger()

ATTACHMENTS_MAX: Final = 32
NAME_CHARACTERS_MAX: Final = 200
ACCOUNT_CHARACTERS_MAX: Final = 200
REASON_CHARACTERS_MAX: Final = 2_000
TITLE_CHARACTERS_MAX: Final = 500
AMOUNT_MAX: Final = 2**53 - 1
"""Budgets beyond this are typing errors, and JavaScript could not show them."""

Tokenizer = Callable[[str], int]


class IngressShell:
    """Takes inputs in, in whatever order they come."""

    def __init__(
        self,
        *,
        codec: Codec,
        log: Log,
        tokenizer: Tokenizer,
        limits: Limits,
        topic_prefix: str,
        metrics: ShellMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        """Take the surroundings.

        Args:
            codec: reads and writes events.
            log: what is written to.
            tokenizer: counts the tokens of a text.
            limits: bounds on texts.
            topic_prefix: before topic names in dead letters.
            metrics: counts.
            now_ms: the clock, for the metrics of latency.
        """
        self._codec = codec
        self._out = log
        self._tokenizer = tokenizer
        self._limits = limits
        self._metrics = metrics
        self._now_ms = now_ms
        self._owner = False
        self._generation = 0
        # As in the shells with state: batches write in the order in which they came.
        self._checking = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._intake = Intake(
            codec, shell=INGRESS, topic_prefix=topic_prefix, is_owner=lambda: self._owner, now_ms=now_ms
        )

    async def own(self, positions: object, starts: object = None) -> None:
        """Begin to own partitions; without a table, where they begin and end does not matter."""
        self._generation += 1
        self._owner = True

    def disown(self) -> None:
        """Stop."""
        self._generation += 1
        self._owner = False

    async def settle(self) -> None:
        """Wait until nothing is on its way."""
        async with self._checking, self._writing:
            return

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Check, forward and acknowledge a batch; what is refused goes to dead.letters.

        Raises:
            OwnershipLost: the partitions were revoked; nothing of the batch is acknowledged.
        """
        generation = self._generation
        async with self._checking:
            self._check(generation)
            records = [await self._taken(delivery) for delivery in deliveries]
            to_publish = [record for record in records if record is not None]
            failpoints.reach("decided")
        async with self._writing:
            self._check(generation)
            await self._out.publish(to_publish)
            self._check(generation)
            failpoints.reach("published")
            self._out.acknowledge(deliveries)
        self._metrics.batch_inputs.observe(len(deliveries))
        now_ms = self._now_ms()
        for delivery in deliveries:
            self._metrics.hop_latency_seconds.observe(max(now_ms - delivery.timestamp_ms, 0) / 1_000)
        for record in to_publish:
            self._metrics.output(record.topic.name)

    async def _taken(self, delivery: Delivery) -> Outgoing | None:
        event: Envelope | None = None
        try:
            event = await self._intake.read(delivery)
            record = outgoing(self._codec, self._checked(event, delivery), SESSION_INPUTS)
            if record.size_bytes > RECORD_BYTES_MAX:
                raise _Invalid(f"the input would be a record of {record.size_bytes:,} bytes")
        except UnknownFactError as unknown:
            refused = RecordRefused("invalid_input", f"this program does not know the fact {unknown.name}")
        except _Invalid as invalid:
            refused = RecordRefused("invalid_input", str(invalid), event)
        except RecordRefused as error:
            refused = error
        else:
            self._metrics.input(delivery.topic, "applied")
            return record
        self._metrics.input(delivery.topic, "rejected")
        self._metrics.dead_letter(refused.code)
        _log.warning("input_refused", code=refused.code, reason=refused.reason, place=delivery.coordinates)
        return outgoing(self._codec, self._intake.dead_letter(delivery, refused))

    def _checked(self, event: Envelope, delivery: Delivery) -> Envelope:
        if event.event_id and not is_uuid(event.event_id):
            raise _Invalid(
                "event_id is not a UUID in canonical form: 36 characters, lower case, with hyphens"
            )
        place = (delivery.topic, str(delivery.partition), str(delivery.offset))
        event_id = event.event_id or derived_id(*place)
        if event.session_id and not is_uuid(event.session_id):
            raise _Invalid(
                "session_id is not a UUID in canonical form: 36 characters, lower case, with hyphens"
            )
        if not event.session_id and not isinstance(event.body, SessionOpened | MessageReceived):
            raise _Invalid(f"{type(event.body).__name__} needs the session_id of the session it is about")
        body = event.body
        assert isinstance(body, InputFact)
        return Envelope(
            event_id=event_id,
            type=type(body).__name__,
            # A message alone opens a session; the same message sent again finds the same one.
            session_id=event.session_id or derived_id(event_id, "session"),
            tenant_id=_account("tenant_id", event.tenant_id, "default"),
            user_id=_account("user_id", event.user_id, "anonymous"),
            # A fork goes on from what another session did: a trace leads on into its origin.
            causation_id=body.origin_event_id if isinstance(body, SessionForked) else None,
            correlation_id=event_id,
            occurred_at_ms=delivery.timestamp_ms,
            producer=event.producer or INGRESS,
            traceparent=event.traceparent,
            body=self._checked_body(body),
        )

    def _checked_body(self, body: InputFact) -> InputFact:
        match body:
            case MessageReceived():
                return self._checked_message(body)
            case SessionForked():
                return self._checked_fork(body)
            case SessionOpened():
                _budgets(body)
                _short("title", body.title, TITLE_CHARACTERS_MAX)
            case ApprovalReceived():
                if not is_uuid(body.approval_id):
                    raise _Invalid("approval_id is not a UUID in canonical form")
                _short("reason", body.reason, REASON_CHARACTERS_MAX)
            case SessionCancelled() | SessionClosed():
                _short("reason", body.reason, REASON_CHARACTERS_MAX)
        return body

    def _checked_message(self, body: MessageReceived) -> MessageReceived:
        if not body.text.strip():
            raise _Invalid("text is empty")
        _budgets(body)
        if len(body.attachments) > ATTACHMENTS_MAX:
            raise _Invalid(f"there are {len(body.attachments)} attachments; the most is {ATTACHMENTS_MAX}")
        names = [_attachment_name(attachment) for attachment in body.attachments]
        if len(set(names)) != len(names):
            raise _Invalid("two attachments have the same name")
        size_bytes = sum(len(text.encode()) for text in (body.text, *(one.text for one in body.attachments)))
        if size_bytes > self._limits.text_bytes_max:
            raise _Invalid(
                f"text and attachments have {size_bytes:,} bytes; the most is {self._limits.text_bytes_max:,}"
            )
        return replace(
            body,
            tokens=self._tokenizer(body.text),
            attachments=tuple(
                replace(attachment, tokens=self._tokenizer(attachment.text))
                for attachment in body.attachments
            ),
        )

    def _checked_fork(self, body: SessionForked) -> SessionForked:
        _budgets(body)
        for name in ("origin_session_id", "origin_event_id", "call_id"):
            value = getattr(body, name)
            if value is not None and not is_uuid(value):
                raise _Invalid(f"{name} is not a UUID in canonical form")
        _short("model", body.model, NAME_CHARACTERS_MAX)
        if body.text is None and body.call_id is not None:
            raise _Invalid("call_id needs the result that is put in its place, as text")
        if body.text is not None and body.call_id is None and not body.text.strip():
            raise _Invalid("text is empty")
        text = body.text or ""
        if (size_bytes := len(text.encode())) > self._limits.text_bytes_max:
            raise _Invalid(f"text has {size_bytes:,} bytes; the most is {self._limits.text_bytes_max:,}")
        try:
            forking.origin_state(body)
            forking.overrides_of(body)
        except forking.ForkInvalid as error:
            raise _Invalid(str(error)) from error
        return replace(body, tokens=self._tokenizer(text))

    def _check(self, generation: int) -> None:
        if not self._owner or self._generation != generation:
            raise OwnershipLost


def build_ingress(context: ShellContext, tokenizer: Tokenizer, limits: Limits) -> FaustShell:
    """Build the ingress shell; nothing connects until its app starts."""
    app = ShellApp(context.app_settings(INGRESS))
    metrics = ShellMetrics(context.metrics, INGRESS)
    shell = IngressShell(
        codec=context.codec,
        log=KafkaLog(
            app,
            topic_prefix=context.topic_prefix,
            fence=context.fence,
            on_published=context.on_published,
        ),
        tokenizer=tokenizer,
        limits=limits,
        topic_prefix=context.topic_prefix,
        metrics=metrics,
        now_ms=context.now_ms,
    )
    return FaustShell(
        app,
        shell,
        name=INGRESS,
        sources=[USER_INPUTS.name],
        topic_prefix=context.topic_prefix,
        metrics=metrics,
    )


class _Invalid(Exception):
    """An input is refused, with a sentence for whoever sent it."""


def _account(field: str, text: str, default: str) -> str:
    _short(field, text, ACCOUNT_CHARACTERS_MAX)
    if any(ord(character) < ord(" ") for character in text):
        raise _Invalid(f"{field} has control characters")
    return text.strip() or default


def _short(field: str, text: str | None, characters_max: int) -> None:
    if text is not None and len(text) > characters_max:
        raise _Invalid(f"{field} has {len(text):,} characters; the most is {characters_max:,}")


def _budgets(body: MessageReceived | SessionOpened | SessionForked) -> None:
    for field, amount in (
        ("budget_tokens", body.budget_tokens),
        ("budget_nanodollars", body.budget_nanodollars),
    ):
        if amount is not None and not 1 <= amount <= AMOUNT_MAX:
            raise _Invalid(f"{field} is {amount}; it is at least 1")


def _attachment_name(attachment: Attachment) -> str:
    name = attachment.name
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX:
        raise _Invalid(f"an attachment's name has 1 to {NAME_CHARACTERS_MAX} characters")
    if name in (".", "..") or "/" in name or "\\" in name or any(ord(one) < ord(" ") for one in name):
        raise _Invalid(f"the attachment's name {name[:50]!r} is not a plain file name")
    return name
