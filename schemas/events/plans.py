"""How a request is split into tasks: the facts of `plans`."""

from dataclasses import dataclass

from schemas.privacy import Impersonal, Personal
from schemas.words import Word


class Relation(Word):
    """How a task relates to another one."""

    DEPENDS_ON = "depends_on"
    """The other must end well before it."""
    BLOCKS = "blocks"
    """The other waits for its end, good or bad."""
    ENABLES = "enables"
    """It must end well before the other."""
    REFINES = "refines"
    """The other must end well before it, whose result it improves."""


class Difficulty(Word):
    """How hard a task is, as the planner sees it."""

    EASY = "easy"
    USUAL = "usual"
    HARD = "hard"


class RejectReason(Word):
    """What is wrong with a plan."""

    PARSE_ERROR = "parse_error"
    """It is not JSON."""
    SCHEMA_ERROR = "schema_error"
    """It is JSON of another form, or beyond a limit."""
    UNKNOWN_AGENT = "unknown_agent"
    UNKNOWN_TASK = "unknown_task"
    CYCLE = "cycle"
    TOO_WIDE = "too_wide"
    """Too many tasks, or relations of one task."""
    TOO_DEEP = "too_deep"
    """Too long a chain of tasks."""
    EMPTY = "empty"
    COPIED = "copied"
    """It repeats the example of its instructions."""


class AcceptReason(Word):
    """Why a plan was taken."""

    SCORE_REACHED = "score_reached"
    REVISIONS_USED_UP = "revisions_used_up"
    CRITIQUE_UNAFFORDABLE = "critique_unaffordable"
    CRITIC_FAILED = "critic_failed"
    """The critic's model failed, or wrote no critique."""
    REVISION_UNAFFORDABLE = "revision_unaffordable"
    """The plan that stands is carried out."""
    PLANNER_FAILED = "planner_failed"
    """The planner's model failed to revise it; the plan that stands is carried out."""
    REVISION_UNCHANGED = "revision_unchanged"
    """The revised plan is the one that stands."""
    REVISION_REJECTED = "revision_rejected"
    """The revised plan failed validation; the plan that stands is carried out."""
    DEFAULT_TASK = "default_task"
    """No plan could be had; one task of the default agent takes its place."""
    AGENT_NAMED = "agent_named"
    """The message names the agent that does the work; no plan was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEdge:
    """A relation between two tasks of a plan, as the model stated it."""

    relation: Relation
    other_key: Personal
    """The `key` of the other task of the same plan."""
    weight: float = 1.0
    """Strength of the relation, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """One task of a plan."""

    key: Personal
    """Short name, unique in the plan."""
    parent_key: Personal | None = None
    intent: Personal
    agent: Impersonal
    priority: int = 5
    """1 (least) to 10 (most urgent)."""
    edges: tuple[PlannedEdge, ...] = ()
    estimated_tokens: int = 0
    """What the task is expected to use, counted from its texts before the run."""
    difficulty: Difficulty = Difficulty.USUAL
    """A hard one begins with a model of the next tier, an easy one with a cheaper model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProposed:
    """A model's plan passed validation."""

    plan_id: Impersonal
    turn: int
    revision: int
    """0 for the first plan, 1 or 2 after a critic's remarks."""
    tasks: tuple[PlannedTask, ...]
    estimated_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRejected:
    """A model's plan failed validation: not JSON, not the schema, or not a sound graph."""

    plan_id: Impersonal
    turn: int
    revision: int
    repair: int
    """How many repairs had been tried before this one: 0 to 2."""
    reason: RejectReason
    detail: Personal
    final: bool
    """True when no repair follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCriticised:
    """A critic scored a plan."""

    plan_id: Impersonal
    turn: int
    revision: int
    score: float
    """0 (useless) to 1 (nothing to improve)."""
    remarks: Personal


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAccepted:
    """A plan is carried out from here on."""

    plan_id: Impersonal
    turn: int
    revision: int
    reason: AcceptReason


PlanFact = PlanProposed | PlanRejected | PlanCriticised | PlanAccepted
