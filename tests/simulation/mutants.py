"""Shells and deciders with one promise taken out each; the simulation has to notice every one."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

from processors import budgets, client_calls, client_failures, routing, tool_calls
from processors import calls as session_calls
from processors.accounts import NO_LIMIT, AccountDecider
from processors.budgets import Left
from processors.client_state import ClientCall
from processors.routing import Admission, Refusal, Wish
from processors.schedules import decider as schedule_decider
from processors.schedules.state import ScheduleState
from processors.schedules.times import Times
from processors.state import Budget, Reservation
from processors.transition import Transition
from schemas.configuration import ChatModel, Limits
from schemas.envelope import Fact
from streams.effects import calls
from streams.effects import shell as effect_shell
from streams.effects.admission import Admission as CallAdmission
from streams.records.delivery import Delivery, Outgoing
from streams.records.floors import Floors
from streams.shells.forwarding import ForwardingShell
from streams.stateful.batch import Batch, Sealed
from streams.stateful.known_inputs import KnownInputs
from streams.stateful.loaded import Loaded
from streams.stateful.retirement import Retirement
from streams.stateful.shell import StatefulShell
from tests.simulation.life import Kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A fault in the program."""

    name: str
    kinds: Kinds = field(default_factory=Kinds)
    patches: Callable[[], AbstractContextManager[object]] = nullcontext


class DedupeOff(StatefulShell[object]):
    """Applies an input again that it has applied."""

    async def _take(self, delivery: Delivery, batch: Batch[object]) -> None:
        assert delivery.key is not None
        loaded = await self.load(delivery.key)
        loaded.stored.positions.clear()
        await super()._take(delivery, batch)


