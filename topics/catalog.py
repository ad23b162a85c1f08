"""The map of the system: every topic, what it carries, and how Kafka keeps it."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, get_args

from schemas.envelope import Fact
from schemas.events.access import AccessFact
from schemas.events.accounts import AccountFact, AccountRequestFact
from schemas.events.budgets import BudgetFact
from schemas.events.capabilities import CapabilityFact
from schemas.events.client_calls import ClientAnswerFact, ClientCallFact
from schemas.events.configurations import ConfigurationFact
from schemas.events.dead_letters import DeadLetterFact
from schemas.events.deltas import DeltaFact
from schemas.events.imports import ImportFact
from schemas.events.inputs import ForkRequested, InputFact, OperatorFact, SentFact
from schemas.events.maintenance import MaintenanceFact
from schemas.events.models import ModelCallFact, ModelResultFact
from schemas.events.outputs import OutputFact
from schemas.events.plans import PlanFact
from schemas.events.policies import PolicyFact
from schemas.events.redrives import RedriveFact, RedriveRequested
from schemas.events.restraints import RestraintAct, RestraintFact
from schemas.events.retrieval import RetrievalFact
from schemas.events.schedules import ScheduleAct, ScheduleFact, ScheduleInputFact
from schemas.events.snapshots import SnapshotFact
from schemas.events.tasks import CallFact, TaskFact
from schemas.events.timers import TimerFact
from schemas.events.tools import ToolCallFact, ToolOutcomeFact, ToolResultFact
from topics.shells import ACCOUNT, CAPABILITY, FORK, INGRESS, MODEL, SCHEDULE, SESSION, TOOL

HOUR_MS: Final = 3_600_000
RECORD_BYTES_MAX: Final = 1_000_000
"""Largest record on any topic, as `max.message.bytes`."""


class Keying(StrEnum):
    """By what a topic's records are keyed, and so who is their one owner."""

    SESSION = "session"
    ACCOUNT = "account"
    TOOL = "tool"
    HASH = "hash"
    TOKEN = "token"  # noqa: S105  # it is the name of a key
    RESTRAINT = "restraint"
    REDRIVE = "redrive"
    SCHEDULE = "schedule"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic of the catalogue."""

    name: str
    """Without the configured prefix."""
    facts: tuple[type, ...]
    keying: Keying
    purpose: str
    """One sentence for the documentation."""
    writers: str
    readers: tuple[str, ...] = ()
    """Shells that act on its records; sinks read every topic of the truth beside them."""
    cleanup: str = "delete"
    """Kafka's cleanup.policy: delete or compact."""
    retention_ms: int = -1
    """-1 keeps everything: the topic is part of the truth."""
    stamped_by_kafka: bool = False
    """True: records carry the time at which Kafka took them, whatever their producers say."""
    partitions: int | None = None
    """None: the configured count, the same for all of a session's topics."""

    @property
    def doc(self) -> str:
        """Say what it carries and who writes it."""
        return f"{self.purpose} Written by: {self.writers}."

    @property
    def is_truth(self) -> bool:
        """Tell whether sinks materialize the topic and a rebuild reads it."""
        return self.retention_ms == -1


def _facts(family: object) -> tuple[type, ...]:
    if isinstance(family, type):
        return (family,)
    return get_args(family)


