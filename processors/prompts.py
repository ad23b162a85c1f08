"""The prompts: which messages each call consists of, and how many tokens they can have."""

import json
from collections.abc import Iterable
from typing import Final

from processors.state import Task, TaskStatus, Turn
from processors.transition import Transition
from schemas.configuration import Agent, Configuration
from schemas.events.models import ChatRole, PromptMessage
from schemas.events.plans import PlannedTask

MESSAGE_TOKENS: Final = 4
"""What the chat format adds to each message, rounded up."""
PROMPT_TOKENS: Final = 8
"""What it adds to each prompt, rounded up."""
TOKEN_BYTES_USUAL: Final = 4
"""Of English text; what is reserved rests on fewer."""
CALL_TOKENS_USUAL: Final = 30
"""What a model writes to call a tool."""
HISTORY_TOKENS_MAX: Final = 2_000
"""How much of earlier turns a planner and a synthesizer are reminded of."""


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text, mostly too high: a third of its bytes, and one.

    A decider has no vocabulary. If a prompt turns out longer than its estimate, it is not sent, and the
    session reserves anew with the exact count that the outcome tells.
    """
    return len(text.encode()) // 3 + 1


def prompt_tokens(
    messages: Iterable[PromptMessage], configuration: Configuration, tools: Iterable[str]
) -> int:
    """Estimate the tokens of a prompt with the tools that it offers."""
    tokens = PROMPT_TOKENS
    for message in messages:
        tokens += MESSAGE_TOKENS
        if message.text is not None:
            tokens += text_tokens(message.text)
        if message.source is not None:
            tokens += message.source.tokens
    for name in tools:
        spec = configuration.tools[name]
        tokens += text_tokens(spec.name + spec.description + spec.parameters_json)
    return tokens


def plan_messages(transition: Transition) -> tuple[PromptMessage, ...]:
    """What the planner reads: rules, earlier turns, agents and request; then what was said since."""
    configuration = transition.configuration
    turn = transition.turn
    agents = "\n".join(_agent_line(agent) for _, agent in sorted(configuration.agents.items()))
    request = f"Agents:\n{agents}\n\n{_attachments(turn)}Request:\n"
    return (
        PromptMessage(role=ChatRole.SYSTEM, text=configuration.prompts["planner"]),
        *history_messages(transition),
        PromptMessage(role=ChatRole.USER, text=request, source=turn.message.reference),
        *turn.draft.conversation,
    )


def critique_messages(transition: Transition) -> tuple[PromptMessage, ...]:
    """What the critic reads: the rules, the request and the plan."""
    turn = transition.turn
    return (
        PromptMessage(role=ChatRole.SYSTEM, text=transition.configuration.prompts["critic"]),
        PromptMessage(role=ChatRole.USER, text="Request:\n", source=turn.message.reference),
        PromptMessage(role=ChatRole.USER, text=f"Plan:\n{plan_json(turn.draft.tasks)}"),
    )


def task_messages(transition: Transition, task: Task) -> tuple[PromptMessage, ...]:
    """What an agent reads: its role, the request, its task, the results it builds on, its own steps."""
    turn = transition.turn
    agent = transition.configuration.agents[task.agent]
    results = tuple(
        PromptMessage(
            role=ChatRole.USER,
            text=f"Result of task {earlier.key} ({earlier.intent}):\n",
            source=earlier.result,
        )
        for earlier in _complete_prerequisites(turn, task)
    )
    return (
        PromptMessage(role=ChatRole.SYSTEM, text=agent.prompt),
        PromptMessage(
            role=ChatRole.USER, text=f"{_attachments(turn)}Request:\n", source=turn.message.reference
        ),
        *results,
        PromptMessage(role=ChatRole.USER, text=f"Task {task.key}: {task.intent}"),
        *task.conversation,
    )


def synthesis_messages(transition: Transition, complete: Iterable[Task]) -> tuple[PromptMessage, ...]:
    """What the synthesizer reads: the request and each result under the number that it is cited by."""
    turn = transition.turn
    missing = [
        f"{task.intent} ({task.status}: {task.error})"
        for task in turn.tasks.values()
        if task.status is not TaskStatus.COMPLETE
    ]
    results = tuple(
        PromptMessage(role=ChatRole.USER, text=f"[{number}] {task.intent}\n", source=task.result)
        for number, task in enumerate(complete, start=1)
    )
    gaps = (
        (PromptMessage(role=ChatRole.USER, text="Tasks without a result: " + "; ".join(missing)),)
        if missing
        else ()
    )
    return (
        PromptMessage(role=ChatRole.SYSTEM, text=transition.configuration.prompts["synthesizer"]),
        *history_messages(transition),
        PromptMessage(role=ChatRole.USER, text="Request:\n", source=turn.message.reference),
        *results,
        *gaps,
    )


def history_messages(transition: Transition) -> tuple[PromptMessage, ...]:
    """Earlier turns, newest first as long as they fit, told in their order."""
    told: list[PromptMessage] = []
    tokens = 0
    for exchange in reversed(transition.state.history):
        tokens += exchange.message.tokens + exchange.answer.tokens
        if tokens > HISTORY_TOKENS_MAX:
            break
        told = [
            PromptMessage(role=ChatRole.USER, source=exchange.message),
            PromptMessage(role=ChatRole.ASSISTANT, source=exchange.answer),
            *told,
        ]
    return tuple(told)


def evidence_of(messages: Iterable[PromptMessage]) -> tuple[str, ...]:
    """Return the events whose texts a prompt contains."""
    return tuple(message.source.event_id for message in messages if message.source is not None)


def plan_json(tasks: Iterable[PlannedTask]) -> str:
    """Write a plan as the planner writes it."""
    output = {
        "tasks": [
            {
                "key": task.key,
                "intent": task.intent,
                "agent": task.agent,
                "priority": task.priority,
                "parent": task.parent_key,
                "edges": [
                    {"relation": edge.relation, "task": edge.other_key, "weight": edge.weight}
                    for edge in task.edges
                ],
            }
            for task in tasks
        ]
    }
    return json.dumps(output, ensure_ascii=False)


def estimated_tokens(transition: Transition, task: PlannedTask, prerequisites: int) -> int:
    """Estimate what a task will use: its prompt for each expected step, what its tool brings, and its answer.

    An agent with tools is expected to call the first of its list once, and to read what it gave in a second
    step unless that is its answer. A tool that reads an attachment is expected to read all of them. Answers
    and results of prerequisites are expected to be a quarter as long as the agent may write.
    """
    agent = transition.configuration.agents[task.agent]
    message = transition.turn.message
    known = transition.configuration.tools
    tools = [known[name] for name in agent.tools if name in known]
    answer = agent.output_tokens_max // 4
    offers = [spec.name + spec.description + spec.parameters_json for spec in tools]
    prompt = (
        PROMPT_TOKENS
        + 4 * MESSAGE_TOKENS
        + sum(len(text.encode()) // TOKEN_BYTES_USUAL for text in (agent.prompt, task.intent, *offers))
        + message.reference.tokens
        + prerequisites * answer
    )
    if not tools:
        return prompt + answer
    attached = sum(attachment.tokens for attachment in message.attachments)
    used = min(tools[0].tokens_max, max(tools[0].used_tokens_usual or tools[0].tokens_max, attached))
    if agent.answers_with == "tool":
        return prompt + CALL_TOKENS_USUAL + used
    return 2 * prompt + CALL_TOKENS_USUAL + used + tools[0].result_tokens_usual + answer


def _complete_prerequisites(turn: Turn, task: Task) -> list[Task]:
    earlier = [turn.tasks[prerequisite.task_id] for prerequisite in task.prerequisites]
    return [task for task in earlier if task.status is TaskStatus.COMPLETE]


def _agent_line(agent: Agent) -> str:
    tools = f" (tools: {', '.join(agent.tools)})" if agent.tools else ""
    return f"- {agent.name}: {agent.purpose}{tools}"


def _attachments(turn: Turn) -> str:
    lines = [
        f"Attachment: {named.name} ({named.tokens} tokens); tools read it as attachment:{named.name}"
        for named in turn.message.attachments
    ]
    return "\n".join([*lines, "", ""]) if lines else ""
