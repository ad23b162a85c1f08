"""The repairs of Faust's recovery, each beside what Faust itself does, which loses records."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest
from faust.app.base import App
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from streams.engine.recovery_fix import (
    RepairedFetching,
    RepairedRecovery,
    TableIncomplete,
    UnknownFaustVersion,
    check_version,
)
from streams.engine.transport import ShellConsumer

STREAM = TP("inputs", 0)
CHANGELOG = TP("changelog", 0)


class Broker:
    """A consumer that delivers as soon as a partition flows, and seeks with a pause as a real one does."""

    def __init__(self) -> None:
        self.flow = FlowControlEvent(loop=asyncio.get_running_loop())
        self.queue: ThrowableQueue[int] = ThrowableQueue(flow_control=self.flow, clear_on_resume=True)
        self.flow.suspend()
        self.position = 0
        self.sought = False

    def assignment(self) -> set[TP]:
        return {STREAM}

    def resume_partitions(self, partitions: set[TP]) -> None:
        if STREAM in partitions:
            self.deliver()

    async def perform_seek(self) -> None:
        await asyncio.sleep(0)
        self.sought = True

    def resume_flow(self) -> None:
        return

    def deliver(self) -> None:
        """Hand over the next record; the position moves on, as the fetcher's does."""
        self.queue._queue.append(self.position)  # type: ignore[attr-defined]  # delivery past the flow's gate
        self.position += 1


async def recovered_by(recovery_class: type[Recovery]) -> Broker:
    """Complete a recovery, and return the consumer."""
    broker = Broker()
    done = asyncio.Event()

    async def send() -> None:
        return

    async def maybe_start() -> None:
        done.set()

    app = SimpleNamespace(
        consumer=broker,
        on_rebalance_complete=SimpleNamespace(send=send),
        consumer_generation_id=1,
        conf=SimpleNamespace(broker_request_timeout=5, stream_recovery_delay=0),
        flow_control=broker.flow,
        _fetcher=SimpleNamespace(maybe_start=maybe_start),
        assignor=SimpleNamespace(assigned_standbys=set),
        on_rebalance_end=lambda: None,
        in_recovery=True,
        tracer=None,
    )
    tables = cast("TableManager", _Tables())
    recovery = recovery_class(cast("App", app), tables)
    recovery.actives_for_table = defaultdict(set)
    recovery.standbys_for_table = defaultdict(set)
    await recovery.on_recovery_completed(1)
    assert done.is_set()
    return broker


class _Tables(dict[str, object]):
    changelog_topics: frozenset[str] = frozenset()
    _changelogs: Mapping[str, object]
    changelog_queue: asyncio.Queue[object]

    def on_actives_ready(self) -> None:
        return

    def on_standbys_ready(self) -> None:
        return


async def test_records_that_come_once_partitions_flow_are_still_there_when_recovery_ends() -> None:
    broker = await recovered_by(RepairedRecovery)

    assert broker.sought
    assert list(broker.queue._queue) == [0]  # type: ignore[attr-defined]  # what a shell would get next


async def test_faust_itself_drops_them_which_is_why_it_is_repaired() -> None:
    broker = await recovered_by(Recovery)

    assert broker.position == 1
    assert list(broker.queue._queue) == []  # type: ignore[attr-defined]  # the record is gone


async def fetched_by(wait_next_records: Callable[..., Awaitable[object]]) -> set[TP]:
    """Fetch while the active partitions are paused; return the partitions that the fetcher saw at its end."""
    active = {STREAM}
    seen: list[set[TP]] = []

    async def getmany(active_partitions: set[TP], **_options: object) -> dict[TP, list[object]]:
        active.clear()  # recovery pauses the changelogs while the consumer's thread fetches
        seen.append(active_partitions)
        return {}

    consumer = SimpleNamespace(
        flow_active=True,
        app=SimpleNamespace(client_only=False),
        not_waiting_next_records=asyncio.Event(),
        _get_active_partitions=lambda: active,
        _getmany=getmany,
    )
    await wait_next_records(consumer, 1.0)
    return seen[0]


async def test_a_fetch_keeps_to_the_partitions_that_were_active_when_it_began() -> None:
    assert await fetched_by(RepairedFetching._wait_next_records) == {STREAM}


async def test_faust_itself_hands_over_a_set_that_runs_empty_which_the_client_takes_for_all() -> None:
    assert await fetched_by(Consumer._wait_next_records) == set()


class Client:
    """A client's thread: one partition has a commit, one has none, one is committed at 0."""

    def __init__(self) -> None:
        self.positions = {STREAM: 3, TP("inputs", 1): 3, TP("inputs", 2): 3, CHANGELOG: 3}

    async def seek_to_committed(self) -> dict[TP, int | None]:
        """Seek as the client does, which takes 0 for nothing."""
        self.positions[STREAM] = 7
        return {STREAM: 7, TP("inputs", 1): None, TP("inputs", 2): 0, CHANGELOG: None}

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        return dict.fromkeys(partitions, 1)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        self.positions.update(partitions)


async def sought_by(consumer_class: type[driver.Consumer]) -> dict[TP, int]:
    """Return where a consumer reads on after it was told to seek."""
    client = Client()
    consumer = consumer_class.__new__(consumer_class)
    tables = SimpleNamespace(changelog_topics={CHANGELOG.topic})
    vars(consumer).update(_thread=client, app=SimpleNamespace(tables=tables))
    await consumer.seek_to_committed()
    return client.positions


async def test_a_partition_of_which_nothing_was_committed_is_read_from_its_beginning_again() -> None:
    positions = await sought_by(ShellConsumer)

    assert positions == {STREAM: 7, TP("inputs", 1): 1, TP("inputs", 2): 1, CHANGELOG: 3}


