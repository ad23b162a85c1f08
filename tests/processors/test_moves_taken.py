"""Every legal move is taken by one of these lives, and each time by one of the facts that tell of it.

The lives of sessions are told to a session decider; what its tables are asked is written down with the input
and the facts of the step. The lives of ledger entries are read from the ledger that an effect shell wrote.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final, Self

import pytest

from processors.lifecycles import BEGINS, ENDS, LEDGER_ENTRY, LIFECYCLES, Lifecycle
from processors.session import SessionDecider
from processors.state import Phase, ToolCallStatus
from schemas.configuration import PolicyRule
from schemas.envelope import Envelope
from schemas.events.accounts import LeaseGranted, LeaseRefused, LeaseRequested
from schemas.events.inputs import OutcomeTold, SessionCancelled, SessionClosed
from schemas.events.models import ModelCallRequested
from schemas.events.outputs import ApprovalRequested, OutcomeAsked
from schemas.events.tools import ToolCallRequested
from schemas.frozen import replace
from streams.effects.ledger import LedgerEntry, call_id_of
from streams.effects.ledger_memory import REMEMBERED_MS
from streams.history.fork import ForkPoint, fork_point
from tests.approving import edit
from tests.processors.calls import asked as client_asks
from tests.processors.world import (
    ModelOutcome,
    ToolOutcome,
    World,
    completed,
    failed,
    obliging,
    plan_text,
    small,
    task,
    tool_completed,
    tool_failed,
    tool_spec,
)
from tests.replay.worlds import recorded
from tests.replay.worlds import world as recordable
from tests.streams.effects import Process, cancelled, requested
from tests.streams.effects import World as Outside
from tests.streams.twin import Kafka
from topics.catalog import MODEL_CALLS

Move = tuple[str, str, str]
"""The life's name, and the statuses."""

CHAIN: Final = plan_text(task("a"), task("b", needs=["a"]))
ONE: Final = plan_text(task("a"))
FORK: Final = "00000000-0000-4000-8000-00000000f0f0"


@dataclass
class Watched(World):
    """A session of which every move is written down."""

    taken: list[tuple[Move, frozenset[str]]] = field(default_factory=list)
    """Each move with the names of its step's input and facts."""

    def apply(self, event: Envelope) -> tuple[Envelope, ...]:
        """Apply an input, and keep what moved."""
        moved: list[Move] = []
        with pytest.MonkeyPatch.context() as patch:
            demand = Lifecycle.move

            def move(life: Lifecycle, before: str, after: str) -> None:
                moved.append((life.name, str(before), str(after)))
                demand(life, before, after)

            patch.setattr(Lifecycle, "move", move)
            events = super().apply(event)
        names = frozenset(one.type for one in (event, *events))
        self.taken += [(one, names) for one in moved]
        return events

    def answer_until(self, condition: Callable[[World], bool]) -> Self:
        """Answer calls, the oldest first, until the condition holds."""
        while not condition(self):
            assert self.open_calls, "the session rests before it has come so far"
            self.reply(self.open_calls.pop(0))
        return self


def phase_is(phase: Phase) -> Callable[[World], bool]:
    return lambda world: world.state.turn is not None and world.state.turn.phase is phase


def has_call(status: ToolCallStatus) -> Callable[[World], bool]:
    def condition(world: World) -> bool:
        tasks = world.state.turn.tasks.values() if world.state.turn is not None else ()
        return any(call.status is status for one in tasks for call in one.tool_calls)

    return condition


def begun(plan: str = ONE, *, score: float = 0.9, tools: tuple[str, ...] = (), **more: int | str) -> Watched:
    world = Watched(obliging(plan, score=score, tools=tools), limits=small(**more))
    world.say()
    return world


def sessions() -> Iterator[Watched]:
    """Sessions that open and end, with an account and without."""
    world = begun(CHAIN)
    world.run()
    world.post(SessionCancelled())
    yield world
    world = begun()
    world.post(SessionClosed())
    yield world.run()
    for answer in ("granted", "refused", "closed"):
        world = begun(account_tokens=1_000)
        (lease,) = world.facts(LeaseRequested)
        match answer:
            case "granted":
                world.post(
                    LeaseGranted(
                        lease_id=lease.lease_id,
                        account_id=lease.account_id,
                        tokens=lease.tokens,
                        nanodollars=lease.nanodollars,
                    )
                )
            case "refused":
                refused = LeaseRefused(lease_id=lease.lease_id, account_id=lease.account_id, reason="empty")
                world.post(refused)
            case _:
                world.post(SessionClosed())
        yield world.run()


