"""What every store of a shell's table must do; a subclass gives the fixture `rows`, which owns PARTITIONS."""

from collections.abc import Sequence
from random import Random
from types import SimpleNamespace
from typing import Final, cast

import pytest
from faust.types import EventT

from streams.engine.disk_store import DiskStore
from streams.engine.table import MemoryStore
from streams.records.delivery import Entry

PARTITIONS: Final = (0, 1, 2)
KEYS: Final = tuple(f"key-{number}".encode() for number in range(8))
Rows = MemoryStore | DiskStore
Written = tuple[Entry, int]


def partition_of(key: bytes) -> int:
    """Return where a key belongs."""
    return KEYS.index(key) % len(PARTITIONS)


def recovered(written: Sequence[Written]) -> list[EventT[object]]:
    """Make what a recovery reads of the changelog."""
    return [
        cast(
            "EventT[object]",
            SimpleNamespace(
                message=SimpleNamespace(
                    key=entry.key, value=entry.value, partition=entry.partition, offset=offset
                )
            ),
        )
        for entry, offset in written
    ]


class StoreConformance:
    """The suite."""

    @pytest.mark.parametrize("seed", range(20))
    def test_it_holds_what_was_written_last_whether_by_the_shell_or_by_a_recovery(
        self, rows: Rows, seed: int
    ) -> None:
        random = Random(seed)
        model: dict[bytes, bytes] = {}
        offsets = dict.fromkeys(PARTITIONS, 0)
        for step in range(40):
            written: list[Written] = []
            for key in random.choices(KEYS, k=random.randint(1, 4)):
                value = None if random.random() < 0.3 else f"{seed}/{step}/{len(written)}".encode()
                partition = partition_of(key)
                written.append((Entry(key=key, value=value, partition=partition), offsets[partition]))
                offsets[partition] += 1
                model.pop(key, None)
                if value is not None:
                    model[key] = value
            if random.random() < 0.3:
                rows.apply_changelog_batch(recovered(written), lambda key: key, lambda value: value)
            else:
                rows.put(written)

            assert {key: rows.read(key) for key in KEYS} == {key: model.get(key) for key in KEYS}
            assert dict(rows.rows()) == model

    def test_a_key_that_never_was_has_no_record_and_may_be_removed(self, rows: Rows) -> None:
        rows.put([(Entry(key=KEYS[0], value=None, partition=0), 0)])

        assert rows.read(KEYS[0]) is None
        assert list(rows.rows()) == []

    def test_keys_and_records_are_any_bytes(self, rows: Rows) -> None:
        keys = [b"", b"\x00", b"\xff" * 40, bytes(range(256))]
        rows.put([(Entry(key=key, value=key + b"\x00", partition=1), n) for n, key in enumerate(keys)])

        assert dict(rows.rows()) == {key: key + b"\x00" for key in keys}

    def test_whoever_goes_over_the_records_may_change_them_meanwhile(self, rows: Rows) -> None:
        rows.put([(Entry(key=key, value=b"1", partition=partition_of(key)), n) for n, key in enumerate(KEYS)])
        seen = []

        for number, (key, value) in enumerate(rows.rows()):
            seen.append((key, value))
            rows.put([(Entry(key=key, value=None, partition=partition_of(key)), len(KEYS) + number)])

        assert sorted(seen) == [(key, b"1") for key in KEYS]
        assert list(rows.rows()) == []

    def test_what_a_recovery_read_is_counted_in_bytes(self, rows: Rows) -> None:
        entry = Entry(key=KEYS[0], value=b"12345", partition=0)

        rows.apply_changelog_batch(recovered([(entry, 0)]), lambda key: key, lambda value: value)

        assert rows.recovered_bytes == len(KEYS[0]) + 5
