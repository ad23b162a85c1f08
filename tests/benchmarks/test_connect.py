"""The benchmark beside Kafka Connect: what of its looks counts, and what it runs on."""

from pathlib import Path

import pytest

from connectors.embedded.stack import Endpoints
from tests.benchmarks.connect import Pace, Sample, pace
from tests.benchmarks.connect_jars import EXCLUDED, LOCK_PATH, ROOTS, read, write
from tests.benchmarks.connect_worker import worker_settings


def look(at_s: float, rows: int, *, sink_s: float = 0.0, postgres_s: float = 0.0) -> Sample:
    return Sample(at_s=at_s, rows=rows, sink_s=sink_s, postgres_s=postgres_s)


def test_neither_the_start_nor_the_wait_for_the_last_look_counts() -> None:
    samples = [
        look(0.0, 0),
        look(10.0, 50, sink_s=9.0),
        look(11.0, 200, sink_s=10.0, postgres_s=1.0),
        look(12.0, 500, sink_s=10.75, postgres_s=1.375),
        look(90.0, 1_000, sink_s=80.0, postgres_s=9.0),
    ]

    assert pace(samples, warm_up=100, records=1_000) == Pace(
        records_per_s=300.0, sink_us=2_500.0, postgres_us=1_250.0
    )


@pytest.mark.parametrize("rows", [[0, 1_000], [0, 500, 1_000], [0, 500, 500, 1_000]])
def test_a_sink_that_is_done_between_two_looks_has_no_pace(rows: list[int]) -> None:
    samples = [look(float(number), count) for number, count in enumerate(rows)]

    with pytest.raises(ValueError, match="900 records are too few"):
        pace(samples, warm_up=100, records=1_000)


def test_the_lock_has_what_was_asked_for_and_nothing_that_is_excluded() -> None:
    jars = read()

    assert [f"{own[0].group}:{own[0].name}:{own[0].version}" for own in jars.values()] == [*ROOTS.values()]
    assert jars.keys() == ROOTS.keys()
    plugins = {f"{jar.group}:{jar.name}" for name in ("sink", "converter") for jar in jars[name]}
    assert not plugins & EXCLUDED


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(read(), tmp_path / "lock.json")

    assert (tmp_path / "lock.json").read_bytes() == LOCK_PATH.read_bytes()


def test_the_converter_is_sent_to_the_registry_beside_the_interface_that_we_use(tmp_path: Path) -> None:
    endpoints = Endpoints(
        gateway_postgres_dsn="",
        kafka_bootstrap="127.0.0.1:1",
        registry_url="http://127.0.0.1:2/apis/ccompat/v7",
        postgres_dsn="",
        tiktoken_cache_directory=tmp_path,
    )

    settings = worker_settings(endpoints, tmp_path)

    assert settings["value.converter.apicurio.registry.url"] == "http://127.0.0.1:2/apis/registry/v2"
