"""Records of a table on disk: what a start finds, and from where it has to read the changelog again."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from faust.types import TP, AppT, CollectionT, EventT

from streams.engine.disk_store import UNUSED_MS_MAX, Applied, DiskStore
from streams.process.ending import ShellStopped
from streams.records.delivery import Entry

NOW_MS = 1_700_000_000_000


class Scene:
    """A store, closed and opened again as its process ends and starts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_ms = NOW_MS
        self.ends: dict[TP, int] = {}
        self.app = SimpleNamespace(
            tables=SimpleNamespace(recovery=SimpleNamespace(active_highwaters=self.ends)), conf=None
        )
        self.store = self.opened()

    def opened(self) -> DiskStore:
        table = cast("CollectionT", SimpleNamespace(name="states"))
        return DiskStore(
            cast("AppT", self.app),
            table,
            path=self.path,
            partition_of=None,
            now_ms=lambda: self.now_ms,
        )

    async def owns(self, *partitions: int, end: int = 0) -> None:
        """Recover these partitions up to an offset that is the next to be written."""
        self.ends.clear()
        self.ends.update({TP("log", partition): end - 1 for partition in partitions})
        await self.store.on_recovery_completed(set(self.ends), set())

    async def restarts(self) -> None:
        await self.store.on_stop()
        self.store = self.opened()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "states")


def entry(key: str, value: str | None, partition: int = 0) -> Entry:
    return Entry(key=key.encode(), value=None if value is None else value.encode(), partition=partition)


def recovered(*records: tuple[str, str | None, int, int]) -> Sequence[EventT[object]]:
    """Return records of a changelog: key, value, partition and offset."""
    events = [
        SimpleNamespace(
            message=SimpleNamespace(
                key=key.encode(),
                value=None if value is None else value.encode(),
                partition=partition,
                offset=offset,
            )
        )
        for key, value, partition, offset in records
    ]
    return cast("Sequence[EventT[object]]", events)


async def test_what_was_written_is_there_after_a_start_and_need_not_be_read_again(scene: Scene) -> None:
    await scene.owns(0, 1)
    scene.store.put([(entry("a", "1"), 0), (entry("b", "2", 1), 0), (entry("a", "3"), 1)])
    await scene.restarts()

    offsets = [scene.store.persisted_offset(TP("log", partition)) for partition in (0, 1, 2)]
    await scene.owns(0, 1, end=2)

    assert offsets == [1, 0, None]
    assert dict(scene.store.rows()) == {b"a": b"3", b"b": b"2"}
    assert scene.store.read(b"a") == b"3"


async def test_a_removed_key_is_gone_for_good(scene: Scene) -> None:
    await scene.owns(0)
    scene.store.put([(entry("a", "1"), 0), (entry("b", "1"), 1)])
    scene.store.put([(entry("a", None), 2)])
    await scene.restarts()
    await scene.owns(0, end=3)

    assert scene.store.read(b"a") is None
    assert dict(scene.store.rows()) == {b"b": b"1"}


async def test_an_offset_counts_only_when_everything_before_it_is_there(scene: Scene) -> None:
    await scene.owns(0)
    scene.store.put([(entry("late", "1"), 1)])
    before = scene.store.persisted_offset(TP("log", 0))
    scene.store.put([(entry("early", "1"), 0)])

    assert before == -1
    assert scene.store.persisted_offset(TP("log", 0)) == 1


async def test_partitions_of_others_are_kept_and_not_shown(scene: Scene) -> None:
    await scene.owns(0, 1)
    scene.store.put([(entry("a", "1", 0), 0), (entry("b", "1", 1), 0)])

    await scene.owns(1, end=1)

    assert scene.store.read(b"a") is None
    assert [key for key, _ in scene.store.rows()] == [b"b"]
    assert scene.store.persisted_offset(TP("log", 0)) == 0


async def test_a_recovery_writes_records_together_with_how_far_it_came(scene: Scene) -> None:
    scene.store.apply_changelog_batch(
        recovered(("a", "1", 0, 7), ("b", "1", 1, 3), ("a", None, 0, 9)), lambda key: key, lambda value: value
    )

    assert scene.store.persisted_offset(TP("log", 0)) == 9
    assert scene.store.persisted_offset(TP("log", 1)) == 3
    await scene.owns(0, 1, end=10)
    assert dict(scene.store.rows()) == {b"b": b"1"}
    assert scene.store.recovered_bytes == 5


async def test_what_was_not_used_for_long_is_read_again_since_removed_keys_may_be_forgotten(
    scene: Scene,
) -> None:
    await scene.owns(0, 1)
    scene.store.put([(entry("removed meanwhile", "1"), 0)])
    scene.now_ms += UNUSED_MS_MAX + 1
    scene.store.put([(entry("b", "1", 1), 0)])
    await scene.restarts()

    assert scene.store.persisted_offset(TP("log", 0)) is None
    assert scene.store.persisted_offset(TP("log", 1)) == 0
    await scene.owns(0, 1, end=1)
    assert dict(scene.store.rows()) == {b"b": b"1"}


async def test_a_folder_that_another_process_uses_is_refused_with_a_reason(scene: Scene) -> None:
    await scene.owns(0)

    with pytest.raises(ShellStopped, match="cannot be opened"):
        scene.opened().persisted_offset(TP("log", 0))


def test_a_hole_in_the_offsets_stops_the_count_for_good() -> None:
    applied = Applied(5)
    for offset in (5, 6, 8, 9):
        applied.add(offset)

    assert applied.last == 6
