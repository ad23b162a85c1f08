"""The session decider: the one entry into all deciders of a session.

`advance` applies one input and runs the deciders to quiescence, so that one input costs one state and one
batch of events, however many decisions it took. An input that is not expected where the session stands
changes nothing but what it must: late outcomes are charged, and their content is dropped.
"""

from typing import assert_never

import orjson

from processors import (
    asked_calls,
    call_accounts,
    cancellation,
    client_calls,
    deadlines,
    execution,
    forking,
    leases,
    open_outcomes,
    opening,
    planning,
    progress,
    retrievals,
    steps,
    synthesis,
)
from processors.behaviour import stamped
from processors.budgets import settle
from processors.decider import Step, Timer
from processors.memory import summaries
from processors.memory.imported import session_imported
from processors.objections import objection
from processors.outcomes import Outcome
from processors.repeats import has_seen, let_go, mark_of, with_mark
from processors.state import Phase, SessionState, SessionStatus, Task, TaskStatus
from processors.timers import timers_of
from processors.transition import Transition, encode_state
from schemas.configuration import Configuration
from schemas.envelope import Envelope
from schemas.events.accounts import LeaseGranted, LeaseRefused
from schemas.events.client_calls import ClientCallCancelled, ClientCallReceived
from schemas.events.inputs import (
    ApprovalEdited,
    ApprovalReceived,
    CommandFact,
    ForkRefused,
    MessageReceived,
    OutcomeTold,
    SessionBudgetSet,
    SessionCancelled,
    SessionClosed,
    SessionForked,
    SessionImported,
    SessionOpened,
)
from schemas.events.models import ModelCallCompleted, ModelCallFailed
from schemas.events.outputs import AnswerReason, ErrorCode
from schemas.events.timers import TimerFired
from schemas.events.tools import ToolCallCompleted, ToolCallFailed
from schemas.frozen import replace
from schemas.plain import from_plain
from schemas.references import RecordReference


class SessionDecider:
    """Decides for sessions by one configuration."""

    def __init__(self, configuration: Configuration, *, objects: bool = True) -> None:
        """Take the configuration; it does not change.

        Args:
            configuration: by which it decides.
            objects: False in a replay. What the log says was applied is decided again; what was refused
                stands in a dead letter, and logs from before anything was refused replay as well.
        """
        self.configuration = stamped(configuration)
        self._objects = objects

    def initial(self, key: str) -> SessionState:
        """Return a session that nobody has spoken in."""
        return SessionState(session_id=key)

    def advance(self, state: SessionState, event: Envelope, source: RecordReference) -> Step[SessionState]:
        """Apply one input that stands at `source`."""
        if self._objects and (refused := objection(state, event)) is not None:
            return Step(state=state, events=(), refused=refused)
        transition = Transition(state, event, source, self.configuration)
        if steps.renew_asked(transition):
            execution.schedule(transition)
        _apply(transition)
        forking.resume(transition)
        opening.start_next_turn(transition)
        deadlines.rest_while_asking(transition)
        cancellation.note_rest(transition)
        asked_calls.withdraw(transition, state)
        return transition.finish()

    def mark(self, state: SessionState, event: Envelope) -> str | None:
        """Return by what a repeat of an input is known; who may not say it is refused, and told so."""
        if not isinstance(event.body, CommandFact) or objection(state, event) is not None:
            return None
        mark = mark_of(event.event_id)
        return None if has_seen(state.seen, mark) else mark

    def timers(self, state: SessionState) -> tuple[Timer, ...]:
        """Return the deadlines and delays that the session waits for."""
        return timers_of(state, self.configuration.limits)

    def ended_at_ms(self, state: SessionState) -> int | None:
        """Return when the session ended, once its last bill is known."""
        return state.ended_at_ms if not state.budget.reservations else None

    def encode(self, state: SessionState) -> bytes:
        """Write a state as JSON."""
        return encode_state(state)

    def decode(self, data: bytes) -> SessionState:
        """Read a state; fields that an earlier version did not have get their defaults."""
        return from_plain(SessionState, orjson.loads(data))


