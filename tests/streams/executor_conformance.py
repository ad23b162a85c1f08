"""What every executor must do; a subclass gives the executor, and calls that it runs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pytest

from processors.effects import Outcome
from schemas.envelope import Envelope
from schemas.events.inputs import SessionCancelled
from schemas.events.models import (
    ModelCallCancelled,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallRequested,
)
from schemas.events.tools import ToolCallCancelled, ToolCallCompleted, ToolCallFailed, ToolCallRequested
from streams.effects.executor import Executor
from streams.records.delivery import outgoing
from tests.streams.twin import CODEC, event

RESULTS = (ModelCallCompleted, ModelCallFailed, ToolCallCompleted, ToolCallFailed)
FAILED = (ModelCallFailed, ToolCallFailed)


class ExecutorConformance(ABC):
    """The suite."""

    @abstractmethod
    def executor(self) -> Executor:
        """Return an executor whose calls go well."""

    @abstractmethod
    def calls(self) -> Sequence[Envelope]:
        """Return calls of each kind that it runs."""

    async def test_however_a_call_ends_it_has_one_result_under_one_id(self) -> None:
        executor = self.executor()
        for call in self.calls():
            endings = [
                await executor.run(call, 1),
                await executor.run(call, 2),
                executor.interrupted(call, 5),
                executor.cancelled(call, "enough", dispatched=False, latency_ms=0),
                executor.cancelled(call, "enough", dispatched=True, latency_ms=5),
                executor.stopped(call, "not now", dispatched=False, latency_ms=0),
                executor.stopped(call, "not now", dispatched=True, latency_ms=5),
                executor.broken(call, "it took too long", 5),
            ]

            results = [_result(one) for one in endings if one is not None]

            assert len({one.event_id for one in results}) == 1
            for one in results:
                body = one.body
                assert isinstance(body, RESULTS)
                assert (body.call_id, body.task_id) == (_request(call).call_id, _request(call).task_id)
                assert (one.session_id, one.tenant_id, one.user_id) == (
                    call.session_id,
                    call.tenant_id,
                    call.user_id,
                )
                assert one.causation_id == call.event_id

    async def test_every_ending_can_be_published(self) -> None:
        executor = self.executor()
        for call in self.calls():
            endings = [
                await executor.run(call, 1),
                executor.interrupted(call, 5),
                executor.cancelled(call, "enough \ud800", dispatched=True, latency_ms=5),
                executor.broken(call, "\x00 \ud83d", 5),
            ]

            for one in endings:
                for told in one.events if one is not None else ():
                    written = outgoing(CODEC, told)
                    assert (await CODEC.decode(written.value)).event_id == told.event_id

    def test_a_call_whose_process_died_is_never_run_again_where_it_may_have_acted_or_cost(self) -> None:
        executor = self.executor()
        for call in self.calls():
            body, outcome = _request(call), executor.interrupted(call, 5)
            repeatable = isinstance(body, ToolCallRequested) and body.idempotent and body.reserved_tokens == 0

            assert (outcome is None) == repeatable
            if outcome is not None:
                failed = _result(outcome).body
                assert isinstance(failed, FAILED)
                effected = isinstance(failed, ToolCallFailed) and failed.maybe_effected
                assert failed.maybe_billed or effected

    @pytest.mark.parametrize("dispatched", [False, True])
    def test_a_cancelled_call_may_have_cost_what_was_reserved_only_once_it_was_sent(
        self, dispatched: bool
    ) -> None:
        executor = self.executor()
        for call in self.calls():
            failed = _result(executor.cancelled(call, "enough", dispatched=dispatched, latency_ms=0)).body

            assert isinstance(failed, FAILED)
            assert failed.kind == "cancelled"
            assert not failed.retryable
            assert failed.maybe_billed == (dispatched and _request(call).reserved_tokens > 0)

    def test_a_stopped_call_that_was_not_sent_left_nothing_open(self) -> None:
        executor = self.executor()
        for call in self.calls():
            assert executor.refusal(call) is None
            for dispatched in (False, True):
                failed = _result(executor.stopped(call, "not now", dispatched=dispatched, latency_ms=0)).body
                acts = isinstance(call.body, ToolCallRequested) and not call.body.idempotent

                assert isinstance(failed, FAILED)
                assert not failed.retryable
                assert failed.maybe_billed == (dispatched and _request(call).reserved_tokens > 0)
                if isinstance(failed, ToolCallFailed):
                    assert failed.maybe_effected == (dispatched and acts)

    def test_a_call_is_told_from_its_cancellation_and_from_everything_else(self) -> None:
        executor = self.executor()
        other = event(SessionCancelled())

        assert executor.call_id(other) is None
        assert executor.cancellation(other) is None
        for call in self.calls():
            call_id = _request(call).call_id
            model = isinstance(call.body, ModelCallRequested)
            kind = ModelCallCancelled if model else ToolCallCancelled
            cancelling = event(kind(call_id=call_id, reason="enough"))
            cancellation = executor.cancellation(cancelling)

            assert executor.call_id(call) == call_id
            assert executor.cancellation(call) is None
            assert executor.call_id(cancelling) is None
            assert cancellation is not None
            assert (cancellation.call_id, cancellation.reason) == (call_id, "enough")

    def test_the_longest_duration_leaves_room_for_the_calls_own_time_out(self) -> None:
        executor = self.executor()
        for call in self.calls():
            assert executor.duration_ms_max(call) > _request(call).timeout_ms
            assert executor.reserved_tokens(call) == _request(call).reserved_tokens
            assert executor.name(call)


def _request(call: Envelope) -> ModelCallRequested | ToolCallRequested:
    assert isinstance(call.body, ModelCallRequested | ToolCallRequested)
    return call.body


def _result(outcome: Outcome) -> Envelope:
    (result,) = [one for one in outcome.events if isinstance(one.body, RESULTS)]
    return result
