"""Records in memory and on disk pass the suite of all stores."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from faust.types import TP, AppT, CollectionT

from streams.engine.disk_store import DiskStore
from streams.engine.table import MemoryStore
from tests.streams.store_conformance import PARTITIONS, StoreConformance


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def rows(self) -> MemoryStore:
        app = cast("AppT", SimpleNamespace(conf=None))
        table = cast("CollectionT", SimpleNamespace(name="states"))
        return MemoryStore("memory://", app, table, key_type=bytes, value_type=bytes)


class TestDiskStore(StoreConformance):
    @pytest.fixture
    async def rows(self, tmp_path: Path) -> AsyncIterator[DiskStore]:
        owned = {TP("log", partition): -1 for partition in PARTITIONS}
        recovery = SimpleNamespace(active_highwaters=owned)
        app = cast("AppT", SimpleNamespace(tables=SimpleNamespace(recovery=recovery), conf=None))
        table = cast("CollectionT", SimpleNamespace(name="states"))
        store = DiskStore(app, table, path=tmp_path / "states", partition_of=None)
        await store.on_recovery_completed(set(owned), set())
        yield store
        await store.on_stop()
