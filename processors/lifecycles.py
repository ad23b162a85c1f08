"""The lives of what a session holds: which moves are legal, and what tells of each.

Everything with a status has one life here. A life begins in one of the statuses that `BEGINS` leads to, moves
as its table says, and is over in a status that leads nowhere, or, where `ENDS` is among the moves, by
leaving the state. Staying in a status is no move and always legal.

    Rule 1   A status changes only by a move of its table; `Lifecycle.move` asserts it where it is stored.
    Rule 2   Each move has a fact that tells of it, so that the log shows every life in full.
    Rule 3   What is over does not move again: late outcomes are charged and change no status.

A move that no table has is our own mistake, never a user's: the decider raises, and the session is set aside
with the input that it could not take. docs/lifecycles.md is drawn from these tables, and a test takes every
move of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BEGINS: Final = "begins"
"""Before a life."""
ENDS: Final = "ends"
"""After the life of what leaves the state."""
_TASK_ENDS: Final = "TaskCompleted, TaskFailed, TaskPruned or TaskAborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """One kind of life."""

    name: str
    doc: str
    moves: Mapping[str, Mapping[str, str]]
    """By status the statuses that may follow it, each with the facts that tell of the move."""

    def move(self, before: str, after: str) -> None:
        """Demand that the move from one status to another is legal."""
        assert after in self.moves.get(before, ()), f"no {self.name} moves from {before} to {after}"

    @property
    def all_moves(self) -> tuple[tuple[str, str], ...]:
        """Return every legal move, in the tables' order."""
        return tuple((before, after) for before, follows in self.moves.items() for after in follows)


