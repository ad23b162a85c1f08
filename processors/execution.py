"""The scheduling decider: tasks are created, started in parallel by priority, and followed to their ends."""

from collections.abc import Mapping

from processors import snapshots, steps, synthesis
from processors.answers import prune
from processors.calls import tell_unaffordable
from processors.plans import agent_of, prerequisites
from processors.progress import report
from processors.state import Phase, Prerequisite, Task, TaskStatus, ToolCallStatus, Turn
from processors.transition import Transition
from schemas.events.outputs import AnswerReason
from schemas.events.plans import PlannedTask
from schemas.events.snapshots import Node
from schemas.events.tasks import PruneReason, TaskCreated, TaskEdge, TaskReady, TaskStalled, TaskStarted
from schemas.frozen import replace
from schemas.ids import derived_id


def begin(transition: Transition, accepted_event_id: str) -> None:
    """Create the plan's tasks and start what can be started."""
    create_tasks(transition, (accepted_event_id,), start=True)
    transition.turn = replace(
        transition.turn, phase=Phase.EXECUTE, model_call_id=None, attempt=1, prompt_tokens_min=0
    )
    number = len(transition.turn.tasks)
    report(transition, f"the work begins: {number} task{'' if number == 1 else 's'}")
    schedule(transition, announce=True)
    if transition.state.turn is not None and transition.turn.phase is Phase.EXECUTE:
        snapshots.take(transition, Node.EXECUTE)


def create_tasks(transition: Transition, evidence: tuple[str, ...], *, start: bool = False) -> None:
    """Create the tasks of the turn's plan; all are pending.

    With `start`, those that `schedule` starts first are told to run from their creation on.
    """
    turn = transition.turn
    planned = turn.draft.tasks
    ids = {
        task.key: snapshots.task_id_of(transition.state.session_id, turn.number, task.key) for task in planned
    }
    before = prerequisites(planned, ids)
    started = _first(planned, before, transition.configuration.limits.running_max) if start else set()
    created: set[str] = set()
    for task in planned:
        created.add(task.key)
        parent_id = ids[task.parent_key] if task.parent_key else turn.root_task_id
        budget_tokens = _budget_tokens(transition, task)
        created_event_id = transition.emit(
            TaskCreated(
                task_id=ids[task.key],
                parent_id=parent_id,
                plan_id=turn.draft.plan_id,
                turn=turn.number,
                intent=task.intent,
                agent=task.agent,
                priority=task.priority,
                budget_tokens=budget_tokens,
                estimated_tokens=task.estimated_tokens,
                spec_json=_spec_json(task),
                edges=_edges(planned, task, ids, created),
                started=task.key in started,
            ),
            evidence,
        )
        transition.put(
            Task(
                task_id=ids[task.key],
                key=task.key,
                parent_id=parent_id,
                intent=task.intent,
                agent=task.agent,
                priority=task.priority,
                budget_tokens=budget_tokens,
                difficulty=task.difficulty,
                prerequisites=before[task.key],
                relations=tuple(f"{edge.relation}:{edge.other_key}" for edge in task.edges),
                created_event_id=created_event_id,
                started_event_id=created_event_id if task.key in started else "",
                progress_at_ms=transition.now_ms,
                made_from=turn.draft.made_from,
            )
        )


def schedule(transition: Transition, *, announce: bool = False) -> None:
    """Start, prune and retry until nothing more can happen before the next input.

    With `announce`, tasks that only the limit on running tasks holds back are told to be ready.
    """
    while transition.state.turn is not None and transition.turn.phase is Phase.EXECUTE:
        moved = _prune_orphans(transition) or _take_waiting_steps(transition) or _start_one(transition)
        if moved:
            continue
        if all(task.status.is_end for task in transition.turn.tasks.values()):
            synthesis.ask_for_answer(transition)
            return
        if not _prune_unaffordable(transition):
            break
    if announce:
        _announce_ready(transition)


