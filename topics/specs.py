"""What every topic has to be, and what becomes of one that is otherwise.

A topic is tuned by whoever runs the cluster. Only what would break a promise is refused, each with its
reason; the rest is told. Settings that matter and are defaults of Kafka are compared too, so that no topic
looks sound that is not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from topics.catalog import DEAD_LETTERS, HOUR_MS, RECORD_BYTES_MAX, TOPICS, Keying, Topic
from topics.tables import CLOCK_PROBE, FLOORS, TABLES, Fence, changelog_of

DEAD_LETTER_BYTES_MAX: Final = RECORD_BYTES_MAX + 131_072
"""A dead letter carries a whole record and its own fields."""
TOMBSTONE_MS_MIN: Final = 24 * HOUR_MS
"""A table on disk that was away for half of this reads its changelog anew; removed keys would come back."""


class Bound(Enum):
    """Which other values keep the promises."""

    EXACT = "no other value"
    AT_LEAST = "any value above, and -1, which is without bound"
    TUNED = "any value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One setting of a topic."""

    value: str
    """With which the topic is created, where `is_written`."""
    bound: Bound
    reason: str
    """What a value that is refused would break."""
    is_written: bool = True
    """False: Kafka's own default, which is only compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """A topic as it has to be."""

    name: str
    """Full name, with the configured prefix."""
    partitions: int
    any_partitions: bool
    """True: its keys have no meaning, so that it may have fewer, too."""
    replication: int
    demands: Mapping[str, Demand]

    @property
    def config(self) -> Mapping[str, str]:
        """Return the settings with which it is created."""
        return {name: demand.value for name, demand in self.demands.items() if demand.is_written}


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """A topic as it is."""

    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something about a topic that is not as it was made."""

    topic: str
    setting: str
    expected: str
    actual: str
    breaks: str
    """Which promise it breaks, so that nothing starts; empty: it is the operator's to choose."""
    repair: str
    """What can be done about it."""


def specs_of(
    prefix: str, partitions: int, replication: int, session_timeout_ms: int
) -> tuple[TopicSpec, ...]:
    """Return every topic of the system as it has to be."""
    changelog = _changelog_demands(Fence.of(session_timeout_ms))
    probe = {
        "cleanup.policy": _tuned("delete"),
        "retention.ms": _tuned(str(HOUR_MS)),
        "message.timestamp.type": _exact("LogAppendTime", "clocks could not be compared"),
    }
    durable = _durable_demands(replication)

    def spec(name: str, count: int, demands: Mapping[str, Demand], *, is_any: bool) -> TopicSpec:
        return TopicSpec(
            name=prefix + name,
            partitions=count,
            any_partitions=is_any,
            replication=replication,
            demands=MappingProxyType({**durable, **demands}),
        )

    return (
        *(
            spec(
                topic.name,
                topic.partitions or partitions,
                _event_demands(topic),
                is_any=topic.keying is Keying.ANY,
            )
            for topic in TOPICS
        ),
        *(spec(changelog_of("", table), partitions, changelog, is_any=False) for table in TABLES),
        spec(changelog_of("", FLOORS), 1, {**changelog, **_SHORT}, is_any=True),
        spec(CLOCK_PROBE, 1, probe, is_any=True),
    )


def compare(spec: TopicSpec, existing: Existing, bootstrap: str) -> Iterable[Difference]:
    """Return what differs, as commands for `bootstrap` would repair it."""
    if existing.partitions != spec.partitions:
        yield _partitions(spec, existing.partitions, bootstrap)
    if existing.replication != spec.replication:
        yield Difference(
            topic=spec.name,
            setting="replication",
            expected=str(spec.replication),
            actual=str(existing.replication),
            breaks="",
            repair="kafka-reassign-partitions.sh changes it; or set CARTRITA_REPLICATION to what it is",
        )
    for setting, demand in spec.demands.items():
        actual = existing.config.get(setting, "")
        if actual not in (demand.value, ""):
            yield Difference(
                topic=spec.name,
                setting=setting,
                expected=demand.value,
                actual=actual,
                breaks="" if _keeps(demand, actual) else demand.reason,
                repair=(
                    f"kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics "
                    f"--entity-name {spec.name} --add-config {setting}={_quoted(demand.value)}"
                ),
            )
    least = int(existing.config.get("min.insync.replicas", "1"))
    if least > existing.replication:
        yield Difference(
            topic=spec.name,
            setting="min.insync.replicas",
            expected=f"at most {existing.replication}, its replicas",
            actual=str(least),
            breaks="Kafka takes no record of it",
            repair=(
                f"kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics "
                f"--entity-name {spec.name} --add-config min.insync.replicas={existing.replication}"
            ),
        )