async def test_faust_itself_leaves_it_where_it_is_behind_what_was_thrown_away() -> None:
    positions = await sought_by(driver.Consumer)

    assert positions == {STREAM: 7, TP("inputs", 1): 3, TP("inputs", 2): 3, CHANGELOG: 3}


def test_another_version_of_faust_is_refused_until_the_repairs_are_read_again() -> None:
    check_version("0.15.3")
    with pytest.raises(UnknownFaustVersion, match=r"0\.16\.0"):
        check_version("0.16.0")


class _Table(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]  # Faust keeps tables as keys


class Changelogs:
    """A consumer of changelogs that hold four records a partition; hands over only what it is told to."""

    def __init__(self) -> None:
        self.flows = 0

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        return dict.fromkeys(partitions, 4)

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        return dict.fromkeys(partitions, 0)

    async def seek_wait(self, _partitions: Mapping[TP, int]) -> None:
        return

    def resume_partitions(self, _partitions: set[TP]) -> None:
        return

    def pause_partitions(self, _partitions: set[TP]) -> None:
        return

    def resume_flow(self) -> None:
        self.flows += 1


class Recovering:
    """A recovery at work, and what it has applied whenever it was complete."""

    def __init__(self, recovery_class: type[RepairedRecovery]) -> None:
        self.applied: list[tuple[int, int]] = []
        self.complete: list[list[tuple[int, int]]] = []
        self.consumer = Changelogs()
        self.actives: set[TP] = set()
        self.app = SimpleNamespace(
            consumer=self.consumer,
            consumer_generation_id=0,
            conf=SimpleNamespace(
                broker_request_timeout=5,
                stream_recovery_delay=0,
                store="memory:",
                recovery_consistency_check=True,
            ),
            flow_control=SimpleNamespace(resume=lambda: None),
            _fetcher=SimpleNamespace(maybe_start=_nothing),
            _producer=None,
            _rebalancing_span=None,
            assignor=SimpleNamespace(assigned_standbys=set, assigned_actives=lambda: self.actives),
            on_rebalance_complete=SimpleNamespace(send=_nothing),
            in_recovery=False,
            in_transaction=False,
            tracer=None,
        )
        table = _Table(
            persisted_offset=lambda _: None,
            apply_changelog_batch=self._apply,
            recovery_buffer_size=1_000,
            on_recovery_completed=_nothing_of,
        )
        tables = _Tables(table=table)
        tables._changelogs = {CHANGELOG.topic: table}
        tables.changelog_queue = asyncio.Queue()

        class Watched(recovery_class):  # type: ignore[valid-type, misc]  # one of the class under test
            async def _flow(watched, generation_id: int = 0) -> None:  # noqa: N805  # `self` is the scene
                self.complete.append(list(self.applied))

        self.recovery = Watched(cast("App", self.app), cast("TableManager", tables))

    def _apply(self, events: list[SimpleNamespace]) -> None:
        self.applied += [(one.message.partition, one.message.offset) for one in events]

    async def rebalance(self, *partitions: int) -> None:
        """Begin to recover these, and no others, and return when records may come."""
        flows = self.consumer.flows
        self.actives = {TP(CHANGELOG.topic, number) for number in partitions}
        self.app.consumer_generation_id += 1
        await self.recovery.on_rebalance(self.actives, set(), self.actives, self.app.consumer_generation_id)
        async with asyncio.timeout(5):
            while self.consumer.flows == flows:  # noqa: ASYNC110  # Faust knows no observer
                await asyncio.sleep(0)

    async def fetch(self, partition: int, *offsets: int) -> None:
        """Hand over records, and let the recovery go as far as it will."""
        messages = [SimpleNamespace(partition=partition, offset=offset) for offset in offsets]
        events = [SimpleNamespace(message=message) for message in messages]
        self.recovery.take(TP(CHANGELOG.topic, partition), events)
        for _ in range(20):
            await asyncio.sleep(0)


async def _nothing() -> None:
    return


async def _nothing_of(*_: object) -> None:
    return


@asynccontextmanager
async def recovering(recovery_class: type[RepairedRecovery]) -> AsyncIterator[Recovering]:
    scene = Recovering(recovery_class)
    await scene.recovery.start()
    try:
        yield scene
    finally:
        await scene.recovery.stop()


async def test_a_recovery_right_after_another_ends_only_when_its_own_tables_are_whole() -> None:
    async with recovering(RepairedRecovery) as scene:
        await scene.rebalance(0)
        await scene.fetch(0, 0, 1, 2, 3)
        await scene.rebalance(1)
        await scene.fetch(1, 0, 1)
        assert len(scene.complete) == 1

        await scene.fetch(1, 2, 3)

    assert [len(applied) for applied in scene.complete] == [4, 8]


async def test_a_signal_left_standing_ends_the_next_recovery_at_once_which_is_why_it_is_taken_back() -> None:
    class SignalStands(RepairedRecovery):
        _set_recovery_started = Recovery._set_recovery_started

        async def on_recovery_completed(self, generation_id: int = 0) -> None:
            await self._flow(generation_id)

    async with recovering(SignalStands) as scene:
        await scene.rebalance(0)
        await scene.fetch(0, 0, 1, 2, 3)
        await scene.rebalance(1)
        await scene.fetch(1, 0)

    assert [len(applied) for applied in scene.complete] == [4, 5]


async def test_a_table_that_is_not_whole_is_never_handed_over() -> None:
    async with recovering(RepairedRecovery) as scene:
        await scene.rebalance(0)
        await scene.fetch(0, 0, 1)

        with pytest.raises(TableIncomplete, match="not applied"):
            await scene.recovery.on_recovery_completed(1)

    assert scene.complete == []
