"""Carries a redrive out: which letters, what of each goes back, how fast, and what is told of it.

What goes back to a topic that only shells write is read from there again: a letter's own bytes are believed
where anybody may write, and nowhere else. So whoever could forge a letter gains nothing by it. What would be
put aside again for the same is not written: it is told why.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol

import structlog

from processors.inputs import InputInvalid, Tokenizer, checked_input
from processors.redaction.masking import agree
from processors.redrives import edit_of, edited, is_wanted, is_whole, reason_in_common, topic_named
from schemas.configuration import Limits
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import SentFact
from schemas.events.redrives import LetterRedriven, LettersKept, RedriveEnded, RedriveFact, RedriveRequested
from schemas.ids import derived_id
from schemas.wire.codec import Codec, UnencodableError, UnknownFactError
from streams.records.delivery import REDRIVEN_HEADER, Delivery
from streams.records.intake import Intake, RecordRefused
from topics.catalog import BY_NAME, ENTRANCES, RECORD_BYTES_MAX, USER_INPUTS, Topic
from topics.shells import REDRIVE

SELECTED_MAX: Final = 100_000
"""Letters that one redrive takes; of more the oldest."""
REASONS_MAX: Final = 50
"""That are told of one redrive."""
CHUNKS_PER_S: Final = 10
CHUNK_BYTES: Final = 4_000_000
"""So much is held at a time, and one record more."""
_OVERHEAD_BYTES: Final = 1_024
_log = structlog.get_logger()


class Again(NamedTuple):
    """A record as it is written to its topic again."""

    topic: Topic
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    letter: Envelope
    edited: bool


class Shelf(Protocol):
    """Where letters are, and where their records go back to; the real one is Kafka, its twin keeps lists."""

    def letters(self) -> AsyncIterator[Envelope]:
        """Tell all dead letters that there are now, those of one session in order."""
        ...

    def redriven(self) -> AsyncIterator[Envelope]:
        """Tell all that redrives have told up to now."""
        ...

    async def original(self, topic: Topic, partition: int, offset: int) -> Delivery | None:
        """Return the record at a place; None: it is not there any more."""
        ...

    async def append(self, records: Sequence[Again]) -> Sequence[tuple[int, int]]:
        """Write records in this order, and return partition and offset of each when they are durable."""
        ...

    async def tell(self, events: Sequence[Envelope]) -> None:
        """Write events to `redrives`, and wait until they are durable."""
        ...


class Redriver:
    """Carries redrives out, one at a time."""

    def __init__(
        self,
        shelf: Shelf,
        codec: Codec,
        *,
        topic_prefix: str,
        tokenizer: Tokenizer,
        limits: Limits,
        now_ms: Callable[[], int],
        now_s: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take where letters are, and the rules that inputs are checked by.

        Args:
            shelf: reads and writes.
            codec: reads and writes events.
            topic_prefix: before topic names.
            tokenizer: counts the tokens of a text.
            limits: bounds on texts.
            now_ms: the clock, for what is told.
            now_s: a clock that only goes forward, for the pace.
            sleep: waits for so many seconds.
        """
        self._shelf = shelf
        self._codec = codec
        self._prefix = topic_prefix
        self._tokenizer = tokenizer
        self._limits = limits
        self._now_ms = now_ms
        self._now_s = now_s
        self._sleep = sleep
        self._intake = Intake(
            codec, shell=REDRIVE, topic_prefix=topic_prefix, is_owner=lambda: True, now_ms=now_ms
        )

    async def carry_out(self, wanted: Envelope) -> None:
        """Try letters again as somebody wants it; after a crash it goes on with those that are left."""
        request = wanted.body
        assert isinstance(request, RedriveRequested)
        told = _Told(wanted.event_id, dry=request.dry)
        selected, told.more = await self._selected(request)
        for letter_id in sorted(set(request.letters) - selected):
            told.lack(letter_id)
        async for event in self._shelf.redriven():
            fact = event.body
            if isinstance(fact, LetterRedriven) and fact.letter_id in selected:
                selected.discard(fact.letter_id)
                told.redriven += fact.redrive_id == wanted.event_id
                told.redriven_before += fact.redrive_id != wanted.event_id
        pace = _Pace(request.records_per_s_max, self._now_s, self._sleep)
        chunk: list[Again] = []
        async for letter in self._shelf.letters():
            if letter.event_id not in selected:
                continue
            # A letter may stand on its topic twice.
            selected.discard(letter.event_id)
            try:
                chunk.append(await self._again(letter, wanted, request))
            except _Kept as kept:
                told.keep(letter, str(kept))
            if len(chunk) >= pace.chunk or sum(len(one.value or b"") for one in chunk) >= CHUNK_BYTES:
                await self._write(chunk, wanted, told, pace)
                chunk = []
        await self._write(chunk, wanted, told, pace)
        await self._shelf.tell([self._event(wanted, told.ended(), derived_id(wanted.event_id, "ended"))])
        _log.info("redrive_ended", redrive=wanted.event_id, redriven=told.redriven, kept=told.kept.total())

    async def give_up(self, wanted: Envelope, reason: str) -> None:
        """Tell that a redrive could not be carried out to its end."""
        told = _Told(wanted.event_id, dry=isinstance(wanted.body, RedriveRequested) and wanted.body.dry)
        told.kept[reason] = 0
        told.examples[reason] = ""
        await self._shelf.tell([self._event(wanted, told.ended(), derived_id(wanted.event_id, "ended"))])

    async def _selected(self, request: RedriveRequested) -> tuple[set[str], bool]:
        found: set[str] = set()
        async for letter in self._shelf.letters():
            if letter.event_id not in found and is_wanted(request, letter, self._prefix):
                if len(found) == SELECTED_MAX:
                    return found, True
                found.add(letter.event_id)
        return found, False

    async def _write(self, chunk: list[Again], wanted: Envelope, told: "_Told", pace: "_Pace") -> None:
        request = wanted.body
        assert isinstance(request, RedriveRequested)
        told.redriven += len(chunk)
        if request.dry or not chunk:
            return
        await pace.admit(len(chunk))
        places = await self._shelf.append(chunk)
        await self._shelf.tell(
            [
                self._event(
                    wanted,
                    LetterRedriven(
                        redrive_id=wanted.event_id,
                        letter_id=one.letter.event_id,
                        topic=one.topic.name,
                        partition=partition,
                        offset=offset,
                        edited=one.edited,
                    ),
                    derived_id(wanted.event_id, one.letter.event_id),
                    letter=one.letter,
                )
                for one, (partition, offset) in zip(chunk, places, strict=True)
            ]
        )

    async def _again(self, letter: Envelope, wanted: Envelope, request: RedriveRequested) -> Again:
        """Return what is written again for a letter.

        Raises:
            _Kept: nothing is, and why.
        """
        body = letter.body
        assert isinstance(body, RecordRejected)
        delivery, topic = await self._record(body)
        try:
            event = await self._intake.read(delivery)
            if request.edit_json is not None:
                if topic is not USER_INPUTS:
                    raise InputInvalid(f"only records of {USER_INPUTS.name} may be changed")
                event = edited(event, edit_of(request.edit_json), wanted.event_id, letter.event_id)
                value = self._codec.encode(topic, event)
                delivery = delivery._replace(value=value, headers=tuple(self._codec.headers(topic, event)))
            self._try(event, delivery, topic)
        except UnknownFactError as error:
            raise _Kept(f"this program does not know the fact {error.name}") from error
        except (RecordRefused, InputInvalid, UnencodableError) as error:
            raise _Kept(str(error)) from error
        headers: list[tuple[str, bytes | None]] = [
            (name, value) for name, value in delivery.headers if name != REDRIVEN_HEADER
        ]
        headers.append((REDRIVEN_HEADER, f"{topic.name}/{body.partition}/{body.offset}".encode()))
        size_bytes = len(delivery.value or b"") + len(delivery.key or b"") + _OVERHEAD_BYTES
        if size_bytes + sum(len(name) + len(value or b"") for name, value in headers) > RECORD_BYTES_MAX:
            raise _Kept("the record is larger than Kafka takes with the mark of a redriven one")
        return Again(
            topic=topic,
            key=delivery.key,
            value=delivery.value,
            headers=headers,
            letter=letter,
            edited=request.edit_json is not None,
        )

    async def _record(self, body: RecordRejected) -> tuple[Delivery, Topic]:
        """Return the record that a letter is about."""
        name = topic_named(body, self._prefix)
        if name is None:
            raise _Kept(f"this program has no topic {body.topic[:100]}")
        topic = BY_NAME[name]
        kept = Delivery(
            topic=name,
            partition=body.partition,
            offset=body.offset,
            key=body.key,
            value=body.value,
            headers=tuple((header.name, header.value) for header in body.headers),
            timestamp_ms=self._now_ms(),
        )
        if topic is USER_INPUTS and is_whole(body):
            return kept, topic
        original = await self._shelf.original(topic, body.partition, body.offset)
        if original is None:
            raise _Kept("its record is not on its topic any more")
        for here, there in ((kept.key, original.key), (kept.value, original.value)):
            same = here == there if here is None or there is None else agree(here, there)
            if not same:
                raise _Kept("at its place stands another record than the letter says")
        return original, topic

    def _try(self, event: Envelope, delivery: Delivery, topic: Topic) -> None:
        """See that an input would be taken in.

        Raises:
            InputInvalid: it would not.
        """
        if topic in ENTRANCES and isinstance(event.body, SentFact):
            checked_input(
                event,
                (topic.name, delivery.partition, delivery.offset),
                taken_at_ms=self._now_ms(),
                producer=REDRIVE,
                tokenizer=self._tokenizer,
                limits=self._limits,
            )

    def _event(
        self, wanted: Envelope, body: RedriveFact, event_id: str, letter: Envelope | None = None
    ) -> Envelope:
        # Whoever a letter belongs to may know that it was tried again; and of an end, whoever all of them do.
        request = wanted.body
        tenant, user = wanted.tenant_id, wanted.user_id
        if letter is not None:
            tenant, user = letter.tenant_id, letter.user_id
        elif isinstance(request, RedriveRequested):
            tenant, user = request.tenant or tenant, request.user or user
        return Envelope(
            event_id=event_id,
            type=type(body).__name__,
            tenant_id=tenant,
            user_id=user,
            causation_id=wanted.event_id,
            evidence_ids=() if letter is None else (letter.event_id,),
            occurred_at_ms=self._now_ms(),
            producer=REDRIVE,
            body=body,
        )


