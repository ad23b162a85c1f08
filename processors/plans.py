"""Plans checked before anything acts on them: the agents, and a graph without cycles and within limits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from processors.outputs import Misread, read_plan
from processors.state import Prerequisite
from schemas.configuration import Agent, Configuration, Limits
from schemas.events.plans import PlannedEdge, PlannedTask, RejectReason, Relation
from schemas.frozen import replace


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFault:
    """Why a plan is rejected."""

    reason: RejectReason
    detail: str


def parse_plan(text: str, agents: Mapping[str, Agent], limits: Limits) -> tuple[PlannedTask, ...] | PlanFault:
    """Check a planner's answer: JSON, the schema, the agents, and a graph without cycles and within limits.

    The JSON may have text around it, and the tasks may stand without an object around them. They come back in
    an order in which each follows its prerequisites.
    """
    output = read_plan(text)
    if isinstance(output, Misread):
        reason = RejectReason.SCHEMA_ERROR if output.is_json else RejectReason.PARSE_ERROR
        return PlanFault(reason=reason, detail=output.detail)
    tasks = tuple(
        PlannedTask(
            key=task.key,
            parent_key=task.parent,
            intent=task.intent,
            agent=_known(task.agent, agents),
            priority=task.priority,
            difficulty=task.difficulty,
            edges=tuple(
                PlannedEdge(relation=Relation(edge.relation), other_key=edge.task, weight=edge.weight)
                for edge in task.edges
            ),
        )
        for task in output.tasks
    )
    return check_plan(tasks, agents, limits)


def check_plan(
    tasks: tuple[PlannedTask, ...], agents: Mapping[str, Agent], limits: Limits
) -> tuple[PlannedTask, ...] | PlanFault:
    """Check a plan's agents and graph; the tasks come back sorted, each after its prerequisites."""
    return _names_fault(tasks, agents, limits) or _ordered(tasks, limits)


def default_plan(agents: Mapping[str, Agent], limits: Limits) -> tuple[PlannedTask, ...]:
    """Return the plan of a request for which no plan can be had: one task of the default agent."""
    return one_task(_default_agent(agents, limits))


def agent_of(name: str, configuration: Configuration) -> Agent:
    """Return who does a task: the default agent where its own is not in the configuration any more."""
    agents = configuration.agents
    return agents.get(name) or agents[_default_agent(agents, configuration.limits)]


def _default_agent(agents: Mapping[str, Agent], limits: Limits) -> str:
    """Return the default agent's name, else the first that needs no tools, or the first of all."""
    without_tools = sorted(name for name, agent in agents.items() if not agent.tools)
    return next(name for name in (limits.default_agent, *without_tools, *sorted(agents)) if name in agents)


def one_task(agent: str) -> tuple[PlannedTask, ...]:
    """Return the plan by which one agent answers."""
    return (PlannedTask(key="answer", intent="Answer the request", agent=agent),)


def prerequisites_of(tasks: Iterable[PlannedTask]) -> dict[str, dict[str, bool]]:
    """Return for each key the keys that must end before it, and whether they must end well.

    `a depends_on b` and `a refines b`: b before a. `a enables b`: a before b. `a blocks b`: b waits for
    a's end, good or bad. A parent sums up its children, so it waits for their ends.
    """
    tasks = tuple(tasks)
    before: dict[str, dict[str, bool]] = {task.key: {} for task in tasks}

    def add(later: str, earlier: str, *, must_complete: bool) -> None:
        before[later][earlier] = before[later].get(earlier, False) or must_complete

    for task in tasks:
        if task.parent_key is not None:
            add(task.parent_key, task.key, must_complete=False)
        for edge in task.edges:
            match edge.relation:
                case Relation.DEPENDS_ON | Relation.REFINES:
                    add(task.key, edge.other_key, must_complete=True)
                case Relation.ENABLES:
                    add(edge.other_key, task.key, must_complete=True)
                case _:
                    add(edge.other_key, task.key, must_complete=False)
    return before


def prerequisites(
    tasks: Iterable[PlannedTask], ids: Mapping[str, str]
) -> dict[str, tuple[Prerequisite, ...]]:
    """Return each task's prerequisites, with the tasks' ids in place of their keys."""
    return {
        key: tuple(
            Prerequisite(task_id=ids[earlier], must_complete=must_complete)
            for earlier, must_complete in before.items()
        )
        for key, before in prerequisites_of(tasks).items()
    }