def turns() -> Iterator[Watched]:
    """Turns that are planned again, that nobody plans, and that are cancelled in each phase."""
    yield begun(score=0.4).run()
    yield begun(plan="").run()
    for phase in Phase:
        world = begun(CHAIN)
        world.answer_until(phase_is(phase))
        world.post(SessionCancelled())
        yield world


def tasks() -> Iterator[Watched]:
    """Tasks that fail, and those that needed them."""
    world = begun(CHAIN, attempts_max=1)
    well = world.answer
    world.answer = lambda call: failed(call, "rate_limited") if call.purpose == "step" else well(call)
    yield world.run()
    world = begun()
    world.answer_until(phase_is(Phase.EXECUTE))
    world.now_ms += world.limits.turn_deadline_ms
    yield world.run()


def tool_calls() -> Iterator[Watched]:
    """Tool calls that are made, refused, too many, too frequent, or cut off wherever they are."""
    yield begun(tools=("look", "nonsense", "look"), tool_calls_max=2).run()
    yield begun(tools=("look",) * 5).run()
    world = begun(tools=("buy", "look"))
    world.tool = lambda call: (
        tool_failed(call, "unknown", maybe_effected=True) if call.tool == "buy" else tool_completed(call)
    )
    yield world.run()
    for status in (
        ToolCallStatus.REQUESTED,
        ToolCallStatus.THROTTLED,
        ToolCallStatus.ESCALATED,
        ToolCallStatus.SETTLED,
    ):
        world = begun(tools=("look", "look", "look", "look", "guarded"))
        world.answer_until(has_call(status))
        world.post(SessionCancelled())
        yield world


def approvals() -> Iterator[Watched]:
    """Calls that a person approves, refuses, or leaves."""
    for approved in (True, False, None):
        world = begun(tools=("guarded",), approval_ms=60_000)
        world.answer_until(has_call(ToolCallStatus.ESCALATED))
        if approved is not None:
            (asked,) = world.facts(ApprovalRequested)
            world.decide(asked, approved=approved)
        yield world.run()


def approvals_that_are_asked_again() -> Iterator[Watched]:
    """Calls whose arguments an approver changes, and calls that another policy decides anew."""
    world = begun(tools=("guarded",))
    world.answer_until(has_call(ToolCallStatus.ESCALATED))
    world.post(edit(world.facts(ApprovalRequested)[-1], '{"n": 1}'), sender=("*", "olga"))
    world.decide(world.facts(ApprovalRequested)[-1])
    yield world.run()
    world = begun(tools=("guarded",))
    world.answer_until(has_call(ToolCallStatus.ESCALATED))
    before = world.decider.configuration
    slow = PolicyRule(name="slower", decision="throttle", reason="anew", tools=("guarded",))
    policy = replace(before.policy, rules=(slow, *before.policy.rules))
    versions = replace(before.versions, policy="newer")
    world.decider = SessionDecider(replace(before, policy=policy, versions=versions))
    yield world.run()


def questions() -> Iterator[Watched]:
    """Calls that may have been carried out: a person tells, or leaves it, or the session ends."""
    for body in (True, False, None, SessionCancelled()):
        world = begun(tools=("buy",), approval_ms=60_000)
        world.tool = lambda call: tool_failed(call, "unknown", maybe_effected=True)
        world.answer_until(has_call(ToolCallStatus.OPEN))
        (asked,) = world.facts(OutcomeAsked)
        if isinstance(body, bool):
            world.post(OutcomeTold(call_id=asked.call_id, carried_out=body))
        elif body is not None:
            world.post(body)
        yield world.run()


def used_up(call: ToolCallRequested) -> ToolOutcome:
    """Answer a tool call that takes all that was reserved for it."""
    done = replace(tool_completed(call), used_tokens=call.reserved_tokens)
    return replace(done, cost_nanodollars=call.reserved_nanodollars)


def calls_that_wait_for_budget() -> Iterator[Watched]:
    """Calls that cannot be afforded: at once, after a delay, or once they are approved."""
    for tokens in range(3_000, 9_000, 250):
        for tools, answered in product((("analyze",) * 6, ("analyze", "analyze", "guarded")), (False, True)):
            world = Watched(
                obliging(ONE, tools=tools),
                tool=used_up,
                tools=(tool_spec("guarded", "restricted", 1_500), tool_spec("analyze", "safe", 1_500)),
            )
            world.say(budget_tokens=tokens)
            while world.open_calls and (answered or not world.facts(ToolCallRequested)):
                world.reply(world.open_calls.pop(0))
            for asked in world.facts(ApprovalRequested):
                world.decide(asked)
            world.fire_next_timer()
            if tokens % 500 and has_call(ToolCallStatus.WAITING)(world):
                world.post(SessionCancelled())
            yield world.run()


