"""Tasks, turns and sessions: each ends once, and none begins too early."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from schemas.events.outputs import AnswerGiven, SessionEnded, TurnStarted
from schemas.events.tasks import (
    TaskAborted,
    TaskCompleted,
    TaskCreated,
    TaskFailed,
    TaskPruned,
    TaskReady,
    TaskRetried,
    TaskStarted,
)
from tests.invariants.stories import Story
from tests.invariants.violation import Violation

ENDS: Final = (TaskCompleted, TaskFailed, TaskPruned, TaskAborted)
GOINGS_ON: Final = (TaskReady, TaskStarted, TaskRetried, *ENDS)


def ends(story: Story) -> Iterator[Violation]:
    """Every task, turn and session ends once at rest, and nothing happens to a task after its end."""
    created = Counter(fact.task_id for fact in story.facts(TaskCreated))
    ended: Counter[str] = Counter()
    for event in story.events:
        if not isinstance(event.body, GOINGS_ON):
            continue
        task_id = event.body.task_id
        if ended[task_id]:
            yield _broken("I5", story, f"#{event.sequence} {event.type} after the end of task {task_id}")
        ended[task_id] += isinstance(event.body, ENDS)
    for task_id in sorted(created.keys() | ended.keys()):
        if created[task_id] != 1 or ended[task_id] != 1:
            told = f"the task {task_id} was created {created[task_id]} times and ended {ended[task_id]} times"
            yield _broken("I5", story, told)
    yield from _turns(story)


def _turns(story: Story) -> Iterator[Violation]:
    turns = Counter(fact.turn for fact in story.facts(TurnStarted))
    answers = Counter(fact.turn for fact in story.facts(AnswerGiven))
    finals = story.facts(SessionEnded)
    if len(finals) > 1:
        yield _broken("I5", story, f"the session ended {len(finals)} times")
    for turn in sorted(turns.keys() | answers.keys()):
        if turns[turn] != 1 or answers[turn] > 1:
            told = f"the turn {turn} was started {turns[turn]} times and answered {answers[turn]} times"
            yield _broken("I5", story, told)
    unanswered = sorted(turns.keys() - answers.keys())
    cut = any(fact.reason == "cancelled" for fact in finals)
    if len(unanswered) > (1 if cut else 0):
        yield _broken("I12", story, f"the turns {unanswered} have no answer")


def order(story: Story) -> Iterator[Violation]:
    """No task starts before what it depends on is complete."""
    needs: dict[str, set[str]] = defaultdict(set)
    complete: set[str] = set()
    for event in story.events:
        match event.body:
            case TaskCreated() as created:
                for edge in created.edges:
                    if edge.relation == "depends_on":
                        needs[edge.from_task_id].add(edge.to_task_id)
                if created.started and needs[created.task_id]:
                    yield _broken("I7", story, f"the task {created.task_id} started before what it needs")
            case TaskCompleted() as completed:
                complete.add(completed.task_id)
            case TaskStarted() as started:
                missing = sorted(needs[started.task_id] - complete)
                if missing:
                    yield _broken("I7", story, f"the task {started.task_id} started before {missing} ended")
            case _:
                pass


def _broken(invariant: str, story: Story, told: str) -> Violation:
    return Violation(invariant=invariant, subject=story.session_id, message=told)