def _known(agent: str, agents: Mapping[str, Agent]) -> str:
    """Return the agent that is meant: names differ by more than case and blanks."""
    alike = [name for name in agents if name.casefold() == agent.strip().casefold()]
    return agent if agent in agents or len(alike) != 1 else alike[0]


def _names_fault(
    tasks: tuple[PlannedTask, ...], agents: Mapping[str, Agent], limits: Limits
) -> PlanFault | None:
    keys = [task.key for task in tasks]
    if not tasks:
        return PlanFault(reason=RejectReason.EMPTY, detail="the plan has no task")
    if len(tasks) > limits.tasks_max:
        return PlanFault(
            reason=RejectReason.TOO_WIDE,
            detail=f"the plan has {len(tasks)} tasks; at most {limits.tasks_max} are allowed",
        )
    if len(set(keys)) < len(keys):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        return PlanFault(
            reason=RejectReason.SCHEMA_ERROR, detail=f"these keys appear more than once: {', '.join(twice)}"
        )
    for task in tasks:
        if task.agent not in agents:
            known = ", ".join(sorted(agents))
            return PlanFault(
                reason=RejectReason.UNKNOWN_AGENT,
                detail=f"task {task.key} names the agent {task.agent!r}; the agents are {known}",
            )
        others = [edge.other_key for edge in task.edges] + ([task.parent_key] if task.parent_key else [])
        unknown = sorted(set(others) - set(keys))
        if unknown:
            return PlanFault(
                reason=RejectReason.UNKNOWN_TASK,
                detail=f"task {task.key} refers to {', '.join(unknown)}, not in the plan",
            )
        if len(task.intent) > limits.intent_characters_max:
            return PlanFault(
                reason=RejectReason.SCHEMA_ERROR,
                detail=f"the intent of task {task.key} has {len(task.intent):,} characters; "
                f"at most {limits.intent_characters_max:,} are allowed",
            )
        if task.key in others:
            return PlanFault(reason=RejectReason.CYCLE, detail=f"task {task.key} refers to itself")
        if len(others) > limits.width_max:
            return PlanFault(
                reason=RejectReason.TOO_WIDE,
                detail=f"task {task.key} has {len(others)} relations; at most {limits.width_max} are allowed",
            )
    return None


def _ordered(tasks: tuple[PlannedTask, ...], limits: Limits) -> tuple[PlannedTask, ...] | PlanFault:
    """Sort topologically, earliest first, keeping the plan's order where it is free."""
    before = prerequisites_of(tasks)
    depth: dict[str, int] = {}
    ordered: list[PlannedTask] = []
    waiting = list(tasks)
    while waiting:
        free = [task for task in waiting if all(key in depth for key in before[task.key])]
        if not free:
            return PlanFault(
                reason=RejectReason.CYCLE, detail=f"these tasks wait for each other: {_cycle(before, depth)}"
            )
        for task in free:
            depth[task.key] = 1 + max((depth[key] for key in before[task.key]), default=0)
            ordered.append(task)
        waiting = [task for task in waiting if task.key not in depth]
    deepest = max(depth.values())
    if deepest > limits.depth_max:
        return PlanFault(
            reason=RejectReason.TOO_DEEP,
            detail=f"the longest chain has {deepest} tasks; at most {limits.depth_max} are allowed",
        )
    return tuple(ordered)


def _cycle(before: Mapping[str, Mapping[str, bool]], done: Mapping[str, int]) -> str:
    """Walk back from a task that waits until one comes up again."""
    key = next(key for key in before if key not in done)
    path: list[str] = []
    while key not in path:
        path.append(key)
        key = next(earlier for earlier in before[key] if earlier not in done)
    cycle = [*path[path.index(key) :], key]
    return " → ".join(reversed(cycle))


def with_estimates(tasks: tuple[PlannedTask, ...], estimate: Mapping[str, int]) -> tuple[PlannedTask, ...]:
    """Write the expected tokens of each task beside it."""
    return tuple(replace(task, estimated_tokens=estimate[task.key]) for task in tasks)
