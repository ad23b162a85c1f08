"""Finds calls of which the ledger's entry cannot be read, on the topics that keep everything.

Such a call may have run or not. It is taken up as one that may have, so that its session is told instead of
waiting for its deadline; one that has an outcome on the log is done.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from schemas.wire.codec import Codec, UndecodableError
from schemas.wire.registry import RegistryUnavailable
from sinks.errors import RecordsMissing
from sinks.log_reader import whole
from streams.effects.admission import Admission
from streams.effects.calls import Call
from streams.effects.ledger import Status, call_key
from streams.records.delivery import Delivery, Entry
from topics.catalog import MODEL_CALLS, MODEL_RESULTS, TOOL_CALLS, TOOL_RESULTS

_log = structlog.get_logger()
RESULTS: Final = {MODEL_CALLS.name: MODEL_RESULTS.name, TOOL_CALLS.name: TOOL_RESULTS.name}
"""By topic of calls, where their outcomes stand, on the partition of the same number."""
_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OnTheLog:
    """What the log says of some calls."""

    asked: Sequence[Delivery] = ()
    """Records of the calls' topic that name one of them, in order; not only those that ask for one."""
    ended: frozenset[str] = field(default=frozenset())
    """Those that have an outcome."""


class LogOfCalls(Protocol):
    """Where calls and their outcomes stand."""

    async def find(self, partition: int, call_ids: Collection[str]) -> OnTheLog:
        """Look for calls on one partition.

        Raises:
            KafkaError, RegistryUnavailable: one of them is away.
            RecordsMissing: the log does not reach back to its beginning.
        """
        ...


class KafkaLogOfCalls:
    """Reads it from Kafka, from beginning to end: calls are only looked for when a table was damaged."""

    def __init__(self, *, kafka_bootstrap: str, topic_prefix: str, codec: Codec, source: str) -> None:
        """Connect nothing yet.

        Args:
            kafka_bootstrap: host:port, several by commas.
            topic_prefix: before topic names.
            codec: reads values.
            source: topic of the calls.
        """
        self._bootstrap = kafka_bootstrap
        self._prefix = topic_prefix
        self._codec = codec
        self._source = source

    async def find(self, partition: int, call_ids: Collection[str]) -> OnTheLog:
        """Look for calls on one partition; see `LogOfCalls`."""
        named = re.compile(b"|".join(re.escape(one.encode()) for one in sorted(call_ids)))
        asked = await self._naming(named, self._source, partition)
        ended = set()
        for record in await self._naming(named, RESULTS[self._source], partition):
            try:
                body = (await self._codec.decode(record.value, record.headers)).body
            except UndecodableError:
                continue
            ended.add(getattr(body, "call_id", ""))
        return OnTheLog(asked=asked, ended=frozenset(ended & set(call_ids)))

    async def _naming(self, named: re.Pattern[bytes], topic: str, partition: int) -> list[Delivery]:
        # Avro writes texts as they are, so that most records need not be decoded.
        read = whole(self._bootstrap, self._prefix, topic, partition)
        async with aclosing(read) as batches:
            return [
                Delivery(
                    topic=topic,
                    partition=partition,
                    offset=one.place.offset,
                    key=one.key,
                    value=one.value,
                    headers=one.headers,
                    timestamp_ms=one.place.timestamp_ms,
                )
                async for some in batches
                for one in some
                if one.value is not None and named.search(one.value)
            ]


class Recall:
    """Makes entries anew for calls of one shell."""

    def __init__(
        self, log: LogOfCalls, admission: Admission, *, shell: str, now_ms: Callable[[], int]
    ) -> None:
        """Take where calls stand, what is asked of them before they may run, and the clock."""
        self._log = log
        self._admission = admission
        self._shell = shell
        self._now_ms = now_ms

    async def calls(
        self, partition: int, call_ids: Collection[str], check: Callable[[], None]
    ) -> tuple[list[Entry], list[Call]]:
        """Return what the ledger is to hold of calls that it has lost, and those of them that are not done.

        A call that nobody asked for leaves the ledger.

        Args:
            partition: of the calls.
            call_ids: at least one.
            check: raises OwnershipLost when the partitions were revoked in the meantime.
        """
        try:
            found = await self._patiently(lambda: self._log.find(partition, call_ids), check)
        except RecordsMissing as error:
            _log.error("calls_not_recalled", shell=self._shell, partition=partition, reason=str(error))
            return [], []
        entries, calls = [], []
        for call_id in sorted(call_ids):
            call = await self._admission.again(found.asked, call_id)
            check()
            if call is None:
                entries.append(Entry(key=call_key(call_id), value=None, partition=partition))
                continue
            call.entry.move_to(Status.DISPATCHED)
            call.recovered = call.may_have_run = True
            if call_id in found.ended:
                call.end([])
                call.finish(self._now_ms())
            else:
                calls.append(call)
            entries.append(call.stored())
            is_done = call_id in found.ended
            _log.warning("call_recalled", shell=self._shell, call_id=call_id, is_done=is_done)
        return entries, calls

    async def _patiently(
        self, find: Callable[[], Awaitable[OnTheLog]], check: Callable[[], None]
    ) -> OnTheLog:
        while True:
            try:
                found = await find()
            except (KafkaError, RegistryUnavailable) as error:
                _log.warning("calls_not_recalled_yet", shell=self._shell, reason=repr(error))
                await asyncio.sleep(_RETRY_S)
                check()
            else:
                check()
                return found
