"""Every order in which one session's inputs, crashes and one replaced owner can meet, one after the other.

The search walks a graph of states. Two histories that left the same records, and in which the processes
that live now have done the same since they started, have the same future; so each state is entered once,
and the number of interleavings is the number of paths through the graph.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from processors.session import SessionDecider
from schemas.configuration import Limits
from schemas.envelope import Envelope
from streams.process.ending import ShellStopped
from tests.processors.world import configuration
from tests.simulation.broker import Broker, Place
from tests.simulation.invariants import Violated, distinct_of, told
from tests.simulation.life import SOURCES, Kinds, Life
from tests.simulation.loop import VirtualLoop
from tests.simulation.provider import Provider
from topics.catalog import Topic
from topics.routing import partition_of

Action = tuple[str, str]
"""Who moves (`owner` or `replaced`) and what happens: a topic to take from, `go`, `crash` or `replace`."""
_CONFIGURATION: Final = configuration(Limits())
_NOW_MS: Final = 1_000_000


@dataclass(slots=True, kw_only=True)
class Found:
    """What a search came to."""

    interleavings: int = 0
    states: int = 0
    rests: int = 0
    """States in which everything was at rest, each of which was checked."""
    crashes: Counter[str] = field(default_factory=Counter)
    """By kind of step, at how many states a crash was tried."""
    replacements: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True, kw_only=True)
class Search:
    """All interleavings of `inputs`, `crashes` and `zombies`."""

    inputs: Sequence[tuple[Envelope, Topic]]
    crashes: int
    zombies: int
    kinds: Kinds = field(default_factory=Kinds)
    remembers: bool = True
    """False enters a state each time that it is reached, which takes long but counts by itself."""
    found: Found = field(default_factory=Found)
    _paths: dict[object, int] = field(default_factory=dict)

    def run(self) -> Found:
        """Search.

        Raises:
            Violated: naming the actions that lead to it.
        """
        self.found.interleavings = self._count((), World(self))
        return self.found

    def _count(self, path: tuple[Action, ...], world: "World") -> int:
        """Return how many interleavings go on from here; ends the world."""
        key = world.key()
        if self.remembers and key in self._paths:
            world.end()
            return self._paths[key]
        self.found.states += 1
        if world.is_at_rest():
            self.found.rests += 1
            self._held(path, world.check)
        actions = world.actions()
        where = world.owner.where
        self.found.crashes[where] += ("owner", "crash") in actions
        self.found.replacements[where] += ("owner", "replace") in actions
        count = 0 if actions else 1
        for number, action in enumerate(actions, 1):
            # The last one goes on in this world; the others need their history played again.
            here = world if number == len(actions) else self._played(path)
            self._held((*path, action), partial(here.act, action))
            count += self._count((*path, action), here)
        if not actions:
            world.end()
        self._paths[key] = count
        return count

    def _played(self, path: tuple[Action, ...]) -> "World":
        world = World(self)
        for action in path:
            world.act(action)
        return world

    def _held(self, path: tuple[Action, ...], step: Callable[[], None]) -> None:
        try:
            step()
        except Violated as violated:
            raise Violated(
                f"{violated}, after {' '.join(f'{who}:{what}' for who, what in path)}"
            ) from violated


class World:
    """One history."""

    def __init__(self, search: Search) -> None:
        """Write the inputs and start the first owner."""
        self._search = search
        self._loop = VirtualLoop(_NOW_MS)  # type: ignore[abstract]  # it has no outside, so no sockets
        self._broker = Broker(sources=SOURCES)
        for event, topic in search.inputs:
            partition = partition_of(event.session_id.encode(), 2)
            self._broker.send(event, topic, partition, _NOW_MS)
        self._crashes_left = search.crashes
        self._zombies_left = search.zombies
        self._replaced: Life | None = None
        self._done: dict[int, list[object]] = {}
        self.owner = self._started()

    def actions(self) -> list[Action]:
        """Return all that can happen next."""
        actions = self._moves("owner", self.owner)
        # Where nothing is left to do, a crash or another owner still finds work: the stored outbox.
        if self._crashes_left:
            actions.append(("owner", "crash"))
        if self._zombies_left:
            actions.append(("owner", "replace"))
        if self._replaced is not None:
            actions += self._moves("replaced", self._replaced)
        return actions

    def act(self, action: Action) -> None:
        """Do one of them."""
        who, what = action
        life = self.owner if who == "owner" else self._replaced
        assert life is not None
        if what == "crash":
            self._crashes_left -= 1
            life.kill()
            self.owner = self._started()
        elif what == "replace":
            self._zombies_left -= 1
            life.zombie = True
            self._replaced = life
            self.owner = self._started()
        else:
            self._done[id(life)].append(what)
            self._go(life, what)
        # Before any state is taken for known, as only ids tell states apart.
        distinct_of(self._broker.published)

    def key(self) -> object:
        """Tell states with different futures apart."""
        broker = self._broker
        return (
            frozenset(broker.tables.get("session", {}).items()),
            frozenset(event.event_id for event in broker.published),
            frozenset(broker.committed.items()),
            tuple((place.topic, place.offset) for applied in broker.applied.values() for _, place in applied),
            tuple(self._done[id(self.owner)]),
            tuple(self._done[id(self._replaced)]) if self._replaced is not None else None,
            (self._crashes_left, self._zombies_left),
        )

    def is_at_rest(self) -> bool:
        """Tell whether the owner has nothing left to do."""
        return not self._moves("owner", self.owner)

    def check(self) -> None:
        """Hold what is published against the promises.

        Raises:
            Violated: one was broken.
        """
        distinct = distinct_of(self._broker.published)
        stories = told(distinct)
        events = [event for story in stories.values() for event in story.events]
        key = self._search.inputs[0][0].session_id
        applied = self._broker.applied.get(key.encode(), [])
        places = [(place.topic, place.offset) for _, place in applied]
        if len(set(places)) != len(places) or len(places) != len(self._search.inputs):
            raise Violated(f"{places} were applied of {len(self._search.inputs)} inputs")
        decider = SessionDecider(_CONFIGURATION)
        state = decider.initial(key)
        again: list[Envelope] = []
        for event, place in applied:
            step = decider.advance(state, event, place)
            state = step.state
            again += step.events
        if again != events:
            raise Violated(f"{len(again)} events were decided, {len(events)} published, or they differ")

    def end(self) -> None:
        """End the processes, so that nothing is left behind."""
        self.owner.kill()
        if self._replaced is not None:
            self._replaced.kill()

    def _moves(self, who: str, life: Life) -> list[Action]:
        if life.gates:
            return [(who, "go")]
        return [(who, f"{topic}/{partition}") for topic, partition in self._unread(life)]

    def _unread(self, life: Life) -> list[Place]:
        return [place for place in life.places if life.read[place] < len(self._broker.records[place])]

    def _go(self, life: Life, what: str) -> None:
        if what == "go":
            life.gates.pop(0).future.set_result(None)
        else:
            topic, _, partition = what.rpartition("/")
            place = (topic, int(partition))
            delivery = self._broker.records[place][life.read[place]]
            life.read[place] += 1
            life.begin([delivery])
        self._loop.drain()
        life.collect()
        for error in life.errors:
            if not (life is self._replaced and isinstance(error, ShellStopped)):
                raise Violated(f"the shell ended with {error!r}") from error
            life.kill()
            self._replaced = None

    def _started(self) -> Life:
        life = Life(
            "session",
            broker=self._broker,
            loop=self._loop,
            random=Random(0),
            provider=Provider(seed=0, moody=0.0),
            configuration=_CONFIGURATION,
            kinds=self._search.kinds,
            reach=lambda _: None,
        )
        self._broker.owners["session"] = life
        life.own()
        # What a process will do depends on the table and the offsets that it began with.
        self._done[id(life)] = [
            frozenset(self._broker.tables.get("session", {}).items()),
            frozenset(self._broker.committed.items()),
        ]
        return life