USER_INPUTS: Final = Topic(
    name="user.inputs",
    facts=_facts(SentFact),
    keying=Keying.ANY,
    purpose="What people and programs ask for; public, any key, any partitioner.",
    writers="any producer in any language",
    readers=(INGRESS,),
    # An input that is taken in again after a crash is the same to the byte, its time included.
    stamped_by_kafka=True,
)
OPERATOR_INPUTS: Final = Topic(
    name="operator.inputs",
    facts=_facts(OperatorFact | RestraintAct | RedriveRequested | ScheduleAct),
    keying=Keying.SESSION,
    purpose="Acts of operators, such as decisions about approvals; whoever can write here is an operator.",
    writers="command line, gateways",
    readers=(INGRESS,),
    stamped_by_kafka=True,
)
FORK_REQUESTS: Final = Topic(
    name="fork.requests",
    facts=_facts(ForkRequested),
    keying=Keying.SESSION,
    purpose="Forks that somebody wants, validated; what they go on from is read from the log.",
    writers="ingress shell",
    readers=(FORK,),
)
SESSION_INPUTS: Final = Topic(
    name="session.inputs",
    facts=_facts(InputFact),
    keying=Keying.SESSION,
    purpose="What was taken of all that entered, validated, on the session's partition.",
    writers="ingress and fork shells",
    readers=(SESSION,),
)
CLIENT_CALLS: Final = Topic(
    name="client.calls",
    facts=_facts(ClientCallFact),
    keying=Keying.SESSION,
    purpose="Single model calls that clients ask for; whoever can write here is believed as to token and "
    "tenant.",
    writers="gateways alone",
    readers=(SESSION,),
)
CLIENT_ANSWERS: Final = Topic(
    name="client.answers",
    facts=_facts(ClientAnswerFact),
    keying=Keying.SESSION,
    purpose="What clients' single model calls came to.",
    writers="session shell",
)
SESSION_TIMERS: Final = Topic(
    name="session.timers",
    facts=_facts(TimerFact),
    keying=Keying.SESSION,
    purpose="Deadlines and retries that came due.",
    writers="session shell's ticker",
    readers=(SESSION,),
)
PLANS: Final = Topic(
    name="plans",
    facts=_facts(PlanFact),
    keying=Keying.SESSION,
    purpose="Plans proposed, rejected, criticised and accepted.",
    writers="session shell",
)
TASK_EVENTS: Final = Topic(
    name="task.events",
    facts=_facts(TaskFact | CallFact),
    keying=Keying.SESSION,
    purpose="What happens to each task of a plan, and to a turn's own calls.",
    writers="session shell",
)
MODEL_CALLS: Final = Topic(
    name="model.calls",
    facts=_facts(ModelCallFact),
    keying=Keying.SESSION,
    purpose="Model calls admitted against a reservation.",
    writers="session shell",
    readers=(MODEL,),
)
MODEL_RESULTS: Final = Topic(
    name="model.results",
    facts=_facts(ModelResultFact),
    keying=Keying.SESSION,
    purpose="Their outcomes, with usage, cost, attempts and latency.",
    writers="model shell",
    readers=(SESSION,),
)
TOOL_CALLS: Final = Topic(
    name="tool.calls",
    facts=_facts(ToolCallFact),
    keying=Keying.SESSION,
    purpose="Tool calls that policy allowed.",
    writers="session shell",
    readers=(TOOL,),
)
TOOL_RESULTS: Final = Topic(
    name="tool.results",
    facts=_facts(ToolResultFact),
    keying=Keying.SESSION,
    purpose="Their typed outcomes.",
    writers="tool shell",
    readers=(SESSION,),
)
TOOL_OUTCOMES: Final = Topic(
    name="tool.outcomes",
    facts=_facts(ToolOutcomeFact),
    keying=Keying.TOOL,
    purpose="Tool outcomes by tool and version, for the capability statistics.",
    writers="tool shell",
    readers=(CAPABILITY,),
)
BUDGET_EVENTS: Final = Topic(
    name="budget.events",
    facts=_facts(BudgetFact),
    keying=Keying.SESSION,
    purpose="What is granted, reserved and charged; warnings, downshifts and exhaustion.",
    writers="session shell",
)
ACCOUNT_REQUESTS: Final = Topic(
    name="account.requests",
    facts=_facts(AccountRequestFact),
    keying=Keying.ACCOUNT,
    purpose="Budgets that sessions ask of users and tenants.",
    writers="session shell",
    readers=(ACCOUNT,),
)
ACCOUNT_EVENTS: Final = Topic(
    name="account.events",
    facts=_facts(AccountFact),
    keying=Keying.SESSION,
    purpose="Leases granted, refused and settled.",
    writers="account shell",
    readers=(SESSION,),
)
POLICY_DECISIONS: Final = Topic(
    name="policy.decisions",
    facts=_facts(PolicyFact),
    keying=Keying.SESSION,
    purpose="What was allowed or denied, by which rule and why.",
    writers="session shell",
)
RETRIEVAL_METRICS: Final = Topic(
    name="retrieval.metrics",
    facts=_facts(RetrievalFact),
    keying=Keying.SESSION,
    purpose="How searches went and whether they helped.",
    writers="session shell",
)
GRAPH_SNAPSHOTS: Final = Topic(
    name="graph.snapshots",
    facts=_facts(SnapshotFact),
    keying=Keying.SESSION,
    purpose="The session's state at each node of its graph.",
    writers="session shell",
)
SESSION_OUTPUTS: Final = Topic(
    name="session.outputs",
    facts=_facts(OutputFact),
    keying=Keying.SESSION,
    purpose="What the user sees: progress, answers, errors, approval requests.",
    writers="session shell",
)
SESSION_IMPORTS: Final = Topic(
    name="session.imports",
    facts=_facts(ImportFact),
    keying=Keying.SESSION,
    purpose="What came over from V1; no shell reads it, and whoever can write here is believed as to tenant "
    "and user.",
    writers="`cartrita backfill` alone",
)
SESSION_DELTAS: Final = Topic(
    name="session.deltas",
    facts=_facts(DeltaFact),
    keying=Keying.SESSION,
    purpose="Pieces of answers and tool outputs while they come.",
    writers="model and tool shells",
    retention_ms=6 * HOUR_MS,
)
TOOL_CAPABILITIES: Final = Topic(
    name="tool.capabilities",
    facts=_facts(CapabilityFact),
    keying=Keying.TOOL,
    purpose="Rolling 30-day statistics of each tool and version.",
    writers="capability shell",
    cleanup="compact",
)
CONFIGURATION: Final = Topic(
    name="configuration",
    facts=_facts(ConfigurationFact),
    keying=Keying.HASH,
    purpose="The configuration that decided, by content hash.",
    writers="worker at start",
    cleanup="compact",
    partitions=1,
)
ACCESS_TOKENS: Final = Topic(
    name="access.tokens",
    facts=_facts(AccessFact),
    keying=Keying.TOKEN,
    purpose="Tokens of the front door, made and revoked, by their id; never the tokens themselves.",
    writers="command line",
    cleanup="compact",
    partitions=1,
)
TOOL_RESTRAINTS: Final = Topic(
    name="tool.restraints",
    facts=_facts(RestraintFact),
    keying=Keying.RESTRAINT,
    purpose="Which tools must not be called now: what operators stopped, and what is withheld of servers.",
    writers="ingress shell, and workers with a tool shell",
    cleanup="compact",
    partitions=1,
)
REDRIVES: Final = Topic(
    name="redrives",
    facts=_facts(RedriveFact),
    keying=Keying.REDRIVE,
    purpose="Records that operators want tried again, and what became of each.",
    writers="ingress shell, and workers with one",
    # One owner carries them out, in their order.
    partitions=1,
)
MAINTENANCE_EVENTS: Final = Topic(
    name="maintenance.events",
    facts=_facts(MaintenanceFact),
    keying=Keying.ANY,
    purpose="What operators deleted of what need not stay; no shell reads it.",
    writers="`cartrita storage prune` alone",
    partitions=1,
)
SCHEDULE_INPUTS: Final = Topic(
    name="schedule.inputs",
    facts=_facts(ScheduleInputFact),
    keying=Keying.SCHEDULE,
    purpose="What people want of schedules, the times that came, and what became of what was begun; whoever "
    "can write here says something in anybody's name.",
    writers="ingress and schedule shells",
    readers=(SCHEDULE,),
    # Whether something is due, and how late, is told by Kafka's clock and not by a worker's.
    stamped_by_kafka=True,
)
SCHEDULE_EVENTS: Final = Topic(
    name="schedule.events",
    facts=_facts(ScheduleFact),
    keying=Keying.SCHEDULE,
    purpose="How schedules stand, and what of them began, was skipped and ended.",
    writers="schedule shell",
)
DEAD_LETTERS: Final = Topic(
    name="dead.letters",
    facts=_facts(DeadLetterFact),
    keying=Keying.ANY,
    purpose="Records that could not be used, with their bytes, place and reason.",
    writers="all shells and sinks",
)

