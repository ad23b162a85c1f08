"""Whatever bytes a header's name has, its record is read, and so are its neighbours."""

import pytest
from aiokafka import TopicPartition  # type: ignore[import-untyped]  # it ships no types
from aiokafka.consumer import fetcher  # type: ignore[import-untyped]  # as above
from aiokafka.record import default_records  # type: ignore[import-untyped]  # as above

from topics import header_names

header_names.repair()
PLACE = TopicPartition("user.inputs", 0)
READ_UNCOMMITTED = 0


class Name(str):
    """A header's name that a client of another language writes."""

    __slots__ = ("raw",)
    raw: bytes

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.raw


def name(raw: bytes) -> str:
    made = Name("name")
    made.raw = raw
    return made


def batch(base_offset: int, names: list[bytes], *, compression: int = 0) -> bytes:
    """Write a batch of records, each with one header of a name."""
    builder = default_records._DefaultRecordBatchBuilderPy(2, compression, False, -1, -1, -1, 100_000)
    for number, raw in enumerate(names):
        headers = [(name(raw), b"v" if number % 2 else None)]
        builder.append(number, 1_000 + number, b"key" if number % 2 else None, b"value", headers)
    built = bytearray(builder.build())
    built[:8] = base_offset.to_bytes(8, "big")
    return bytes(built)


def read(
    data: bytes,
) -> list[tuple[int, int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]]:
    found = fetcher.PartitionRecords(
        PLACE, fetcher.MemoryRecords(data), None, 0, None, None, True, READ_UNCOMMITTED
    )
    return [(one.offset, one.timestamp, one.key, one.value, one.headers) for one in found]


@pytest.mark.parametrize("compression", [0, 1, 2, 3, 4])
def test_a_name_that_is_not_utf_8_is_read_and_so_are_its_neighbours(compression: int) -> None:
    data = batch(0, [b"plain"]) + batch(1, [b"a", b"\xff\xfe", b"\xc3\xb6"], compression=compression)

    assert read(data + batch(4, [b"plain"])) == [
        (0, 1_000, None, b"value", (("plain", None),)),
        (1, 1_000, None, b"value", (("a", None),)),
        (2, 1_001, b"key", b"value", (("\\xff\\xfe", b"v"),)),
        (3, 1_002, None, b"value", (("ö", None),)),
        (4, 1_000, None, b"value", (("plain", None),)),
    ]


def test_another_version_of_aiokafka_is_refused() -> None:
    with pytest.raises(header_names.UnknownAiokafkaVersion, match=r"0\.15\.0 is installed"):
        header_names.repair("0.15.0")


def test_without_the_repair_the_record_ends_its_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiokafka.record.memory_records import MemoryRecords  # type: ignore[import-untyped]

    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)

    with pytest.raises(UnicodeDecodeError):
        read(batch(0, [b"\xff\xfe"]))
