"""The envelope: what every event says about itself, whatever its body."""

from dataclasses import dataclass
from typing import TypeAlias

from schemas.events.access import AccessFact
from schemas.events.accounts import AccountFact, AccountRequestFact
from schemas.events.budgets import BudgetFact
from schemas.events.capabilities import CapabilityFact
from schemas.events.client_calls import ClientAnswerFact, ClientCallFact
from schemas.events.configurations import ConfigurationFact
from schemas.events.dead_letters import DeadLetterFact
from schemas.events.deltas import DeltaFact
from schemas.events.imports import ImportFact
from schemas.events.inputs import ForkRequested, InputFact
from schemas.events.maintenance import MaintenanceFact
from schemas.events.models import ModelCallFact, ModelResultFact
from schemas.events.outputs import OutputFact
from schemas.events.plans import PlanFact
from schemas.events.policies import PolicyFact
from schemas.events.redrives import RedriveFact
from schemas.events.restraints import RestraintFact
from schemas.events.retrieval import RetrievalFact
from schemas.events.schedules import ScheduleFact, ScheduleInputFact
from schemas.events.snapshots import SnapshotFact
from schemas.events.tasks import CallFact, TaskFact
from schemas.events.timers import TimerFact
from schemas.events.tools import ToolCallFact, ToolOutcomeFact, ToolResultFact
from schemas.frozen import hastened
from schemas.privacy import Impersonal, Personal

Fact: TypeAlias = (
    InputFact
    | ForkRequested
    | TimerFact
    | PlanFact
    | TaskFact
    | CallFact
    | ModelCallFact
    | ModelResultFact
    | ToolCallFact
    | ToolResultFact
    | ToolOutcomeFact
    | BudgetFact
    | AccountRequestFact
    | AccountFact
    | PolicyFact
    | RetrievalFact
    | SnapshotFact
    | OutputFact
    | DeltaFact
    | CapabilityFact
    | ConfigurationFact
    | DeadLetterFact
    | AccessFact
    | ClientCallFact
    | ClientAnswerFact
    | RestraintFact
    | RedriveFact
    | MaintenanceFact
    | ImportFact
    | ScheduleInputFact
    | ScheduleFact
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Content hashes of the configuration that decided; absent where it had no part."""

    agents: Impersonal | None = None
    prompts: Impersonal | None = None
    policy: Impersonal | None = None
    models: Impersonal | None = None
    limits: Impersonal | None = None
    tools: Impersonal | None = None
    behaviour: int | None = None
    """Number of the behaviour that decided (`processors/behaviour.py`); absent: 1, or nothing was decided."""
    persona: Impersonal | None = None
    """Whose manner answers have: the persona's name, @, and the hash of its text; absent: none's."""


@hastened
@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One event: who, when, why, and the fact itself.

    A producer of `user.inputs` needs to give only `session_id` and `body`; all else has defaults.
    """

    event_id: Impersonal = ""
    """UUID. Made from the cause, so that deciding again gives the same; a user input's is its message id,
    and a repeated one is dropped. Empty in a user input: made from the record's place."""
    type: Impersonal = ""
    """Name of the body's fact, for SQL and filters."""
    session_id: Impersonal = ""
    """UUID of the session; empty for facts that are about none."""
    tenant_id: Personal = "default"
    user_id: Personal = "anonymous"
    sequence: int = 0
    """1, 2, 3 … without a gap within a session, given by the session shell alone; 0 for all others."""
    causation_id: Impersonal | None = None
    """Event id of the direct cause."""
    correlation_id: Impersonal | None = None
    """Event id of the user input that began the turn."""
    evidence_ids: tuple[Impersonal, ...] = ()
    """Event ids of what else the decision rests on: texts in a prompt, tasks in an answer."""
    occurred_at_ms: int = 0
    """Milliseconds since 1970, UTC. Of a user input it is the time at which Kafka
    took it, whatever its producer says."""
    producer: Impersonal = ""
    """Name of the shell, gateway or program that wrote it."""
    versions: Versions = Versions()
    traceparent: Impersonal | None = None
    """W3C trace context."""
    source: Impersonal | None = None
    """On the last event of a step: topic/partition/offset of the input that was applied."""
    state_digest: Impersonal | None = None
    """On the last event of a step: 16 hexadecimal digits of the state that it left."""
    body: Fact
