"""The tables that projections fill: every column with its source and what a second event does to it.

A column gets its values from one topic alone, so that rows come out the same in whatever order topics are
read. `docs/postgres.md` is made from this module.
"""

from types import MappingProxyType
from typing import Final

from processors.projections.columns import Column, Resolve, Table
from processors.projections.columns import column as _column
from processors.projections.schedule_tables import SCHEDULE_FIRINGS, SCHEDULES


def _imported(into: str, type_: str) -> Column:
    return Column(name=f"imported_{into}", type=type_, topics=(_IMPORTS,), meaning="As V1 had it.", into=into)


def _session() -> Column:
    return Column(
        name="session_id",
        type="uuid",
        topics=(),
        meaning="The session, from every event.",
        resolve=Resolve.FIRST,
        belongs=True,
    )


_FIRST, _LAST, _ADD, _GREATEST = Resolve.FIRST, Resolve.LAST, Resolve.ADD, Resolve.GREATEST
_INPUTS, _OUTPUTS, _BUDGETS = "session.inputs", "session.outputs", "budget.events"
_IMPORTS: Final = "session.imports"
_TASKS: Final = ("task.events", _IMPORTS)
_TOOLS: Final = "tool.results"
_INVOCATIONS: Final = (_TOOLS, _IMPORTS)

