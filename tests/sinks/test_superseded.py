"""Which snapshots a newer one makes useless."""

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from sinks.snapshot import Manifest, Member
from sinks.superseded import superseded

HERE, THERE = "0b0c8a24-7a52-4a55-9b2b-f2e2f3f1a001", "0b0c8a24-7a52-4a55-9b2b-f2e2f3f1a002"


def write(
    path: Path,
    reached: Mapping[tuple[str, int], int],
    *,
    age: int = 0,
    topic_id: str = HERE,
    tables: tuple[str, ...] = ("tasks_v2",),
    broken: bool = False,
) -> Path:
    """Write a file of a snapshot's form, last changed so many seconds before a fixed moment."""
    lines = [f"postgres\t{topic}\t{number}\t{topic_id}\t{to}\n" for (topic, number), to in reached.items()]
    texts = {"sink_offsets": "".join(lines), **dict.fromkeys(tables, "1\ta\n")}
    columns = ("sink", "topic", "partition", "topic_id", "next_offset")
    members = tuple(
        Member(table=name, columns=columns, rows=1, sha256=hashlib.sha256(text.encode()).hexdigest())
        for name, text in texts.items()
    )
    offsets = {f"{topic}/{number}": to for (topic, number), to in reached.items()}
    manifest = Manifest(form=1, made_by="x", records=sum(reached.values()), offsets=offsets, members=members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in texts.items():
            archive.writestr(name, text + ("damaged" if broken and name != "sink_offsets" else ""))
        archive.writestr("manifest.json", json.dumps(asdict(manifest)))
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def names(folder: Path) -> dict[str, str]:
    return {one.path.name: one.by.name for one in superseded(folder)}


def test_one_that_reaches_as_far_everywhere_makes_earlier_ones_useless(tmp_path: Path) -> None:
    write(tmp_path / "old", {("plans", 0): 5, ("plans", 1): 2}, age=20)
    write(tmp_path / "middle", {("plans", 0): 5, ("plans", 1): 3}, age=10)
    write(tmp_path / "new", {("plans", 0): 9, ("plans", 1): 3, ("redrives", 0): 1})
    (tmp_path / "notes.txt").write_text("no snapshot")

    assert names(tmp_path) == {"old": "new", "middle": "new"}


def test_of_two_that_reach_equally_far_the_newer_stays(tmp_path: Path) -> None:
    write(tmp_path / "a", {("plans", 0): 5})
    write(tmp_path / "b", {("plans", 0): 5}, age=10)

    assert names(tmp_path) == {"b": "a"}


@pytest.mark.parametrize(
    "other",
    [
        {"reached": {("plans", 0): 9}},  # of a partition it knows nothing
        {"reached": {("plans", 0): 9, ("plans", 1): 1}},  # it reaches less far in one
        {"reached": {("plans", 0): 9, ("plans", 1): 9}, "topic_id": THERE},  # of another log
        {"reached": {("plans", 0): 9, ("plans", 1): 9}, "tables": ()},  # it lacks a table
        {"reached": {("plans", 0): 9, ("plans", 1): 9}, "broken": True},  # it could not be used
        {"reached": {("plans", 0): 9, ("plans", 1): 9}, "age": 99},  # an older program may have made it
    ],
)
def test_one_that_does_not_have_all_of_it_makes_nothing_useless(
    tmp_path: Path, other: dict[str, object]
) -> None:
    write(tmp_path / "old", {("plans", 0): 5, ("plans", 1): 2}, age=20)
    write(tmp_path / "other", **other)  # type: ignore[arg-type]  # as the table has them

    assert names(tmp_path) == {}


def test_what_was_replaced_meanwhile_is_not_deleted(tmp_path: Path) -> None:
    old = write(tmp_path / "old", {("plans", 0): 5}, age=20)
    write(tmp_path / "new", {("plans", 0): 9})
    (found,) = superseded(tmp_path)
    write(old, {("plans", 0): 12})

    with pytest.raises(OSError, match="replaced meanwhile"):
        found.remove()
    assert old.exists()


def test_what_is_useless_is_deleted_once(tmp_path: Path) -> None:
    write(tmp_path / "old", {("plans", 0): 5}, age=20)
    write(tmp_path / "new", {("plans", 0): 9})
    (found,) = superseded(tmp_path)

    found.remove()
    found.remove()

    assert [path.name for path in tmp_path.iterdir()] == ["new"]
