"""Four repairs of faust-streaming 0.15.3, without which a restart loses and reorders inputs.

1. `Recovery.on_recovery_completed` lets stream partitions flow, then seeks them to the committed offsets and
   then clears the queues: what came in between is dropped without being read again. Here: seek first, and
   clear the queues before anything flows, with no await in between.
2. `Consumer._wait_next_records` hands its live set of active partitions to the client. When the
   set runs empty, aiokafka takes that for "all partitions" and drains records that are then thrown away.
   Here: a snapshot, and no fetch without partitions.

3. `Consumer.seek_to_committed` leaves a partition of which nothing was ever committed where it is. What was
   fetched of it while a rebalance began is thrown away and never read again. Here: to its beginning.

4. `Recovery._restart_recovery` waits for a signal that is taken back only by the task that reads changelogs
   one record at a time. Whole fetches pass that task by, so that the signal of one recovery stood for seconds
   and ended the next one after its first fetch: a shell went on from states of long ago. The same wait
   swallows that another rebalance began. Here: taken back when a recovery begins, and no table is handed over
   before it holds what its changelog held then.

All are needed; with the first alone the second race stalls a partition for ever. Upgrading Faust means
reading these methods again and running tests/streams/test_recovery_fix.py.
"""

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Final, cast

import faust
from faust.app.base import App
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.transport.consumer import Consumer
from faust.types import TP, EventT

REPAIRED_VERSION: Final = "0.15.3"
_IDLE_S: Final = 0.1


class UnknownFaustVersion(Exception):
    """The repairs were made for another version of Faust."""


def check_version(version: str = faust.__version__) -> None:
    """Refuse any version of Faust but the one that was repaired.

    Raises:
        UnknownFaustVersion: it is another one.
    """
    if version != REPAIRED_VERSION:
        raise UnknownFaustVersion(
            f"faust-streaming {version} is installed, and the repair of its table recovery was made for "
            f"{REPAIRED_VERSION}; without it inputs are lost"
        )


class TableIncomplete(Exception):
    """A recovery ended before its tables were whole; the process must not go on with them."""


class RepairedRecovery(Recovery):
    """Recovery that seeks and clears before partitions flow, and tells the app when its tables are whole."""

    def take(self, tp: TP, events: Sequence[EventT[object]]) -> None:
        """Apply what was fetched of one changelog, and end the recovery with the last of it.

        What `_slurp_changelogs` does for one event, with a wait and a sum over all partitions for each.
        """
        if tp not in self.active_tps:
            return
        seen_offset = self.active_offsets.get(tp)
        fresh = [one for one in events if seen_offset is None or one.message.offset > seen_offset]
        if fresh:
            self.tp_to_table[tp].apply_changelog_batch(fresh)
            self.active_offsets[tp] = fresh[-1].message.offset
            self._active_events_received_at[tp] = self._last_active_event_processed_at = monotonic()
        if self.in_recovery and not self.need_recovery():
            self._set_recovery_ended()
            self.signal_recovery_end.set()

    def _set_recovery_started(self) -> None:
        super()._set_recovery_started()
        self.signal_recovery_end.clear()

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Let streams flow after the tables are recovered.

        Raises:
            RebalanceAgain: another rebalance began, and with it another recovery.
            ServiceStopped: the process is about to end.
            TableIncomplete: they are not.
        """
        if self.should_stop:
            raise ServiceStopped
        if self.signal_recovery_start.is_set():
            raise RebalanceAgain
        if self.need_recovery():
            raise TableIncomplete(f"records of changelogs are not applied yet: {self.active_remaining()}")
        app = cast("App", self.app)
        await app.on_rebalance_complete.send()
        self._set_recovery_ended()
        for table in self.tables.values():
            await table.on_recovery_completed(self.actives_for_table[table], self.standbys_for_table[table])
        await self._flow(generation_id)

    async def _resume_streams(self, generation_id: int = 0) -> None:
        """Let streams flow in an app without tables."""
        await cast("App", self.app).on_rebalance_complete.send()
        await self._flow(generation_id)

    async def _flow(self, generation_id: int) -> None:
        app = cast("App", self.app)
        consumer = app.consumer
        assignment = consumer.assignment()
        if app.consumer_generation_id != generation_id:
            return
        if assignment:
            await self._wait(consumer.perform_seek(), timeout=app.conf.broker_request_timeout)
        streams = {tp for tp in assignment if not self._is_changelog_tp(tp)}
        recovered = getattr(app, "on_partitions_recovered", None)
        if recovered is not None:
            handing_over = asyncio.ensure_future(recovered(streams))
            await self._wait(handing_over)
            # What the app holds back stays paused until the next rebalance.
            streams -= handing_over.result()
        if app.consumer_generation_id != generation_id:
            return
        self.completed.set()
        # No await between these three: the queues are cleared while nothing can have come.
        app.flow_control.resume()
        consumer.resume_partitions(streams)
        consumer.resume_flow()
        await app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()


class RepairedTableManager(TableManager):
    """The table manager with the repaired recovery."""

    @property
    def recovery(self) -> Recovery:
        """Return the recovery service."""
        if self._recovery is None:
            self._recovery = RepairedRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


class RepairedFetching(Consumer):
    """A consumer whose client gets a snapshot of the active partitions, and that seeks all partitions."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to what is committed; to the beginning where nothing is."""
        committed = await super().seek_to_committed()  # type: ignore[safe-super]  # the driver follows
        # The client takes 0 for nothing, too.
        untouched = [tp for tp, offset in committed.items() if not offset and not self._is_changelog_tp(tp)]
        if not untouched:
            return committed
        earliest = await self.earliest_offsets(*untouched)
        await self.seek_wait(earliest)
        return {**committed, **earliest}

    async def _wait_next_records(
        self,
        timeout: float,  # noqa: ASYNC109  # the signature is Faust's
    ) -> tuple[dict[TP, list[object]] | None, set[TP] | None]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # mode takes asyncio's Event
        try:
            self.not_waiting_next_records.clear()
            active = set(self._get_active_partitions())
            if not active:
                await asyncio.sleep(_IDLE_S)
                return {}, active
            records = await self._getmany(active_partitions=active, timeout=timeout)
            return cast("dict[TP, list[object]]", records), active
        finally:
            self.not_waiting_next_records.set()