SESSIONS: Final = Table(
    name="sessions",
    purpose="The sessions, as V1 has them; what V2 knows more of them is in `session_summaries`.",
    version_one=True,
    columns=(
        _column("created_at", "timestamptz", _INPUTS, "When its first input was taken in.", _FIRST),
        _imported("created_at", "timestamptz"),
    ),
)
SESSION_SUMMARIES: Final = Table(
    name="session_summaries",
    purpose="What a list of sessions shows.",
    columns=(
        _column("tenant_id", "text", _INPUTS, "Whose it is.", _FIRST),
        _column("user_id", "text", _INPUTS, "Who opened it.", _FIRST),
        _column("title", "text", _INPUTS, "Its title, or the beginning of its first message.", _FIRST),
        _column("opened_at", "timestamptz", _INPUTS, "When its first input was taken in.", _FIRST),
        _column("last_input_at", "timestamptz", _INPUTS, "When its newest input was taken in."),
        _column("messages", "bigint", _INPUTS, "How many messages it was sent.", _ADD, "0"),
        _column("forked_from", "uuid", _INPUTS, "The session that it was forked from.", _FIRST),
        _column("forked_at", "uuid", _INPUTS, "Event id of the point in that session.", _FIRST),
        _column(
            "calls_of",
            "uuid",
            "client.calls",
            "The token whose clients' single model calls it holds; NULL: it is a conversation.",
            _FIRST,
        ),
        _column("budget_tokens", "bigint", _BUDGETS, "What it may use."),
        _column("budget_nanodollars", "bigint", _BUDGETS, "What it may use, in 10⁻⁹ dollars."),
        _column("tokens_used", "bigint", _BUDGETS, "The sum of its charges.", _ADD, "0"),
        _column("nanodollars_used", "bigint", _BUDGETS, "The sum of its charges.", _ADD, "0"),
        _column(
            "status",
            "text",
            _OUTPUTS,
            "open (where opened_at is NULL, something came for a session that nobody opened; where "
            "imported_from is not NULL and messages 0, it came over and nobody went on with it), running, "
            "waiting (for a person), answered, unanswered (the newest turn ended without a result), closed, "
            "cancelled, idle or lease_refused.",
            _LAST,
            "'open'",
        ),
        _column("turns", "bigint", _OUTPUTS, "How many messages were taken up.", _GREATEST, "0"),
        _column("last_answer_id", "uuid", _OUTPUTS, "Event id of the newest answer."),
        _column("last_answer", "text", _OUTPUTS, "Its first 1,000 characters."),
        _column("last_answer_at", "timestamptz", _OUTPUTS, "When it was given."),
        _column("ended_at", "timestamptz", _OUTPUTS, "When the session ended."),
        _column("last_output_at", "timestamptz", _OUTPUTS, "When it was last told anything of."),
        _column(
            "put_aside_at",
            "timestamptz",
            "dead.letters",
            "When an input of it could not be applied; if nothing was told since, it is quarantined.",
        ),
        _column(
            "imported_from", "text", _IMPORTS, "Name of the V1 that it came over from; NULL: it is V2's own."
        ),
        _column("imported_messages", "bigint", _IMPORTS, "How many messages it had there."),
        _column("imported_at", "timestamptz", _IMPORTS, "When it first came over.", _FIRST),
        _imported("tenant_id", "text"),
        _imported("user_id", "text"),
        _imported("title", "text"),
        _imported("opened_at", "timestamptz"),
    ),
)
TASKS_V2: Final = Table(
    name="tasks_v2",
    purpose="The tasks of every session, in their hierarchy.",
    columns=(
        _session(),
        _column("parent_id", "uuid", _TASKS, "The task that it is part of."),
        _column("intent", "text", _TASKS, "What is to be done.", _LAST, "''"),
        _column("spec_json", "jsonb", _TASKS, "The task as it was planned.", _LAST, "'{}'"),
        _column("cost_budget_tokens", "integer", _TASKS, "The most that its calls may use together."),
        _column("priority", "integer", _TASKS, "1 to 10."),
        _column(
            "status",
            "varchar(20)",
            _TASKS,
            "pending, running, complete, failed, pruned or aborted.",
            _LAST,
            "'pending'",
        ),
        _column("created_at", "timestamptz", _TASKS, "When it was created."),
        _column("updated_at", "timestamptz", _TASKS, "When its newest event happened."),
        _column("completed_at", "timestamptz", _TASKS, "When it ended, well or not."),
        _column("estimated_cost_tokens", "integer", _TASKS, "What it was expected to use."),
        _column("actual_cost_tokens", "integer", _TASKS, "What its calls used.", _LAST, "0"),
        _column("agent_assigned", "varchar(50)", _TASKS, "Who does it."),
        _column("error_message", "text", _TASKS, "Why it, or its newest failed attempt, did not end well."),
        _column("retry_count", "integer", _TASKS, "How often it was tried anew.", _GREATEST, "0"),
    ),
)
TASK_EDGES: Final = Table(
    name="task_edges",
    purpose="Relations between tasks.",
    columns=(
        _column("from_task_id", "uuid", _TASKS, "The task that states the relation."),
        _column("to_task_id", "uuid", _TASKS, "The other task."),
        _column("relation_type", "varchar(20)", _TASKS, "depends_on, blocks, enables or refines."),
        _column("weight", "decimal(3,2)", _TASKS, "Strength, 0 to 1."),
        _column("created_at", "timestamptz", _TASKS, "When the later of the two tasks was created.", _FIRST),
    ),
)
_SNAPSHOTS: Final = ("graph.snapshots", _IMPORTS)
GRAPH_SNAPSHOTS: Final = Table(
    name="graph_snapshots",
    purpose="A session's state at each node of its graph.",
    columns=(
        _session(),
        _column("snapshot_json", "jsonb", _SNAPSHOTS, "The request, and the tasks or the plan."),
        _column("node_name", "varchar(50)", _SNAPSHOTS, "The node that was reached."),
        _column("created_at", "timestamptz", _SNAPSHOTS, "When."),
        _column("agent_state", "jsonb", _SNAPSHOTS, "What each running agent waits for."),
        _column("cost_summary", "jsonb", _SNAPSHOTS, "What is granted, reserved, used and left."),
        _column("performance_metrics", "jsonb", _SNAPSHOTS, "Elapsed times and counts."),
    ),
)
_RETRIEVALS: Final = ("retrieval.metrics", _IMPORTS)
RETRIEVAL_METRICS: Final = Table(
    name="retrieval_metrics",
    purpose="How searches went and whether they helped; the row's id is the tool call's.",
    columns=(
        _session(),
        _column("query_text", "text", _RETRIEVALS, "What was searched for.", _LAST, "''"),
        _column("query_embedding", "vector(1536)", _TOOLS, "Its embedding, of the search's own result."),
        _column("k_initial", "integer", _RETRIEVALS, "How many passages were asked for.", _LAST, "0"),
        _column("k_rerank", "integer", _RETRIEVALS, "How many were kept after reranking.", _LAST, "0"),
        _column("retrieval_latency_ms", "integer", _RETRIEVALS, "How long the search took."),
        _column("rerank_latency_ms", "integer", _RETRIEVALS, "How long reranking took."),
        _column(
            "usefulness_score", "decimal(3,2)", _RETRIEVALS, "Share of passages that were cited, 0 to 1."
        ),
        _column("model_feedback", "jsonb", _RETRIEVALS, "Which passages were cited; how the task ended."),
        _column("created_at", "timestamptz", _RETRIEVALS, "When it was measured."),
        _column("context_tokens_before", "integer", _RETRIEVALS, "Tokens of all passages found."),
        _column("context_tokens_after", "integer", _RETRIEVALS, "Tokens of the passages in the result."),
        _column("compression_ratio", "decimal(3,2)", _RETRIEVALS, "After through before, at most 9.99."),
        _column("documents_retrieved", "integer", _RETRIEVALS, "How many passages were found."),
        _column("documents_used", "integer", _RETRIEVALS, "How many went into the result."),
    ),
)
_CAPABILITIES: Final = ("tool.capabilities", _IMPORTS)
TOOL_CAPABILITY_INDEX: Final = Table(
    name="tool_capability_index",
    purpose="Rolling 30-day statistics of each tool and version.",
    columns=(
        _column("tool_name", "varchar(100)", _CAPABILITIES, "The tool."),
        _column("category", "varchar(50)", _CAPABILITIES, "Its kind."),
        _column("version", "varchar(20)", _CAPABILITIES, "Its version."),
        _column("success_rate_30d", "decimal(5,2)", _CAPABILITIES, "0 to 100."),
        _column("avg_latency_ms", "decimal(8,2)", _CAPABILITIES, "At most 999,999.99."),
        _column("avg_cost_tokens", "decimal(8,2)", _CAPABILITIES, "At most 999,999.99."),
        _column("call_count_30d", "integer", _CAPABILITIES, "Calls that the statistics rest on."),
        _column("safety_level", "varchar(20)", _CAPABILITIES, "safe, caution or restricted."),
        _column("complexity_score", "integer", _CAPABILITIES, "1 to 10."),
        _column("resource_intensity", "varchar(20)", _CAPABILITIES, "light, medium or heavy."),
        _column("last_updated", "timestamptz", _CAPABILITIES, "When it was measured."),
        _column("last_success", "timestamptz", _CAPABILITIES, "When a call last succeeded."),
        _column("last_failure", "timestamptz", _CAPABILITIES, "When a call last failed."),
    ),
)
_POLICIES: Final = "policy.decisions"
POLICY_DECISIONS: Final = Table(
    name="policy_decisions",
    purpose="What was allowed or denied, by which rule and why.",
    columns=(
        _session(),
        _column(
            "tool_name", "varchar(100)", _POLICIES, "The tool that was to be called; NULL for a model call."
        ),
        _column("agent_name", "varchar(50)", _POLICIES, "Who was to call it."),
        _column("decision", "varchar(20)", _POLICIES, "allow, deny, throttle, escalate or audit."),
        _column(
            "policy_rule",
            "varchar(100)",
            _POLICIES,
            "The rule that decided; budget_downshift and budget_exhausted are the budget's.",
        ),
        _column("reason", "text", _POLICIES, "Why."),
        _column("cost_limit_before", "integer", _POLICIES, "Tokens left to reserve before the call."),
        _column("cost_limit_after", "integer", _POLICIES, "The same once its reservation is made."),
        _column(
            "resource_usage_before",
            "jsonb",
            _POLICIES,
            "Tokens and nanodollars granted, used, reserved and left.",
        ),
        _column("resource_usage_after", "jsonb", _POLICIES, "The same once its reservation is made."),
        _column("created_at", "timestamptz", _POLICIES, "When."),
        _column("request_context", "jsonb", _POLICIES, "The call as it was asked for."),
        _column("user_context", "jsonb", _POLICIES, "For whom."),
    ),
)
_BY_ROLE: Final = (_INPUTS, _OUTPUTS, _IMPORTS)


