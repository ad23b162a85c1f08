"""The configuration that decides: models and prices, agents, prompts, tools, policy and limits.

Deciders get it whole and never read a file; events name its parts by content hash (`Versions`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.envelope import Versions

VECTOR_DIMENSIONS: Final = 1_536
"""Numbers of a stored vector, as the V2 column holds them; shorter vectors are filled up with zeros, which
changes no cosine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestParameters:
    """How a chat model wants to be asked: what providers of one API settle in many ways."""

    tokens_max_field: str = "max_tokens"
    """How the request names the limit of the answer; the limit itself is always sent."""
    temperature: bool = True
    """False: the model takes its own alone, so that none is sent."""
    stream: bool = True
    """False: the answer is asked for whole."""
    stream_usage: bool = True
    """True: `stream_options` asks for usage at the stream's end."""
    response_format: str = "json_object"
    """How JSON is asked for: json_object, json_schema (with the schema of what is wanted) or none."""
    tool_choice: str = ""
    """auto or required, sent where tools are offered; empty: not sent."""
    parallel_tool_calls: bool | None = None
    """Sent where tools are offered; None: not sent."""
    system_role: str = "system"
    """Under which role the rules go: system, developer, or user for a model that knows neither."""
    alternate_roles: bool = False
    """True: neighbouring messages of one role are sent as one, as some chat templates demand."""
    state_fields: tuple[str, ...] = ("reasoning_content", "reasoning_details", "extra_content")
    """Fields of an answer with tool calls that go back unchanged with it in the next request."""
    state_always: bool = False
    """True: every message of the assistant has the first of `state_fields`; a blank stands for what was never
    kept, as of another model's messages."""
    call_state: bool = True
    """True: whatever else a tool call came with goes back with it."""
    call_state_default_json: str = "{}"
    """A JSON object: what goes with a tool call that came with nothing, as another model's."""
    key_header: str = "Authorization"
    """Where the key goes: as `Bearer` in Authorization, or alone in a header of this name."""
    extra_body_json: str = "{}"
    """A JSON object whose fields every request gets; it overrides what stands in this record, but never the
    model, the messages, the tools and the limit."""
    extra_headers: tuple[tuple[str, str], ...] = ()
    """Names and values. They are published with the configuration, so no secret may stand here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingParameters:
    """How an embedding model wants to be asked."""

    dimensions_field: str = "dimensions"
    """How the request names the number of dimensions; empty: the model has its own alone, so that none is
    sent."""
    encoding_format: str = "float"
    """How vectors are asked for: float, or empty for a server that does not know the field."""
    texts_max: int = 2_048
    """Texts of one request; more are asked for in several."""
    tokens_max: int = 300_000
    """Tokens of one request, of all its texts together."""
    key_header: str = "Authorization"
    """Where the key goes, as for chat models."""
    extra_body_json: str = "{}"
    """A JSON object whose fields every request gets, but for the model and the texts."""
    extra_headers: tuple[tuple[str, str], ...] = ()
    """Names and values, none of them secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatModel:
    """A chat model with its price."""

    name: str
    tier: str
    """premium, standard or fallback: what an agent asks for; choices under pressure go by price alone."""
    input_nanodollars: int
    """Per token of the prompt, in 10⁻⁹ dollars: 0.0025 dollars per 1,000 tokens are 2,500."""
    output_nanodollars: int
    """Per token of the answer."""
    context_tokens: int
    """Prompt and answer together."""
    encoding: str
    """Name of tiktoken's encoding."""
    calls_tools: bool = True
    """False: calls that offer tools go to another model, where there is one."""
    profile: str = "openai"
    """The family whose parameters are the defaults."""
    parameters: RequestParameters = RequestParameters()


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel:
    """An embedding model with its price."""

    name: str
    """Empty: there is none, and search goes by words alone."""
    input_nanodollars: int
    dimensions: int
    """What the model gives, at most VECTOR_DIMENSIONS."""
    input_tokens_max: int
    """Per text."""
    encoding: str
    profile: str = "openai"
    """The family whose parameters are the defaults."""
    parameters: EmbeddingParameters = EmbeddingParameters()


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The models and prices of one day."""

    dated: str
    """Day of the prices, ISO 8601."""
    chat: tuple[ChatModel, ...]
    embedding: EmbeddingModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A role that tasks are given to."""

    name: str
    purpose: str
    """What the planner reads when it chooses."""
    tier: str
    tools: tuple[str, ...]
    prompt: str
    """The system prompt."""
    output_tokens_max: int
    temperature: float = 0.0
    answers_with: str = "text"
    """text: the model writes the task's result. tool: where a step makes one tool call alone and it succeeds,
    its result is the task's, and no further model call is paid to tell it again."""
    output_model_json: str = ""
    """JSON Schema that the task's answer has to fit, as far as `processors/output_models.py` understands it;
    empty: any text."""
    steps_max: int = 0
    """Model calls of one attempt of a task, where they are fewer than the limit of all; 0: that limit."""
    past: str = "alone"
    """When it reads earlier turns: alone (it does all the work of its turn), always or never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """What everybody needs to know of a tool in order to choose, check, allow and price a call of it."""

    name: str
    version: str
    description: str
    """What the model reads."""
    category: str
    safety_level: str
    """safe, caution or restricted."""
    complexity_score: int
    """1 to 10."""
    resource_intensity: str
    """light, medium or heavy."""
    parameters_json: str
    """JSON Schema of the arguments."""
    result_schema_json: str
    """JSON Schema of the result."""
    idempotent: bool
    """True when repeating a call is harmless."""
    tokens_max: int
    """The most that its own model calls may use in one call; 0: it makes none. Less is reserved when the
    task has less left, down to `tokens_min`."""
    tokens_min: int
    """With fewer tokens than this a call of it is pointless and is refused."""
    nanodollars_per_token: int
    """The dearest token that it may use."""
    timeout_ms: int
    used_tokens_usual: int = 0
    """What its own model calls usually use, for estimates; 0: its maximum is expected."""
    result_tokens_usual: int = 0
    """What its result usually has, for estimates."""
    trust: str = "document"
    """Whose word its results are. document: of whoever wrote what it tells. tool: its own, for it computes or
    this deployment vouches for it; then they are trusted as what it was given."""
    acts_outside: bool | None = None
    """Whether a call can change or tell something outside of this deployment; None: as its category says."""
    sensitive: bool | None = None
    """Whether it reaches or gives data that is not for everybody; None: as category and safety level say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentCondition:
    """What a rule asks of a call's arguments (`processors/policy/conditions.py` says how it is judged)."""

    argument: str
    """Which: names between dots, `*` for each item or member, such as `headers.host` or `urls.*`."""
    operator: str
    """equal, in, prefix, glob, path_under, host_in, at_most, length_at_most or matches."""
    values: tuple[str, ...] = ()
    """What it is held against; of equal and in as canonical JSON."""
    number: float | None = None
    """Of at_most and length_at_most."""
    negate: bool = False
    """True: it holds where the operator does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """One rule; the first that matches a call decides it."""

    name: str
    decision: str
    """allow, deny, throttle, escalate or audit (allow, and mark for review)."""
    reason: str
    agents: tuple[str, ...] = ()
    """Empty: every agent."""
    tools: tuple[str, ...] = ()
    """Empty: every tool."""
    safety_levels: tuple[str, ...] = ()
    """Empty: every level."""
    unless_listed: bool = False
    """True: matches only when the agent's own list lacks the tool."""
    share_left_below: float | None = None
    """Matches only when less than this share of the session's budget is left."""
    calls_above: int | None = None
    """Matches only when the task has already made so many calls of the tool."""
    calls_scope: str = "task"
    """Where calls_above counts: task, turn or session."""
    categories: tuple[str, ...] = ()
    """Empty: tools of every category."""
    tenants: tuple[str, ...] = ()
    """Empty: every tenant."""
    users: tuple[str, ...] = ()
    """Empty: every user."""
    hours: tuple[int, ...] = ()
    """Hours of the day in UTC, 0 to 23, by the time of the input that led to the call; empty: all."""
    arguments: tuple[ArgumentCondition, ...] = ()
    """All have to hold; empty: whatever the arguments are."""
    approvers: tuple[str, ...] = ()
    """Of an escalation: who may approve, by name; empty: every approver of the tenant."""
    approver_scope: str = ""
    """Of an escalation: what an approver must be good for; empty: anything."""
    four_eyes: bool = False
    """Of an escalation: neither the user of the session nor who wrote the arguments may approve."""
    trust: tuple[str, ...] = ()
    """How the least trusted part of what led to the call is trusted; empty: in any way."""
    acts_outside: bool | None = None
    """Whether the tool acts outside; None: either."""
    holds_data: bool | None = None
    """Whether what led to the call holds data of the session; None: either."""
    despite_untrusted: bool = False
    """True: what the rule lets pass passes even where untrusted input, data and an effect outside come
    together (docs/trust.md); without it a person is asked there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """Whose signature counts on a decision about a tool call."""

    name: str
    """As decisions name who made them; of a gateway its own name."""
    public_key: str
    """Ed25519, 64 hexadecimal digits."""
    tenants: tuple[str, ...]
    """In whose sessions it counts; `*`: in all."""
    scopes: tuple[str, ...] = ()
    """What the approver is good for, as rules ask for it."""
    speaks_for_tokens: bool = False
    """True for a gateway: it tells who decided, namely whose token it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules, in order; a call that none matches is denied."""

    rules: tuple[PolicyRule, ...]
    approvers: tuple[Approver, ...] = ()
    """Who may decide what rules escalate; where there are none, nobody can approve anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownshiftStep:
    """With less than `share_left` of the budget left, a call may take at most this share of what is left.

    Of tokens and of money, whichever is narrower. A call that would take more goes to the cheapest model.
    """

    share_left: float
    call_share_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on everything a session does."""

    session_budget_tokens: int = 10_000_000
    session_budget_nanodollars: int = 10_000_000_000
    """What a session may use that names no budget of its own: more than a person uses by talking for days."""
    task_budget_tokens: int = 20_000
    """The most that one task gets; what it gets follows its estimate."""
    warning_share: float = 0.8
    downshift: tuple[DownshiftStep, ...] = (
        DownshiftStep(share_left=0.5, call_share_max=0.25),
        DownshiftStep(share_left=0.2, call_share_max=0.1),
    )
    output_tokens_min: int = 64
    """An answer shorter than this is pointless: a call that cannot have it is not affordable."""
    plan_output_tokens_max: int = 1_200
    critique_output_tokens_max: int = 300
    synthesis_output_tokens_max: int = 1_000
    plan_temperature: float = 0.0
    critique_temperature: float = 0.0
    synthesis_temperature: float = 0.0
    """How freely planner, critic and synthesizer choose their words, from 0 to 1."""
    plan_tier: str = "premium"
    critique_tier: str = "standard"
    synthesis_tier: str = "premium"
    """The models that they begin with."""
    history_tokens_max: int = 2_000
    """How much of earlier turns prompts tell word for word; older ones are summed up."""
    summary_output_tokens_max: int = 400
    """How long the summary of the turns before may be; 0: none is made, and they are forgotten."""
    summary_temperature: float = 0.0
    summary_tier: str = "standard"
    synthesis_share: float = 0.15
    """Of the session's budget, held back from tasks so that an answer can be written."""
    repairs_max: int = 2
    revisions_max: int = 2
    critique_score_min: float = 0.7
    default_agent: str = "writer"
    """Who answers a request for which no plan can be had; where there is no such agent, one without tools."""
    tasks_max: int = 24
    """Tasks of one plan."""
    depth_max: int = 8
    """Longest chain of dependencies, and of parents."""
    width_max: int = 12
    """Most relations of one task."""
    running_max: int = 4
    """Tasks of one session that run at once."""
    steps_max: int = 8
    """Model calls of one attempt of a task."""
    tool_calls_max: int = 8
    """Tool calls that one step may ask for."""
    tool_share_max: float = 0.6
    """Of what a task has left, so that it can read the result."""
    attempts_max: int = 3
    """Attempts of a task."""
    retry_delay_ms: int = 500
    retry_delay_ms_max: int = 60_000
    failure_policy: str = "prune"
    """prune: a failed task's dependents are dropped; fail: the turn ends."""
    model_timeout_ms: int = 60_000
    model_attempts_max: int = 5
    model_failures_max: int = 3
    """After so many calls of a model that failed by its provider's fault, others are asked before it."""
    model_rest_ms: int = 60_000
    """For how long; 0: it is asked all the same."""
    turn_deadline_ms: int = 900_000
    stall_ms: int = 120_000
    approval_ms: int = 3_600_000
    approvals_open_max: int = 16
    """Requests of one session that wait for a person; what would be one more is refused."""
    queue_max: int = 16
    """Messages that wait for their turn."""
    intent_characters_max: int = 2_000
    text_bytes_max: int = 262_144
    """A message's text and attachments together."""
    account_tokens: int = 0
    """What each account (tenant/user) may lease in all; 0: accounts are not limited."""
    account_nanodollars: int = 0
    account_session_share: float = 0.1
    """The most of that which a session asks for by itself, so that others find some left."""
    session_idle_ms: int = 2_592_000_000
    """An open session in which nothing has happened for so long (30 days) ends by itself; 0: never."""
    session_retention_ms: int = 86_400_000
    """How long an ended session stays in the table; then its state leaves, and later input is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """All that decides."""

    models: Models
    agents: Mapping[str, Agent]
    prompts: Mapping[str, str]
    """planner, critic, synthesizer and summarizer: system prompts."""
    tools: Mapping[str, ToolSpec]
    policy: Policy
    limits: Limits
    versions: Versions
