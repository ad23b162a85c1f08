"""Faust's assignor, for which a topic has no more partitions than the deployment is configured with.

A partition that is added to a topic cannot be taken away again. Faust would take topics of unlike counts for
unrelated, and give one partition of a session's topics to one worker and the same of others to another. Our
own writers never use a partition beyond the configured count, so that whoever leaves it out misses nothing.
"""

from typing import Protocol, cast

from faust.assignor.partition_assignor import (
    CopartitionedGroups,
    MemberSubscriptionMapping,
    PartitionAssignor,
)


class Cluster(Protocol):
    """What the assignor asks of a cluster's metadata."""

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Return the numbers of a topic's partitions."""
        ...


class ClippedCluster:
    """A cluster whose topics end at a number of partitions."""

    def __init__(self, cluster: Cluster, partitions: int) -> None:
        """Take the cluster and how many partitions of each topic count."""
        self._cluster = cluster
        self._partitions = partitions

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Return the numbers of a topic's partitions that count."""
        found = self._cluster.partitions_for_topic(topic)
        return None if found is None else {number for number in found if number < self._partitions}


class ShellAssignor(PartitionAssignor):
    """The assignor of all shells."""

    def _get_copartitioned_groups(  # type: ignore[override]  # of the class there; here it knows the app
        self, topics: set[str], cluster: Cluster, subscriptions: MemberSubscriptionMapping
    ) -> CopartitionedGroups:
        partitions = cast("int | None", getattr(self.app, "partitions_counted", None))
        seen = cluster if partitions is None else ClippedCluster(cluster, partitions)
        return super()._get_copartitioned_groups(topics, seen, subscriptions)