def _partitions(spec: TopicSpec, actual: int, bootstrap: str) -> Difference:
    if spec.any_partitions:
        breaks, repair = "", "nothing to do: all of its partitions are read"
    elif actual > spec.partitions:
        # It cannot be undone, so it has to do no harm: our writers and readers keep to the configured count.
        breaks = ""
        repair = f"nothing to do: only the first {spec.partitions} are used; it cannot be undone"
    else:
        breaks = "sessions belong to partitions that it does not have"
        repair = (
            f"kafka-topics.sh --bootstrap-server {bootstrap} --alter --topic {spec.name} "
            f"--partitions {spec.partitions}; or CARTRITA_PARTITIONS={actual}, if all topics were made so"
        )
    return Difference(
        topic=spec.name,
        setting="partitions",
        expected=str(spec.partitions),
        actual=str(actual),
        breaks=breaks,
        repair=repair,
    )


def _keeps(demand: Demand, actual: str) -> bool:
    match demand.bound:
        case Bound.EXACT:
            return set(actual.split(",")) == set(demand.value.split(","))
        case Bound.AT_LEAST:
            # -1 is without bound, as what is kept and for how long.
            return actual == "-1" or (demand.value != "-1" and int(actual) >= int(demand.value))
        case Bound.TUNED:
            return True


def _durable_demands(replication: int) -> dict[str, Demand]:
    demands = {
        "min.insync.replicas": _at_least(
            str(max(1, replication - 1)), "a record that was acknowledged could be lost with one broker"
        )
    }
    if replication > 1:
        demands["unclean.leader.election.enable"] = _exact(
            "false", "records that were acknowledged could be lost", is_written=False
        )
    return demands


def _event_demands(topic: Topic) -> dict[str, Demand]:
    bytes_max = DEAD_LETTER_BYTES_MAX if topic is DEAD_LETTERS else RECORD_BYTES_MAX
    stamp = "LogAppendTime" if topic.stamped_by_kafka else "CreateTime"
    demands = {
        "max.message.bytes": _at_least(str(bytes_max), "Kafka would refuse records that may be written"),
        "message.timestamp.type": _exact(stamp, "an input that is taken in again would no longer be the same")
        if topic.stamped_by_kafka
        else _tuned(stamp),
    }
    if topic.cleanup != "delete":
        demands["cleanup.policy"] = _exact(topic.cleanup, "what decided could no longer be found")
    elif topic.is_truth:
        lost = "records that are part of the truth would be deleted"
        demands["cleanup.policy"] = _exact("delete", lost)
        demands["retention.ms"] = _at_least("-1", lost)
        demands["retention.bytes"] = Demand(value="-1", bound=Bound.AT_LEAST, reason=lost, is_written=False)
    else:
        demands["cleanup.policy"] = _tuned("delete")
        demands["retention.ms"] = _tuned(str(topic.retention_ms))
        # A segment goes as a whole; by Kafka's own default one is a week long.
        demands["segment.ms"] = _tuned(str(HOUR_MS))
    return demands


def _changelog_demands(fence: Fence) -> dict[str, Demand]:
    fenced = "a worker that was replaced could write on"
    return {
        "cleanup.policy": _exact("compact", "states of sessions would be deleted"),
        "max.message.bytes": _at_least(
            str(RECORD_BYTES_MAX), "Kafka would refuse states that may be written"
        ),
        "message.timestamp.type": _exact("CreateTime", fenced),
        "message.timestamp.before.max.ms": _exact(str(fence.before_max_ms), fenced),
        "message.timestamp.after.max.ms": _exact(str(fence.after_max_ms), fenced),
        "delete.retention.ms": Demand(
            value=str(TOMBSTONE_MS_MIN),
            bound=Bound.AT_LEAST,
            reason="keys that left would come back in tables on disk",
            is_written=False,
        ),
        # Small segments and an early cleaner keep a start short: it reads what is not compacted yet.
        "segment.bytes": _tuned(str(16 * 1_048_576)),
        "segment.ms": _tuned(str(HOUR_MS)),
        "min.cleanable.dirty.ratio": _tuned("0.1"),
    }


def _exact(value: str, reason: str, *, is_written: bool = True) -> Demand:
    return Demand(value=value, bound=Bound.EXACT, reason=reason, is_written=is_written)


def _at_least(value: str, reason: str) -> Demand:
    return Demand(value=value, bound=Bound.AT_LEAST, reason=reason)


def _tuned(value: str) -> Demand:
    return Demand(value=value, bound=Bound.TUNED, reason="")


_SHORT: Final = {"segment.bytes": _tuned(str(1_048_576)), "segment.ms": _tuned(str(HOUR_MS // 6))}
"""Of a topic that is read whole whenever partitions come."""


def _quoted(value: str) -> str:
    return f"[{value}]" if "," in value else value