def _apply(transition: Transition) -> None:
    body = transition.event.body
    match body:
        case (
            SessionOpened()
            | MessageReceived()
            | ApprovalReceived()
            | ApprovalEdited()
            | SessionCancelled()
            | SessionClosed()
            | SessionForked()
            | SessionBudgetSet()
            | ForkRefused()
            | OutcomeTold()
            | SessionImported()
        ):
            _user_input(transition, body)
        case ClientCallReceived():
            client_calls.received(transition, body)
        case ClientCallCancelled():
            client_calls.cancelled(transition, body)
        case ModelCallCompleted() | ModelCallFailed() | ToolCallCompleted() | ToolCallFailed():
            _outcome(transition, body)
        case TimerFired():
            _due(transition)
        case LeaseGranted():
            if not call_accounts.granted(transition, body):
                leases.lease_granted(transition, body)
            _go_on(transition)
        case LeaseRefused() if call_accounts.refused(transition, body):
            client_calls.take_waiting(transition)
        case LeaseRefused():
            leases.lease_refused(transition, body)
            if transition.state.status is SessionStatus.ENDED:
                client_calls.refuse_all(transition, body.reason)
        case _:
            # Facts that are not addressed to sessions are no concern here.
            return


def _user_input(transition: Transition, body: CommandFact) -> None:
    state = transition.state
    mark = mark_of(transition.event.event_id)
    if has_seen(state.seen, mark):
        return
    seen = with_mark(state.seen, mark)
    transition.let_go = let_go(state.seen, seen)
    if isinstance(body, SessionImported):
        # It comes with a message, which is told what there is to tell.
        transition.state = replace(state, seen=seen)
        session_imported(transition, body)
        return
    transition.state = state = replace(state, seen=seen, idle_since_ms=None)
    if state.status is SessionStatus.ENDED:
        transition.refuse(ErrorCode.SESSION_CLOSED, "the session has ended and takes no more input")
        return
    match body:
        case SessionOpened():
            opening.session_opened(transition, body)
        case MessageReceived():
            opening.message_received(transition, body)
        case ApprovalReceived() | ApprovalEdited():
            _approval(transition, body)
        case SessionCancelled():
            cancellation.cancel(transition, body)
        case SessionClosed():
            cancellation.close(transition)
        case SessionForked():
            forking.session_forked(transition, body)
        case SessionBudgetSet():
            leases.budget_set(transition, body)
            _go_on(transition)
        case OutcomeTold():
            _outcome_told(transition, body)
        case ForkRefused():
            transition.refuse(ErrorCode.FORK_INVALID, body.reason)
        case _:
            assert_never(body)


def _go_on(transition: Transition) -> None:
    """Look again at what waits for budget, since there is another one."""
    client_calls.take_waiting(transition)
    turn = transition.state.turn
    if turn is not None:
        execution.schedule(transition)
        progress.report_ends(transition, turn)


def _approval(transition: Transition, body: ApprovalReceived | ApprovalEdited) -> None:
    if transition.state.status is SessionStatus.NEW:
        transition.refuse(ErrorCode.UNKNOWN_SESSION, "there is no such session")
        return
    found = asked_calls.find(transition, body.approval_id)
    if found is None:
        transition.refuse(ErrorCode.UNKNOWN_APPROVAL, "no call waits for this approval")
        return
    steps.approver_said(transition, *found, body)
    execution.schedule(transition)


def _outcome_told(transition: Transition, body: OutcomeTold) -> None:
    if transition.state.status is SessionStatus.NEW:
        transition.refuse(ErrorCode.UNKNOWN_SESSION, "there is no such session")
        return
    for task in transition.turn.tasks.values() if transition.state.turn else ():
        if open_outcomes.is_open(task, body.call_id):
            steps.outcome_told(transition, task, body)
            execution.schedule(transition)
            return
    transition.refuse(ErrorCode.UNKNOWN_CALL, "nobody is asked what became of such a call")