def due(transition: Transition) -> None:
    """Repeat attempts whose delay is over, go on with tool calls that waited, and look for stalled tasks."""
    now_ms = transition.now_ms
    for task_id in tuple(transition.turn.tasks):
        task = transition.turn.tasks[task_id]
        if task.retry_at_ms is not None and task.retry_at_ms <= now_ms:
            _start_again(transition, task)
        elif task.tool_calls:
            steps.tool_calls_due(transition, task)
    _check_stalls(transition)
    schedule(transition)


def _start_again(transition: Transition, task: Task) -> None:
    """Begin the next attempt of a task whose delay is over."""
    attempt = task.attempt + 1
    started = transition.emit(TaskStarted(task_id=task.task_id, attempt=attempt), (task.created_event_id,))
    task = replace(task, retry_at_ms=None, attempt=attempt, steps=0, repairs=0, started_event_id=started)
    transition.put(task)
    steps.take_step(transition, task)


def _prune_orphans(transition: Transition) -> bool:
    """Drop one task that needs the result of a task that ended without one."""
    tasks = transition.turn.tasks
    for task in tasks.values():
        if task.status is not TaskStatus.PENDING:
            continue
        for prerequisite in task.prerequisites:
            earlier = tasks[prerequisite.task_id]
            if prerequisite.must_complete and earlier.status.is_end and not _is_complete(earlier):
                evidence = (earlier.ended_event_id,) if earlier.ended_event_id else ()
                prune(
                    transition,
                    task,
                    PruneReason.DEPENDENCY_FAILED,
                    f"task {earlier.key} was {earlier.status}",
                    evidence,
                )
                return True
    return False


def _take_waiting_steps(transition: Transition) -> bool:
    """Take one step that waited for budget and can be afforded now."""
    waiting = [task for task in transition.turn.tasks.values() if task.needs_step or _has_waiting_call(task)]
    return any(steps.take_waiting(transition, task) for task in _by_priority(waiting))


def _start_one(transition: Transition) -> bool:
    tasks = transition.turn.tasks
    running = sum(task.status is TaskStatus.RUNNING for task in tasks.values())
    ready = [task for task in tasks.values() if _is_ready(transition.turn, task)]
    if not ready or running >= transition.configuration.limits.running_max:
        return False
    task = _by_priority(ready)[0]
    evidence = tuple(
        ended
        for prerequisite in task.prerequisites
        if (ended := tasks[prerequisite.task_id].ended_event_id) is not None
    )
    started_event_id = task.started_event_id
    if not started_event_id:
        started = TaskStarted(task_id=task.task_id, attempt=1)
        started_event_id = transition.emit(started, (task.created_event_id, *evidence))
    task = replace(
        task,
        status=TaskStatus.RUNNING,
        attempt=1,
        started_event_id=started_event_id,
        started_at_ms=transition.now_ms,
        progress_at_ms=transition.now_ms,
    )
    transition.put(task)
    steps.take_step(transition, task)
    return True


def _prune_unaffordable(transition: Transition) -> bool:
    """Drop the least urgent task that waits for budget which no outcome in flight can free."""
    waiting = [task for task in transition.turn.tasks.values() if task.needs_step]
    if not waiting or transition.budget.reservations:
        return False
    task = _by_priority(waiting)[-1]
    unaffordable = steps.unaffordable(transition, task)
    if unaffordable is None:
        steps.take_step(transition, task)
        return True
    told = tell_unaffordable(transition, unaffordable)
    transition.turn = replace(
        transition.turn, degraded=transition.turn.degraded or AnswerReason.BUDGET_EXHAUSTED
    )
    prune(transition, task, PruneReason.BUDGET_EXHAUSTED, "the session's budget has too little left", (told,))
    return True


