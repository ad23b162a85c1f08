"""Tenants take turns, sleepers keep nobody waiting, and a queue has an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from connectors.sandbox.errors import SandboxBusy
from connectors.sandbox.places import Capacity, Place, Places

CAPACITY = Capacity(working=2, reserve=1, asleep=4, asleep_bytes=400, waiting=3, wait_s=60)


class Waiter:
    """Somebody who waits for a place in a task of its own, and keeps it until told."""

    def __init__(self, places: Places, tenant: str, order: list[str]) -> None:
        self.place: Place | None = None
        self._places, self._tenant, self._order = places, tenant, order
        self._done = asyncio.Event()
        self.task = asyncio.ensure_future(self._hold())

    async def _hold(self) -> None:
        async with self._places.take(self._tenant) as self.place:
            self._order.append(self._tenant)
            await self._done.wait()

    async def leave(self) -> None:
        self._done.set()
        await self.task


@asynccontextmanager
async def waiters(places: Places, *tenants: str) -> AsyncIterator[tuple[list[Waiter], list[str]]]:
    order: list[str] = []
    found = []
    for tenant in tenants:
        found.append(Waiter(places, tenant, order))
        await settle()
    yield found, order
    for waiter in found:
        waiter.task.cancel()
    await asyncio.gather(*(waiter.task for waiter in found), return_exceptions=True)


async def settle() -> None:
    """Let every task go on until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_tenant_has_its_places_and_another_finds_one_kept_for_it() -> None:
    async with waiters(Places(CAPACITY), "a", "a", "a", "b") as (_, order):
        assert order == ["a", "a", "b"]


async def test_who_sleeps_keeps_nobody_waiting() -> None:
    places = Places(CAPACITY)
    async with waiters(places, "a", "a", "a") as (found, order):
        assert order == ["a", "a"]
        assert found[0].place is not None

        places.note_idle(found[0].place, 100)
        await settle()

        assert order == ["a", "a", "a"]


async def test_one_tenants_sleepers_can_not_hold_everything() -> None:
    places = Places(CAPACITY)
    async with waiters(places, *"aaaaaaa") as (found, order):
        for waiter in found:
            if waiter.place is not None:
                places.note_idle(waiter.place, 10)
                await settle()
        # Two that work and three of the four that may sleep; the others wait.
        assert order == ["a"] * 5

        async with waiters(places, "b") as (_, others):
            assert others == ["b"]


async def test_who_sleeps_with_more_memory_than_there_is_for_sleepers_keeps_its_place() -> None:
    places = Places(CAPACITY)
    async with waiters(places, "a", "a", "a", "a", "b") as (found, order):
        first, second = found[0].place, found[1].place
        assert first is not None
        assert second is not None

        # Three quarters of 400 are for one tenant.
        places.note_idle(first, 301)
        await settle()
        assert order == ["a", "a", "b"]
        places.note_idle(second, 200)
        await settle()
        assert order == ["a", "a", "b", "a"]

        # The first one holds less now, but more than the second one has left over.
        places.note_idle(first, 101)
        await settle()
        assert order == ["a", "a", "b", "a"]
        await found[1].leave()
        await settle()
        assert order == ["a", "a", "b", "a", "a"]


async def test_the_memory_of_all_sleepers_together_is_bounded() -> None:
    places = Places(CAPACITY)
    async with waiters(places, "a", "a", "b") as (found, _):
        for waiter in found:
            assert waiter.place is not None
            places.note_idle(waiter.place, 150)

        assert sum(waiter.place is not None and waiter.place.is_asleep for waiter in found) == 2


async def test_who_wakes_up_gives_back_the_memory_of_sleepers() -> None:
    places = Places(CAPACITY)
    async with waiters(places, "a", "a", "a") as (found, order):
        first, second = found[0].place, found[1].place
        assert first is not None
        assert second is not None
        places.note_idle(first, 300)
        places.note_idle(second, 300)
        await settle()
        assert order == ["a", "a", "a"]
        assert not second.is_asleep

        places.note_idle(first, None)

        assert (first.is_asleep, second.is_asleep) == (False, True)


async def test_tenants_that_wait_are_served_in_turn() -> None:
    places = Places(Capacity(working=1, reserve=0, asleep=0, asleep_bytes=0, waiting=10, wait_s=60))
    async with waiters(places, "first", "a", "a", "a", "b", "c") as (found, order):
        for _ in range(5):
            holder = next(waiter for waiter in found if waiter.place is not None and not waiter.task.done())
            await holder.leave()
            await settle()

        assert order == ["first", "a", "b", "c", "a", "a"]


async def test_a_full_queue_says_that_it_is_busy() -> None:
    places = Places(CAPACITY)
    async with waiters(places, *"aaaaa"):
        with pytest.raises(SandboxBusy, match="3 runs are waiting"):
            async with places.take("a"):
                pytest.fail("the queue has no end")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(places.take("b"))


async def test_all_tenants_together_have_a_bound_too() -> None:
    places = Places(Capacity(working=1, reserve=0, asleep=0, asleep_bytes=0, waiting=2, wait_s=60))
    async with waiters(places, "holder", *"aabbccdd"):
        with pytest.raises(SandboxBusy, match="8 runs are waiting, 0 of them of this tenant"):
            async with places.take("e"):
                pytest.fail("the queue has no end")


async def test_who_waits_too_long_is_told_and_leaves_the_queue() -> None:
    places = Places(Capacity(working=1, reserve=0, asleep=0, asleep_bytes=0, waiting=1, wait_s=0.01))
    async with waiters(places, "a") as (found, _):
        for _ in range(2):
            with pytest.raises(SandboxBusy, match="no place was free"):
                async with places.take("a"):
                    pytest.fail("there is no place")
        await found[0].leave()

        async with places.take("a"):
            pass


async def test_who_is_cancelled_while_waiting_leaves_no_trace() -> None:
    places = Places(Capacity(working=1, reserve=0, asleep=0, asleep_bytes=0, waiting=1, wait_s=60))
    async with waiters(places, "a", "a") as (found, order):
        found[1].task.cancel()
        await settle()
        await found[0].leave()

        async with places.take("a"):
            assert order == ["a"]