def _outcome(transition: Transition, body: Outcome) -> None:
    if transition.state.calls_of is not None and isinstance(body, ModelCallCompleted | ModelCallFailed):
        client_calls.outcome(transition, body)
        cancellation.return_lease(transition)
        return
    settled = settle(transition, body)
    if isinstance(body, ModelCallCompleted | ModelCallFailed) and summaries.is_asked_for(
        transition, body.call_id
    ):
        summaries.ended(transition, body)
    turn = transition.state.turn
    if (
        settled is not None
        and isinstance(body, ToolCallCompleted)
        and (turn is None or _waiting_task(transition, body.call_id) is None)
    ):
        retrievals.measure_late(transition, body)
    if turn is None:
        cancellation.return_lease(transition)
        return
    if isinstance(body, ModelCallCompleted | ModelCallFailed) and body.call_id == turn.model_call_id:
        transition.turn = replace(transition.turn, model_call_id=None)
        _turn_call(transition, body)
        return
    before = turn
    task = _waiting_task(transition, body.call_id)
    if task is not None:
        match body:
            case ModelCallCompleted():
                steps.step_completed(transition, task, body)
            case ModelCallFailed():
                steps.step_failed(transition, task, body)
            case ToolCallCompleted() | ToolCallFailed():
                steps.tool_call_ended(transition, task, body)
            case _:
                assert_never(body)
        _apply_failure_policy(transition)
    # Even a late outcome releases what others may wait for.
    progress.report_ends(transition, before)
    execution.schedule(transition)


def _turn_call(transition: Transition, body: ModelCallCompleted | ModelCallFailed) -> None:
    match transition.turn.phase, body:
        case Phase.PLAN, ModelCallCompleted():
            planning.plan_completed(transition, body)
        case Phase.PLAN, ModelCallFailed():
            planning.plan_failed(transition, body)
        case Phase.CRITIQUE, ModelCallCompleted():
            planning.critique_completed(transition, body)
        case Phase.CRITIQUE, ModelCallFailed():
            planning.critique_failed(transition, body)
        case Phase.SYNTHESIZE, ModelCallCompleted():
            synthesis.synthesis_completed(transition, body)
        case Phase.SYNTHESIZE, ModelCallFailed():
            synthesis.synthesis_failed(transition, body)
        case _:
            raise AssertionError("a turn that executes has no call of its own")


def _due(transition: Transition) -> None:
    """Do what is due at the time that the timer tells; which timer told it does not matter."""
    turn = transition.state.turn
    if turn is None:
        client_calls.due(transition)
        cancellation.end_if_idle(transition)
        return
    if deadlines.is_over(turn, transition.now_ms):
        cancellation.deadline(transition)
        return
    if turn.retry_at_ms is not None and turn.retry_at_ms <= transition.now_ms:
        transition.turn = replace(turn, retry_at_ms=None)
        if turn.phase is Phase.SYNTHESIZE:
            synthesis.ask_for_answer(transition)
        else:
            planning.retry(transition)
    if transition.state.turn is None or transition.turn.number != turn.number:
        return
    before = turn
    execution.due(transition)
    progress.report_ends(transition, before)


def _apply_failure_policy(transition: Transition) -> None:
    """End the turn at the first failed task where the configuration says so."""
    if transition.configuration.limits.failure_policy != "fail" or transition.state.turn is None:
        return
    if any(task.status is TaskStatus.FAILED for task in transition.turn.tasks.values()):
        cancellation.give_up(
            transition, AnswerReason.TASKS_FAILED, "a task failed, and the configuration ends the turn then"
        )


def _waiting_task(transition: Transition, call_id: str) -> Task | None:
    for task in transition.turn.tasks.values():
        if task.model_call_id == call_id or any(call.call_id == call_id for call in task.tool_calls):
            return task
    return None