class _Kept(Exception):
    """A letter is not tried again; the sentence says why."""


class _Told:
    """What is counted of one redrive."""

    def __init__(self, redrive_id: str, *, dry: bool) -> None:
        self._redrive_id = redrive_id
        self._dry = dry
        self.redriven = 0
        self.redriven_before = 0
        self.more = False
        self.kept: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def keep(self, letter: Envelope, reason: str) -> None:
        told = reason_in_common(reason)
        self.kept[told] += 1
        self.examples.setdefault(told, letter.event_id)

    def lack(self, letter_id: str) -> None:
        reason = "there is no such letter that the operator may know of"
        self.kept[reason] += 1
        self.examples.setdefault(reason, letter_id)

    def ended(self) -> RedriveEnded:
        return RedriveEnded(
            redrive_id=self._redrive_id,
            dry=self._dry,
            redriven=self.redriven,
            redriven_before=self.redriven_before,
            kept=tuple(
                LettersKept(reason=reason, letters=letters, example_id=self.examples[reason])
                for reason, letters in self.kept.most_common(REASONS_MAX)
            ),
            kept_count=self.kept.total(),
            more=self.more,
        )


class _Pace:
    """Lets so many records through each second, in small chunks."""

    def __init__(
        self, records_per_s: int, now_s: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self.chunk = max(1, records_per_s // CHUNKS_PER_S)
        self._per_s = records_per_s
        self._now_s = now_s
        self._sleep = sleep
        self._due_s = now_s()

    async def admit(self, records: int) -> None:
        """Wait until so many more may be written."""
        if (wait_s := self._due_s - self._now_s()) > 0:
            await self._sleep(wait_s)
        self._due_s = max(self._due_s, self._now_s()) + records / self._per_s