def _message(name: str, type_: str, meaning: str, initial: str = "NULL", *, is_of_v1: bool = False) -> Column:
    return Column(name=name, type=type_, topics=_BY_ROLE, meaning=meaning, initial=initial, is_of_v1=is_of_v1)


CONVERSATION_MESSAGES: Final = Table(
    name="conversation_messages",
    purpose=(
        "The chat: one row a user's message (session.inputs), one an answer (session.outputs), and one a "
        "message of V1 (session.imports). Each kind of row has its one topic, but for a message's task, "
        "which session.outputs says, and for its cost. "
        "What models and tools said on the way is in the view `conversation_steps`."
    ),
    version_one=True,
    columns=(
        _session(),
        _message(
            "role",
            "text",
            "user or assistant; of V1's messages also system or tool.",
            "'user'",
            is_of_v1=True,
        ),
        _message("content", "text", "The text.", "''", is_of_v1=True),
        _message("created_at", "timestamptz", "When it was said.", is_of_v1=True),
        _message(
            "metadata",
            "jsonb",
            "What goes with it: event_id, attachments, model, citations; of V1's messages what V1 has.",
            "'{}'",
            is_of_v1=True,
        ),
        _message(
            "task_id", "uuid", "The root task of its turn; of V1's messages the task that it stands for."
        ),
        _message(
            "graph_node",
            "varchar(50)",
            "intake, fork or answer; adopted: V1's own row, of which V2 fills task_id, graph_node and "
            "cost_tokens alone; imported: a copy of V1's.",
            "'intake'",
        ),
        Column(
            name="cost_tokens",
            type="integer",
            topics=(_BUDGETS, _OUTPUTS, _IMPORTS),
            meaning=(
                "On an answer: what its turn used. On a message: what was charged and no answer tells of. "
                "The sum over a session is what it used. On a message of V1: what V1 says."
            ),
            resolve=_ADD,
            initial="0",
        ),
    ),
)
TOOL_INVOCATIONS: Final = Table(
    name="tool_invocations",
    purpose="Calls of tools, as V1 has them; the row's id is the call's.",
    version_one=True,
    columns=(
        _session(),
        _column("tool_name", "text", _INVOCATIONS, "The tool."),
        _column("category", "text", ("tool.outcomes", _IMPORTS), "Its kind."),
        _column("output_json", "jsonb", _INVOCATIONS, "success, and result or error.", _LAST, "'{}'"),
        _column("latency_ms", "integer", _INVOCATIONS, "How long it took."),
        _column("cost_tokens", "integer", _INVOCATIONS, "What its own model calls used."),
        _column("created_at", "timestamptz", _INVOCATIONS, "When it ended."),
    ),
)
TABLES: Final = (
    SESSIONS,
    SESSION_SUMMARIES,
    TASKS_V2,
    TASK_EDGES,
    GRAPH_SNAPSHOTS,
    RETRIEVAL_METRICS,
    TOOL_CAPABILITY_INDEX,
    POLICY_DECISIONS,
    CONVERSATION_MESSAGES,
    TOOL_INVOCATIONS,
    SCHEDULES,
    SCHEDULE_FIRINGS,
)
"""In the order in which rows can be written: parents first."""
BY_NAME: Final = MappingProxyType({table.name: table for table in TABLES})