def _check_stalls(transition: Transition) -> None:
    turn = transition.turn
    limit = transition.configuration.limits.stall_ms
    if turn.stall_check_at_ms > transition.now_ms:
        return
    running = [
        task
        for task in turn.tasks.values()
        # A person may take their time.
        if task.status is TaskStatus.RUNNING and not task.is_asking
    ]
    for task in running:
        silent_ms = transition.now_ms - task.progress_at_ms
        if silent_ms >= limit and not task.stalled:
            transition.emit(TaskStalled(task_id=task.task_id, silent_ms=silent_ms))
            transition.put(replace(task, stalled=True))
    oldest = min((task.progress_at_ms for task in running if not task.stalled), default=transition.now_ms)
    check_at_ms = max(oldest + limit, transition.now_ms + limit // 4)
    transition.turn = replace(transition.turn, stall_check_at_ms=check_at_ms)


def _announce_ready(transition: Transition) -> None:
    if transition.state.turn is None:
        return
    for task in transition.turn.tasks.values():
        if _is_ready(transition.turn, task):
            transition.emit(TaskReady(task_id=task.task_id))


def _budget_tokens(transition: Transition, task: PlannedTask) -> int:
    """Return the most that a task's calls may use together.

    It is enough for every attempt to use what is expected of one, and beside that for what a call has to
    reserve: the longest answer, or the most that a tool uses; and, where answers have to fit a form, for
    mending one. At most the configured bound, and what the session was granted.
    """
    configuration = transition.configuration
    limits, agent = configuration.limits, agent_of(task.agent, configuration)
    tools = [configuration.tools[name].tokens_max for name in agent.tools if name in configuration.tools]
    wanted = limits.attempts_max * task.estimated_tokens + agent.output_tokens_max + max(tools, default=0)
    if agent.output_model_json:
        wanted += limits.repairs_max * (task.estimated_tokens + agent.output_tokens_max)
    return max(1, min(wanted, limits.task_budget_tokens, transition.budget.tokens_granted))


def _is_ready(turn: Turn, task: Task) -> bool:
    if task.status is not TaskStatus.PENDING:
        return False
    return all(
        _is_complete(turn.tasks[prerequisite.task_id])
        if prerequisite.must_complete
        else turn.tasks[prerequisite.task_id].status.is_end
        for prerequisite in task.prerequisites
    )


def _is_complete(task: Task) -> bool:
    return task.status is TaskStatus.COMPLETE


def _has_waiting_call(task: Task) -> bool:
    return any(call.status is ToolCallStatus.WAITING for call in task.tool_calls)


def _by_priority(tasks: list[Task]) -> list[Task]:
    """Most urgent first; the plan's order among equals."""
    return sorted(tasks, key=lambda task: -task.priority)


def _first(
    planned: tuple[PlannedTask, ...], before: Mapping[str, tuple[Prerequisite, ...]], running_max: int
) -> set[str]:
    """Return the keys of the tasks that `_start_one` starts before any other, whatever becomes of them."""
    free = sorted((task for task in planned if not before[task.key]), key=lambda task: -task.priority)
    return {task.key for task in free[:running_max]}


def _edges(
    planned: tuple[PlannedTask, ...], task: PlannedTask, ids: dict[str, str], created: set[str]
) -> tuple[TaskEdge, ...]:
    """Return the relations between `task` and those created before it, whoever stated them."""
    stated = [(task, edge) for edge in task.edges if edge.other_key in created]
    stated += [
        (other, edge)
        for other in planned
        if other.key in created and other.key != task.key
        for edge in other.edges
        if edge.other_key == task.key
    ]
    return tuple(
        TaskEdge(
            edge_id=derived_id(ids[owner.key], "edge", edge.relation, ids[edge.other_key]),
            from_task_id=ids[owner.key],
            to_task_id=ids[edge.other_key],
            relation=edge.relation,
            weight=edge.weight,
        )
        for owner, edge in stated
    )


def _spec_json(task: PlannedTask) -> str:
    return snapshots.json_text(
        {
            "key": task.key,
            "parent": task.parent_key,
            "edges": [
                {"relation": edge.relation, "task": edge.other_key, "weight": edge.weight}
                for edge in task.edges
            ],
        }
    )
