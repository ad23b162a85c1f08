"""Topics that somebody tuned: what breaks a promise is refused with its reason, all else is told."""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from faust.types import AppT

from streams.engine.assignor import ClippedCluster, ShellAssignor
from topics.catalog import BY_NAME, TOPICS
from topics.specs import Difference, Existing, TopicSpec, compare, specs_of
from topics.tables import TABLES, changelog_of

SPECS = {spec.name: spec for spec in specs_of("", 8, 3, 8_000)}
KEYED = tuple(topic.name for topic in TOPICS if topic.partitions is None and topic.name != "user.inputs")
CHANGELOGS = tuple(changelog_of("", table) for table in TABLES)
DEFAULTS = {
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "delete.retention.ms": "86400000",
    "unclean.leader.election.enable": "false",
    "segment.bytes": "1073741824",
    "compression.type": "producer",
}


def made(spec: TopicSpec) -> Existing:
    """Return a topic as `apply` makes it."""
    return Existing(
        partitions=spec.partitions, replication=spec.replication, config={**DEFAULTS, **spec.config}
    )


def changed(name: str, *, partitions: int | None = None, replication: int | None = None) -> list[Difference]:
    spec = SPECS[name]
    existing = replace(
        made(spec), partitions=partitions or spec.partitions, replication=replication or spec.replication
    )
    return list(compare(spec, existing, "kafka:9092"))


def configured(name: str, config: Mapping[str, str]) -> list[Difference]:
    spec = SPECS[name]
    existing = made(spec)
    return list(compare(spec, replace(existing, config={**existing.config, **config}), "kafka:9092"))


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_topic_as_it_was_made_does_not_differ(name: str) -> None:
    assert not changed(name)


@pytest.mark.parametrize("name", ["user.inputs", "dead.letters", *KEYED, *CHANGELOGS])
def test_an_added_partition_is_told_and_refused_nowhere(name: str) -> None:
    (difference,) = changed(name, partitions=9)

    assert difference.setting == "partitions"
    assert not difference.breaks
    assert "nothing to do" in difference.repair


@pytest.mark.parametrize("name", ["plans", "session.inputs", *CHANGELOGS])
def test_fewer_partitions_of_what_is_keyed_are_refused_with_advice_that_can_be_followed(name: str) -> None:
    (difference,) = changed(name, partitions=7)

    assert difference.breaks
    assert "--partitions 8" in difference.repair
    assert "CARTRITA_PARTITIONS=7" in difference.repair


def test_fewer_partitions_of_user_inputs_do_no_harm() -> None:
    assert not [one for one in changed("user.inputs", partitions=1) if one.breaks]


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("session.deltas", {"retention.ms": "604800000"}),
        ("session.deltas", {"retention.ms": "-1"}),
        ("session.deltas", {"retention.ms": "60000"}),
        ("user.inputs", {"segment.bytes": "16777216", "segment.ms": "60000", "compression.type": "zstd"}),
        ("user.inputs", {"max.message.bytes": "5000000"}),
        ("plans", {"min.insync.replicas": "3"}),
        ("plans", {"local.retention.ms": "3600000", "remote.storage.enable": "true"}),
        ("session-states-changelog", {"segment.bytes": "1073741824", "segment.ms": "604800000"}),
        ("session-states-changelog", {"min.cleanable.dirty.ratio": "0.5"}),
        ("session-states-changelog", {"delete.retention.ms": "604800000"}),
        ("session-states-changelog", {"max.message.bytes": "2000000", "max.compaction.lag.ms": "60000"}),
        ("clock-probe", {"retention.ms": "60000", "cleanup.policy": "compact"}),
    ],
)
def test_tuning_is_never_refused(name: str, config: Mapping[str, str]) -> None:
    assert not [one for one in configured(name, config) if one.breaks]


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("user.inputs", "retention.ms", "604800000"),
        ("user.inputs", "retention.bytes", "1000000"),
        ("user.inputs", "message.timestamp.type", "CreateTime"),
        ("plans", "cleanup.policy", "compact"),
        ("plans", "cleanup.policy", "compact,delete"),
        ("plans", "max.message.bytes", "100000"),
        ("plans", "min.insync.replicas", "1"),
        ("plans", "min.insync.replicas", "4"),
        ("plans", "unclean.leader.election.enable", "true"),
        ("configuration", "cleanup.policy", "delete"),
        ("session-states-changelog", "cleanup.policy", "delete"),
        ("session-states-changelog", "cleanup.policy", "delete,compact"),
        ("session-states-changelog", "message.timestamp.type", "LogAppendTime"),
        ("session-states-changelog", "message.timestamp.before.max.ms", "9223372036854775807"),
        ("session-states-changelog", "message.timestamp.after.max.ms", "3600000"),
        ("session-states-changelog", "delete.retention.ms", "60000"),
        ("tool-ledger-changelog", "max.message.bytes", "100000"),
        ("clock-probe", "message.timestamp.type", "CreateTime"),
    ],
)
def test_what_breaks_a_promise_is_refused_with_reason_and_repair(name: str, setting: str, value: str) -> None:
    found = [one for one in configured(name, {setting: value}) if one.breaks]

    assert {one.setting for one in found} == {setting}
    assert all("kafka-configs.sh --bootstrap-server kafka:9092" in one.repair for one in found)


def test_another_count_of_replicas_is_told() -> None:
    (difference,) = changed("plans", replication=2)

    assert (difference.setting, difference.breaks) == ("replication", "")


class FakeCluster:
    """Knows the partitions of one topic."""

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(9)) if topic == "plans" else None


def test_an_added_partition_is_assigned_to_nobody() -> None:
    cluster = ClippedCluster(FakeCluster(), 8)

    assert cluster.partitions_for_topic("plans") == set(range(8))
    assert cluster.partitions_for_topic("nothing") is None


def test_topics_of_unlike_counts_are_assigned_together_up_to_the_configured_count() -> None:
    class Unlike:
        def partitions_for_topic(self, topic: str) -> set[int]:
            return set(range(9 if topic == "session.inputs" else 8))

    topics = {"session.inputs", "model.results"}
    subscriptions: dict[str, list[str]] = {"worker": sorted(topics)}
    grouped = {}
    for counted in (8, None):
        assignor = object.__new__(ShellAssignor)
        assignor.app = cast("AppT", SimpleNamespace(partitions_counted=counted))
        groups = assignor._get_copartitioned_groups(topics, Unlike(), subscriptions)
        grouped[counted] = {count: [set(one) for one in found] for count, found in groups.items()}

    assert grouped == {8: {8: [topics]}, None: {8: [{"model.results"}], 9: [{"session.inputs"}]}}


def test_every_topic_of_the_catalogue_has_a_specification() -> None:
    names = {spec.name for spec in specs_of("p.", 8, 3, 8_000)}

    assert {f"p.{name}" for name in BY_NAME} <= names
    assert all(spec.config["min.insync.replicas"] == "2" for spec in specs_of("p.", 8, 3, 8_000))