class CommitFirst(StatefulShell[object]):
    """Acknowledges before anything is stored."""

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Take a batch in the wrong order."""
        self._out.acknowledge(deliveries)
        await super().process(deliveries)


class OneEventDropped(StatefulShell[object]):
    """Forgets one event of a large outbox."""

    async def _publish(self, records: Sequence[Outgoing], generation: int) -> None:
        await super()._publish(records[:-1] if len(records) > 8 else records, generation)


class OutboxSkipped(StatefulShell[object]):
    """After a crash, believes that what it finds in an outbox was published."""

    async def load(self, key: bytes) -> Loaded[object]:
        """Load a key without its outbox."""
        fresh = key not in self._loaded
        loaded = await super().load(key)
        if fresh:
            loaded.confirm(list(loaded.take_unpublished()))
        return loaded


class PublishFirst(StatefulShell[object]):
    """Publishes what it has not stored yet."""

    async def _store(self, sealed: Sealed[object]) -> None:
        await self._publish([one for _, records in sealed.published for one in records], sealed.generation)
        await super()._store(sealed)


async def _runs_blindly(
    ledger: Mapping[bytes, bytes], source: str, ends: Mapping[tuple[str, int], int]
) -> calls.Survey:
    survey = await calls.survey_of(ledger, source, ends)
    for call in survey.open:
        call.may_have_run = False
    return survey


def _cancels_what_runs(
    shell: effect_shell.EffectShell, call: calls.Call, reason: str | None, *, refused: bool = False
) -> None:
    if reason is not None and call.running is not None and call.cancelled is None:
        call.cancelled, call.refused = reason, refused
        call.running.cancel()


def repeats_run() -> AbstractContextManager[object]:
    """Run a call again that was asked for again."""
    return patch.object(CallAdmission, "_is_known", lambda *_: False)


def _reserve_nothing(transition: Transition, call_id: str, reservation: Reservation) -> Left:
    return budgets.what_is_left(transition, reservation.task_id)


def _hold_without_looking(transition: Transition, call_id: str, reservation: Reservation) -> Left:
    budget = transition.budget
    transition.budget = replace(budget, reservations={**budget.reservations, call_id: reservation})
    return budgets.what_is_left(transition, reservation.task_id)


def _admit_all(
    wish: Wish, budget: Budget, models: tuple[ChatModel, ...], limits: Limits
) -> Admission | Refusal:
    return routing.route(
        replace(wish, tokens_left=10**9, nanodollars_left=10**15, task_tokens_left=None),
        budget,
        models,
        limits,
    )


def _reservation_not_held() -> AbstractContextManager[object]:
    stack = ExitStack()
    for module in (budgets, tool_calls):
        stack.enter_context(patch.object(module, "reserve", _reserve_nothing))
    return stack


def checked_after_the_call() -> AbstractContextManager[object]:
    """Hold reservations without looking whether there is anything left to hold."""
    stack = ExitStack()
    for module in (budgets, tool_calls):
        stack.enter_context(patch.object(module, "reserve", _hold_without_looking))
    stack.enter_context(patch.object(session_calls, "route", _admit_all))
    return stack


def ledger_not_consulted() -> AbstractContextManager[object]:
    """Run after a crash what may have run before it."""
    return patch.object(effect_shell, "survey_of", _runs_blindly)


def _departed_begin_anew() -> AbstractContextManager[object]:
    return patch.object(Retirement, "fate_of", lambda *_: None)


def _floors_first() -> AbstractContextManager[object]:
    """Say of inputs that they were taken in, before they are."""
    process = ForwardingShell.process

    async def hasty(shell: ForwardingShell, deliveries: Sequence[Delivery]) -> None:
        await shell._out.store(shell.floors.take(deliveries))
        await process(shell, deliveries)

    return patch.object(ForwardingShell, "process", hasty)


def _lends_without_end() -> AbstractContextManager[object]:
    return patch.object(AccountDecider, "_left", lambda *_: (NO_LIMIT, NO_LIMIT))


def _told_nothing_of_money() -> AbstractContextManager[object]:
    """Tell clients of calls that failed that nothing was charged."""
    fail = client_failures.fail

    def free(
        transition: Transition, call: ClientCall, *said: Any, **more: Any
    ) -> None:  # Any: as it is called
        fail(transition, call, *said, **{**more, "charged": (0, 0)})

    return patch.object(client_calls, "fail", free)


def _forgets_what_was_missed() -> AbstractContextManager[object]:
    due = Times.due
    return patch.object(Times, "due", lambda *given: replace(due(*given), skipped=None))


def _any_time_is_the_next() -> AbstractContextManager[object]:
    """Begin what is due next, whichever time came, and however early."""
    return patch.multiple(schedule_decider, EARLY_MS_MAX=10**9, _timer_id=lambda state: state.schedule_id)


def _sees_nothing_run() -> AbstractContextManager[object]:
    def forgetful(state: ScheduleState, now_ms: int) -> tuple[ScheduleState, list[Fact]]:
        return replace(state, open=()), []

    return patch.object(schedule_decider, "_without_old", forgetful)


MUTANTS = (
    Mutant(name="floors forgotten", patches=lambda: patch.object(Floors, "is_taken", lambda *_: False)),
    Mutant(name="floors first", patches=_floors_first),
    Mutant(name="inputs forgotten", patches=lambda: patch.object(KnownInputs, "is_known", lambda *_: False)),
    Mutant(name="who has left begins anew", patches=_departed_begin_anew),
    Mutant(name="dedupe off", kinds=Kinds(stateful=DedupeOff)),
    Mutant(name="commit first", kinds=Kinds(stateful=CommitFirst)),
    Mutant(name="one event dropped", kinds=Kinds(stateful=OneEventDropped)),
    Mutant(name="outbox skipped after a crash", kinds=Kinds(stateful=OutboxSkipped)),
    Mutant(name="publish before storing", kinds=Kinds(stateful=PublishFirst)),
    Mutant(name="fence off", kinds=Kinds(fenced=False)),
    Mutant(name="reservation not held", patches=_reservation_not_held),
    Mutant(name="budget check after the call", patches=checked_after_the_call),
    Mutant(name="ledger not consulted after a crash", patches=ledger_not_consulted),
    Mutant(name="repeated calls run again", patches=repeats_run),
    Mutant(
        name="clients' repeats are made again",
        patches=lambda: patch.object(client_calls, "has_seen", lambda *_: False),
    ),
    Mutant(name="an account lends what it has not", patches=_lends_without_end),
    Mutant(name="a client is told another sum", patches=_told_nothing_of_money),
    Mutant(name="what was missed is not told", patches=_forgets_what_was_missed),
    Mutant(name="a due time is told again", patches=_any_time_is_the_next),
    Mutant(name="schedules overlap", patches=_sees_nothing_run),
    Mutant(
        name="what waits is not refused",
        patches=lambda: patch.object(effect_shell.EffectShell, "_give_up", _cancels_what_runs),
    ),
)