TOPICS: Final = (
    USER_INPUTS,
    OPERATOR_INPUTS,
    FORK_REQUESTS,
    SESSION_INPUTS,
    CLIENT_CALLS,
    SESSION_TIMERS,
    PLANS,
    TASK_EVENTS,
    MODEL_CALLS,
    MODEL_RESULTS,
    TOOL_CALLS,
    TOOL_RESULTS,
    TOOL_OUTCOMES,
    BUDGET_EVENTS,
    ACCOUNT_REQUESTS,
    ACCOUNT_EVENTS,
    POLICY_DECISIONS,
    RETRIEVAL_METRICS,
    GRAPH_SNAPSHOTS,
    SESSION_OUTPUTS,
    CLIENT_ANSWERS,
    SESSION_IMPORTS,
    SESSION_DELTAS,
    TOOL_CAPABILITIES,
    CONFIGURATION,
    ACCESS_TOKENS,
    TOOL_RESTRAINTS,
    REDRIVES,
    MAINTENANCE_EVENTS,
    SCHEDULE_INPUTS,
    SCHEDULE_EVENTS,
    DEAD_LETTERS,
)
BY_NAME: Final = MappingProxyType({topic.name: topic for topic in TOPICS})

ENTRANCES: Final = (USER_INPUTS, OPERATOR_INPUTS)
"""By these everything enters; what is taken of it stands under the same event ids on session.inputs."""

# Inputs stand on two topics; everything a decider causes goes to exactly one.
_BY_FACT: Final = {fact: topic for topic in TOPICS if topic not in ENTRANCES for fact in topic.facts}


def read_by(shell: str) -> tuple[Topic, ...]:
    """Return the topics on whose records `shell` acts, in the catalogue's order."""
    return tuple(topic for topic in TOPICS if shell in topic.readers)


def topic_of(fact: Fact) -> Topic:
    """Return the topic that `fact` is written to; inputs go to `session.inputs`."""
    return _BY_FACT[type(fact)]