SESSION: Final = Lifecycle(
    name="session",
    doc="A session, from its first input on. It is open while it takes messages.",
    moves={
        "new": {"leasing": "LeaseRequested", "open": "BudgetGranted"},
        "leasing": {"open": "LeaseGranted, BudgetGranted", "ended": "SessionEnded"},
        "open": {"closing": "SessionClosed", "ended": "SessionEnded"},
        "closing": {"ended": "SessionEnded"},
    },
)
TURN: Final = Lifecycle(
    name="turn",
    doc="The phase of a turn. It ends with an answer, or with the session.",
    moves={
        BEGINS: {
            "plan": "TurnStarted",
            "critique": "TurnStarted, by a fork",
            "execute": "TurnStarted, by a fork",
            "synthesize": "TurnStarted, by a fork",
        },
        "plan": {
            "critique": "PlanProposed",
            "execute": "PlanAccepted",
            ENDS: "AnswerGiven or TaskAborted",
        },
        "critique": {
            "plan": "PlanCriticised",
            "execute": "PlanAccepted",
            ENDS: "AnswerGiven or TaskAborted",
        },
        "execute": {"synthesize": "ModelCallRequested", ENDS: "AnswerGiven or TaskAborted"},
        "synthesize": {ENDS: "AnswerGiven or TaskAborted"},
    },
)
TASK: Final = Lifecycle(
    name="task",
    doc="A task of a plan. A failed attempt that is made again leaves it running.",
    moves={
        BEGINS: {"pending": "TaskCreated"},
        "pending": {
            "running": "TaskStarted, or its TaskCreated",
            "pruned": "TaskPruned",
            "aborted": "TaskAborted",
        },
        "running": {
            "complete": "TaskCompleted",
            "failed": "TaskFailed",
            "pruned": "TaskPruned",
            "aborted": "TaskAborted",
        },
    },
)
TOOL_CALL: Final = Lifecycle(
    name="tool call",
    doc="A tool call that a model asks for, until the model can be told what became of it. "
    "It is forgotten when its task ends, however far it has come.",
    moves={
        BEGINS: {
            "waiting": "ModelCallCompleted, or TurnStarted, by a fork",
            "settled": "TurnStarted, by a fork",
        },
        "waiting": {
            "requested": "ToolCallRequested",
            "throttled": "PolicyDecided",
            "escalated": "ApprovalRequested",
            "settled": "PolicyDecided",
            ENDS: f"{_TASK_ENDS}; or TurnStarted, by a fork that decides it again under an id of its own",
        },
        "throttled": {
            "requested": "ToolCallRequested",
            "waiting": "TimerFired",
            "settled": "BudgetExhausted and PolicyDecided",
            ENDS: _TASK_ENDS,
        },
        "escalated": {
            "requested": "ToolCallRequested",
            "waiting": "ApprovalClosed",
            "throttled": "ApprovalClosed and PolicyDecided, under another policy",
            "settled": "ApprovalClosed and PolicyDecided",
            ENDS: _TASK_ENDS,
        },
        "requested": {
            "settled": "ToolCallCompleted or ToolCallFailed",
            "open": "OutcomeAsked",
            ENDS: _TASK_ENDS,
        },
        "open": {"settled": "OutcomeTold", ENDS: _TASK_ENDS},
        "settled": {ENDS: "the next step, or the end of its task"},
    },
)
APPROVAL: Final = Lifecycle(
    name="approval",
    doc="What a person is asked. It is decided once; what is asked again is a request of its own.",
    moves={
        BEGINS: {"asked": "ApprovalRequested"},
        "asked": {
            "approved": "ApprovalClosed",
            "refused": "ApprovalClosed",
            "edited": "ApprovalClosed",
            "expired": "ApprovalClosed",
            "renewed": "ApprovalClosed",
            "withdrawn": "ApprovalClosed",
        },
    },
)
OUTCOME: Final = Lifecycle(
    name="question",
    doc="What a person is asked about a tool call that may have been carried out. As with an approval, the "
    "end of its task leaves nobody who waits for the answer.",
    moves={
        BEGINS: {"asked": "OutcomeAsked"},
        "asked": {"told": "OutcomeTold", "expired": "TaskFailed"},
    },
)
CLIENT_CALL: Final = Lifecycle(
    name="client call",
    doc="A client's single model call, from when it is taken up until its client is told what became of it.",
    moves={
        BEGINS: {"waiting": "ClientCallReceived"},
        "waiting": {"requested": "ModelCallRequested", ENDS: "ClientCallFailed"},
        "requested": {
            "waiting": "ModelCallFailed, whose count of the prompt it reserves anew",
            ENDS: "ClientCallAnswered or ClientCallFailed",
        },
    },
)
LEDGER_ENTRY: Final = Lifecycle(
    name="ledger entry",
    doc="A call in the ledger of the shell that runs it. From dispatched on it may have had its effect; "
    "it is dispatched again where a dead process had it and repeating is harmless.",
    moves={
        BEGINS: {"accepted": "the call, read from its topic"},
        "accepted": {
            "dispatched": "the entry, before the call is run",
            "ended": "the outcome: cancelled, or not to be run again",
        },
        "dispatched": {"ended": "the outcome"},
        "ended": {"done": "the outcome, published"},
        "done": {ENDS: "time: the session's shell repeats it no more"},
    },
)
LIFECYCLES: Final = (SESSION, TURN, TASK, TOOL_CALL, APPROVAL, OUTCOME, CLIENT_CALL, LEDGER_ENTRY)


def lifecycles_markdown() -> str:
    """Return the text of docs/lifecycles.md."""
    parts = [_INTRODUCTION]
    for life in LIFECYCLES:
        lines = [f"    {_end(before)} --> {_end(after)}" for before, after in life.all_moves]
        lines += [f"    {status} --> [*]" for status in _last(life)]
        rows = [
            f"| {before} | {after} | {told} |"
            for before, follows in life.moves.items()
            for after, told in follows.items()
        ]
        parts += [
            f"## {life.name[0].upper()}{life.name[1:]}\n\n{life.doc}\n",
            "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"]) + "\n",
            "\n".join(["| from | to | told by |", "|---|---|---|", *rows]) + "\n",
        ]
    return "\n".join(parts)


_INTRODUCTION: Final = """# Lifecycles

For whoever changes what a session decides, or wonders whether something may happen. Everything with a status
moves only as these tables say; `processors/lifecycles.py` holds them, and states are refused that move
otherwise.

This page is written from the tables by `cartrita schemas document`; do not edit it.
"""


def _end(status: str) -> str:
    return "[*]" if status in (BEGINS, ENDS) else status


def _last(life: Lifecycle) -> list[str]:
    reached = [after for _, after in life.all_moves if after != ENDS]
    return [status for status in dict.fromkeys(reached) if status not in life.moves]
