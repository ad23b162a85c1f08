"""Which projections an event goes through: the one map from facts to tables."""

from typing import Final

from processors.projections import (
    conversation_messages,
    graph_snapshots,
    imports,
    policy_decisions,
    retrieval_metrics,
    schedules,
    sessions,
    task_edges,
    tasks_v2,
    tool_capability_index,
    tool_invocations,
)
from processors.projections.rows import Place, RowChange
from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged, BudgetGranted
from schemas.events.capabilities import ToolCapabilityMeasured
from schemas.events.client_calls import ClientCallReceived
from schemas.events.dead_letters import RecordRejected
from schemas.events.imports import (
    BaselineImported,
    ConversationImported,
    InvocationImported,
    MessageImported,
    RetrievalImported,
    ToolUseImported,
)
from schemas.events.inputs import (
    ApprovalEdited,
    ApprovalReceived,
    ForkRefused,
    MessageReceived,
    OutcomeTold,
    SessionBudgetSet,
    SessionCancelled,
    SessionClosed,
    SessionForked,
    SessionOpened,
)
from schemas.events.outputs import (
    AnswerGiven,
    ApprovalClosed,
    ApprovalRequested,
    ErrorReported,
    NoticeGiven,
    OutcomeAsked,
    ProgressReported,
    SessionEnded,
    TurnStarted,
)
from schemas.events.policies import PolicyDecided
from schemas.events.retrieval import RetrievalMeasured
from schemas.events.schedules import FiringEnded, FiringsSkipped, ScheduleFired, ScheduleStood
from schemas.events.snapshots import GraphSnapshotTaken
from schemas.events.tasks import (
    TaskAborted,
    TaskCompleted,
    TaskCreated,
    TaskFailed,
    TaskPruned,
    TaskReady,
    TaskRetried,
    TaskStalled,
    TaskStarted,
)
from schemas.events.tools import ToolCallCompleted, ToolCallFailed, ToolOutcomeObserved
from topics.catalog import ENTRANCES

_ENTRANCES: Final = frozenset(topic.name for topic in ENTRANCES)


def project(envelope: Envelope, place: Place) -> tuple[RowChange, ...]:
    """Return what an event changes beside the event log, parents before children; it never fails.

    Nothing for an event that changes no table, nor for what stands where inputs enter: only what the ingress
    shell took in counts, and that stands on `session.inputs`.
    """
    if place.topic in _ENTRANCES:
        return ()
    match envelope.body:
        case MessageReceived() as fact:
            return (
                *sessions.of_input(envelope, fact, place),
                *conversation_messages.of_message(envelope, fact, place),
            )
        case SessionForked() as fact:
            return (
                *sessions.of_input(envelope, fact, place),
                *conversation_messages.of_fork(envelope, fact, place),
            )
        case BudgetCharged() as fact:
            return (
                *sessions.of_budget(envelope, fact),
                *conversation_messages.of_charged(envelope, fact),
            )
        case TurnStarted() as fact:
            return (*sessions.of_output(envelope, fact), *conversation_messages.of_turn(envelope, fact))
        case AnswerGiven() as fact:
            return (*sessions.of_output(envelope, fact), *conversation_messages.of_answer(envelope, fact))
        case TaskCreated() as fact:
            return (*tasks_v2.of_task(envelope, fact), *task_edges.of_created(envelope, fact))
        case (
            TaskReady()
            | TaskStarted()
            | TaskCompleted()
            | TaskRetried()
            | TaskFailed()
            | TaskPruned()
            | TaskAborted()
            | TaskStalled() as fact
        ):
            return tasks_v2.of_task(envelope, fact)
        case ToolCallCompleted() as fact:
            return (
                *tool_invocations.of_result(envelope, fact),
                *retrieval_metrics.of_result(envelope, fact),
            )
        case ToolCallFailed() as fact:
            return tool_invocations.of_result(envelope, fact)
        case ToolOutcomeObserved() as fact:
            return tool_invocations.of_outcome(envelope, fact)
        case RetrievalMeasured() as fact:
            return retrieval_metrics.of_measured(envelope, fact)
        case GraphSnapshotTaken() as fact:
            return graph_snapshots.of_snapshot(envelope, fact)
        case PolicyDecided() as fact:
            return policy_decisions.of_decided(envelope, fact)
        case ToolCapabilityMeasured() as fact:
            return tool_capability_index.of_measured(fact)
        case (
            ConversationImported()
            | MessageImported()
            | InvocationImported()
            | RetrievalImported()
            | BaselineImported()
            | ToolUseImported() as fact
        ):
            return imports.of_import(envelope, fact, place)
        case _:
            return _of_one_alone(envelope, place)


def _of_one_alone(envelope: Envelope, place: Place) -> tuple[RowChange, ...]:
    """Return what changes where an event is about its session and nothing in it, or about a schedule."""
    match envelope.body:
        case (
            SessionOpened()
            | ApprovalReceived()
            | ApprovalEdited()
            | SessionCancelled()
            | SessionClosed()
            | SessionBudgetSet()
            | ForkRefused()
            | OutcomeTold() as fact
        ):
            return sessions.of_input(envelope, fact, place)
        case BudgetGranted() as fact:
            return sessions.of_budget(envelope, fact)
        case (
            ProgressReported()
            | ApprovalRequested()
            | ApprovalClosed()
            | ErrorReported()
            | NoticeGiven()
            | OutcomeAsked()
            | SessionEnded() as fact
        ):
            return sessions.of_output(envelope, fact)
        case ClientCallReceived() as fact:
            return sessions.of_call(envelope, fact)
        case RecordRejected() as fact:
            return sessions.of_rejected(envelope, fact, place)
        case ScheduleStood() | ScheduleFired() | FiringsSkipped() | FiringEnded() as fact:
            return schedules.of_schedule(envelope, fact)
        case _:
            return ()