def forks() -> Iterator[Watched]:
    """Forks of a session in each of its phases, and at a tool call that had its answer."""
    for tools in ((), ("look", "look")):
        origin = recordable()
        origin.answer = obliging(CHAIN, tools=tools)
        origin.say()
        points: dict[str, ForkPoint] = {}
        while origin.open_calls:
            assert origin.state.turn is not None
            at = f"{origin.state.turn.phase} {has_call(ToolCallStatus.SETTLED)(origin)}"
            origin.reply(origin.open_calls.pop(0))
            answered, _ = origin.inputs[-1]
            if at not in points and answered.event_id in {one.causation_id for one in origin.events}:
                points[at] = fork_point(recorded(origin), answered.event_id)
        for point in points.values():
            fork = Watched(obliging(CHAIN), session_id=FORK)
            fork.post(point.forked(point.requested()))
            yield fork.run()


def client_calls() -> Iterator[Watched]:
    """Clients' calls that are answered, that fail, that wait too long, and that are counted anew."""

    def answered(call: ModelCallRequested) -> ModelOutcome:
        if call.input_tokens_max < 300:
            return failed(call, "prompt_too_long", retryable=False, counted=300)
        return completed(call, "well")

    world = Watched(answered, limits=small(session_budget_tokens=1_000))
    for prompt, output in ((100, 300), (400, 300), (400, 5_000)):
        world.post(client_asks(prompt=prompt, output=output))
    world.fire_next_timer()
    yield world.run()
    world = Watched(lambda call: failed(call, "rate_limited"))
    world.post(client_asks())
    yield world.run()


LIVES: Final = (
    sessions,
    turns,
    tasks,
    tool_calls,
    approvals,
    approvals_that_are_asked_again,
    questions,
    calls_that_wait_for_budget,
    client_calls,
    forks,
)


async def ledger_moves() -> list[tuple[str, str]]:
    """Read from a ledger how the calls of an effect shell moved: made, cancelled before, and forgotten."""
    kafka, outside = Kafka(), Outside()
    outside.hold = asyncio.Event()
    process = Process(kafka, outside, places=1)
    await process.start()
    for number in (1, 2, 3):
        kafka.send(requested(number), MODEL_CALLS)
    kafka.send(cancelled(3), MODEL_CALLS)
    await process.process(batch=3)
    outside.hold.set()
    await process.finish()
    process.now_ms += REMEMBERED_MS
    # What is done is written with whatever is written next.
    kafka.send(requested(4), MODEL_CALLS)
    await process.process()
    await process.finish()
    process.now_ms += REMEMBERED_MS
    await process.shell.forget_done()
    at: dict[str, str] = {}
    moves: list[tuple[str, str]] = []
    for entry in kafka.changelog:
        call_id = call_id_of(entry.key)
        if call_id is None:
            continue
        after = ENDS if entry.value is None else LedgerEntry.decode(entry.value).status.name.lower()
        before = at.get(call_id, BEGINS)
        at[call_id] = after
        if (before, after) == (BEGINS, "dispatched"):
            # A call that need not wait is written once, when it is dispatched.
            moves += [(BEGINS, "accepted"), ("accepted", after)]
        elif before != after:
            moves.append((before, after))
    return moves


@pytest.fixture(scope="module")
def taken() -> list[tuple[Move, frozenset[str]]]:
    return [one for lives in LIVES for world in lives() for one in world.taken]


@pytest.mark.parametrize(
    ("life", "before", "after"),
    [(life, *move) for life in LIFECYCLES if life is not LEDGER_ENTRY for move in life.all_moves],
    ids=lambda part: part.name if isinstance(part, Lifecycle) else str(part),
)
def test_a_legal_move_is_taken_and_told_each_time(
    life: Lifecycle, before: str, after: str, taken: list[tuple[Move, frozenset[str]]]
) -> None:
    steps = [names for move, names in taken if move == (life.name, before, after)]
    tell = set(re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", life.moves[before][after]))

    assert steps, "no life here takes this move"
    for names in steps:
        assert not tell or tell & names, f"none of {sorted(tell)} is among {sorted(names)}"


async def test_every_move_of_a_ledger_entry_stands_in_the_ledger() -> None:
    assert set(await ledger_moves()) == set(LEDGER_ENTRY.all_moves)
