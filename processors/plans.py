"""What a planner and a critic may answer: structured output, checked before anything acts on it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from processors.state import Prerequisite
from schemas.configuration import Agent, Limits
from schemas.events.plans import PlannedEdge, PlannedTask, RejectReason, Relation
from schemas.frozen import replace
from schemas.words import listed

DETAIL_CHARACTERS_MAX: Final = 1_000
FAULTS_TOLD_MAX: Final = 5


class EdgeOutput(BaseModel):
    """A relation as the planner writes it."""

    model_config = ConfigDict(extra="ignore")

    relation: Literal["depends_on", "blocks", "enables", "refines"]
    task: Annotated[str, Field(min_length=1, max_length=60)]
    weight: Annotated[float, Field(ge=0, le=1)] = 1.0


class TaskOutput(BaseModel):
    """A task as the planner writes it."""

    model_config = ConfigDict(extra="ignore")

    key: Annotated[str, Field(min_length=1, max_length=60)]
    intent: Annotated[str, Field(min_length=1)]
    agent: Annotated[str, Field(min_length=1, max_length=50)]
    priority: Annotated[int, Field(ge=1, le=10)] = 5
    parent: Annotated[str, Field(max_length=60)] | None = None
    edges: list[EdgeOutput] = []


class PlanOutput(BaseModel):
    """A plan as the planner writes it."""

    model_config = ConfigDict(extra="ignore")

    tasks: list[TaskOutput]


class CritiqueOutput(BaseModel):
    """A critique as the critic writes it."""

    model_config = ConfigDict(extra="ignore")

    score: Annotated[float, Field(ge=0, le=1)]
    remarks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFault:
    """Why a plan is rejected."""

    reason: RejectReason
    detail: str


def parse_plan(text: str, agents: Mapping[str, Agent], limits: Limits) -> tuple[PlannedTask, ...] | PlanFault:
    """Check a planner's answer: JSON, the schema, the agents, and a graph without cycles and within limits.

    The tasks come back in an order in which each follows its prerequisites.
    """
    try:
        output = PlanOutput.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        reason = RejectReason.PARSE_ERROR if first["type"] == "json_invalid" else RejectReason.SCHEMA_ERROR
        return PlanFault(reason=reason, detail=_described(error))
    tasks = tuple(
        PlannedTask(
            key=task.key,
            parent_key=task.parent or None,
            intent=task.intent,
            agent=task.agent,
            priority=task.priority,
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


def parse_critique(text: str) -> CritiqueOutput | str:
    """Check a critic's answer; a text says what is wrong with it."""
    try:
        return CritiqueOutput.model_validate_json(text)
    except ValidationError as error:
        return _described(error)


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


def _described(error: ValidationError) -> str:
    """Say what is wrong in sentences of our own: they enter states, which a library's wording must not."""
    faults = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'the answer'}: "
        f"{_sentence(fault['type'], fault.get('ctx', {}))}"
        for fault in error.errors(include_url=False, include_input=False)[:FAULTS_TOLD_MAX]
    ]
    return "; ".join(faults)[:DETAIL_CHARACTERS_MAX]


def _sentence(kind: str, context: Mapping[str, object]) -> str:
    """Say what is wrong with a value; `kind` and the bounds in `context` are pydantic's, the words ours."""
    match kind:
        case "json_invalid":
            return "this is not JSON"
        case "missing":
            return "this is missing"
        case "string_type":
            return "this must be a text"
        case "string_too_short":
            return "this must not be empty"
        case "string_too_long":
            return f"this may have at most {context.get('max_length')} characters"
        case "greater_than_equal":
            return f"this must be at least {context.get('ge')}"
        case "less_than_equal":
            return f"this must be at most {context.get('le')}"
        case "literal_error":
            return f"this must be {listed(Relation)}"
        case "list_type":
            return "this must be a list"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "this must be an object"
        case "int_type" | "int_parsing" | "int_parsing_size" | "int_from_float":
            return "this must be a whole number"
        case "float_type" | "float_parsing" | "finite_number":
            return "this must be a number"
        case _:
            return "this has a form that is not understood"


def with_estimates(tasks: tuple[PlannedTask, ...], estimate: Mapping[str, int]) -> tuple[PlannedTask, ...]:
    """Write the expected tokens of each task beside it."""
    return tuple(replace(task, estimated_tokens=estimate[task.key]) for task in tasks)
