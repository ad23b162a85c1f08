"""How a request is split into tasks: the facts of `plans`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEdge:
    """A relation between two tasks of a plan, as the model stated it."""

    relation: str
    """depends_on, blocks, enables or refines."""
    other_key: str
    """The `key` of the other task of the same plan."""
    weight: float = 1.0
    """Strength of the relation, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """One task of a plan."""

    key: str
    """Short name, unique in the plan."""
    parent_key: str | None = None
    intent: str
    agent: str
    priority: int = 5
    """1 (least) to 10 (most urgent)."""
    edges: tuple[PlannedEdge, ...] = ()
    estimated_tokens: int = 0
    """What the task is expected to use, counted from its texts before the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProposed:
    """A model's plan passed validation."""

    plan_id: str
    turn: int
    revision: int
    """0 for the first plan, 1 or 2 after a critic's remarks."""
    tasks: tuple[PlannedTask, ...]
    estimated_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRejected:
    """A model's plan failed validation: not JSON, not the schema, or not a sound graph."""

    plan_id: str
    turn: int
    revision: int
    repair: int
    """How many repairs had been tried before this one: 0 to 2."""
    reason: str
    """parse_error, schema_error, unknown_agent, unknown_task, cycle, too_wide, too_deep or empty."""
    detail: str
    final: bool
    """True when no repair follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCriticised:
    """A critic scored a plan."""

    plan_id: str
    turn: int
    revision: int
    score: float
    """0 (useless) to 1 (nothing to improve)."""
    remarks: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAccepted:
    """A plan is carried out from here on."""

    plan_id: str
    turn: int
    revision: int
    reason: str
    """Why it was taken: score_reached, revisions_used_up, critique_unaffordable or critic_failed."""


PlanFact = PlanProposed | PlanRejected | PlanCriticised | PlanAccepted
