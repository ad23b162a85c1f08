"""Consumer groups from outside: who owns what, and a group that begins again at the earliest records.

By aiokafka: librdkafka's admin client ends the whole process when a broker goes away at the wrong moment.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # as above
from aiokafka.coordinator.protocol import (  # type: ignore[import-untyped]  # as above
    ConsumerProtocolMemberAssignment,
)
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # as above

_ASK_S: Final = 10.0
_EMPTY_S: Final = 30.0
"""How long the members of a killed process may stay in their group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a group."""

    member_id: str
    """Of a static member: its identity, a hyphen, and what the broker adds."""
    partitions: tuple[int, ...]


class Groups:
    """The groups of one deployment."""

    def __init__(self, bootstrap: str, app_id: str) -> None:
        """Connect nothing yet."""
        self._bootstrap = bootstrap
        self._app_id = app_id

    def owned(self, shell: str, identity: str) -> tuple[int, ...]:
        """Return the partitions that a worker's shell owns; empty: none, or nobody could say."""
        try:
            _, members = asyncio.run(asyncio.wait_for(self._describe(shell), _ASK_S))
        except (KafkaError, TimeoutError, OSError):
            return ()
        return next(
            (one.partitions for one in members if one.member_id.startswith(f"{identity}-{shell}-")), ()
        )

    def reset(self, shell: str) -> str:
        """Set a group's offsets to the earliest once it has no members; tells what came of it."""
        deadline_s = time.monotonic() + _EMPTY_S
        reason = "it kept its members"
        while time.monotonic() < deadline_s:
            try:
                state, _ = asyncio.run(asyncio.wait_for(self._describe(shell), _ASK_S))
                if state in ("Empty", "Dead"):
                    return f"{asyncio.run(asyncio.wait_for(self._begin_again(shell), _EMPTY_S))} partitions"
            except (KafkaError, TimeoutError, OSError) as error:
                reason = repr(error)
            time.sleep(0.5)
        return f"not reset: {reason}"

    async def _describe(self, shell: str) -> tuple[str, Sequence[Member]]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        try:
            answer = (await admin.describe_consumer_groups([self._group(shell)]))[0].groups[0]
        finally:
            await admin.close()
        members = []
        for member in answer[5]:
            assignment = ConsumerProtocolMemberAssignment.decode(member[4]) if member[4] else None
            owned = {place.partition for place in assignment.partitions()} if assignment else set()
            members.append(Member(member_id=member[0], partitions=tuple(sorted(owned))))
        return answer[2], members

    async def _begin_again(self, shell: str) -> int:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        try:
            places: list[TopicPartition] = list(await admin.list_consumer_group_offsets(self._group(shell)))
        finally:
            await admin.close()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, group_id=self._group(shell), enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign(places)
            if places:
                await consumer.commit(dict.fromkeys(places, 0))
        finally:
            await consumer.stop()
        return len(places)

    def _group(self, shell: str) -> str:
        return f"{self._app_id}-{shell}"
