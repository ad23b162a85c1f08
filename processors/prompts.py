"""The prompts: which messages each call consists of, and how many tokens they can have."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from processors.memory.history import MESSAGE_TOKENS, RECALL_TOOL, past_messages, past_of
from processors.plans import agent_of
from processors.provenance import Provenance, joined, lowest, of_descriptions
from processors.state import SessionState, Task, TaskStatus, Turn
from processors.transition import Transition
from schemas.configuration import Agent, Configuration, ToolSpec
from schemas.events.models import ChatRole, PromptMessage
from schemas.events.plans import Difficulty, PlannedTask
from schemas.events.trust import Trust

PROMPT_TOKENS: Final = 8
"""What it adds to each prompt, rounded up."""
TOKEN_BYTES_USUAL: Final = 4
"""Of English text; what is reserved rests on fewer."""
CALL_TOKENS_USUAL: Final = 30
"""What a model writes to call a tool."""


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
    request = f"Agents:\n{agent_lines(configuration.agents.values())}\n\n{_attachments(turn)}Request:\n"
    return (
        _rules(configuration.prompts["planner"]),
        *past_messages(transition.state, configuration, finds=True),
        _request(turn, request),
        *turn.draft.conversation,
    )


def agent_lines(agents: Iterable[Agent]) -> str:
    """Return what the planner reads of the agents: a line each, in the order of their names."""
    return "\n".join(_agent_line(agent) for agent in sorted(agents, key=lambda agent: agent.name))


def critique_messages(transition: Transition) -> tuple[PromptMessage, ...]:
    """What the critic reads: the rules, the request and the plan."""
    turn = transition.turn
    plan = f"Plan:\n{plan_json(turn.draft.tasks)}"
    return (
        _rules(transition.configuration.prompts["critic"]),
        _request(turn, "Request:\n"),
        PromptMessage(role=ChatRole.USER, text=plan, trust=turn.draft.made_from.trust),
    )


def task_messages(transition: Transition, task: Task) -> tuple[PromptMessage, ...]:
    """What an agent reads: its role, the request, its task, the results it builds on, its own steps.

    Who does all the work of a turn reads the earlier turns as well: no plan has put into words what of them
    counts. Agents may be told them always, or never.
    """
    turn = transition.turn
    agent = agent_of(task.agent, transition.configuration)
    finds = RECALL_TOOL in agent.tools
    results = tuple(
        PromptMessage(
            role=ChatRole.USER,
            text=f"Result of task {earlier.key} ({earlier.intent}):\n",
            source=earlier.result,
            trust=lowest(turn.draft.made_from.trust, earlier.made_from.trust),
        )
        for earlier in _complete_prerequisites(turn, task)
    )
    return (
        _rules(agent.prompt),
        *(
            past_messages(transition.state, transition.configuration, finds=finds)
            if reads_past(agent, alone=len(turn.tasks) == 1)
            else ()
        ),
        _request(turn, f"{_attachments(turn)}Request:\n"),
        *results,
        PromptMessage(
            role=ChatRole.USER, text=f"Task {task.key}: {task.intent}", trust=turn.draft.made_from.trust
        ),
        *task.conversation,
    )


def plan_made_from(transition: Transition) -> Provenance:
    """Return what is read for a plan: what the planner and the critic have read before goes along."""
    turn = transition.turn
    return joined(turn.draft.made_from, turn.message.made_from, past_of(transition.state))


def task_made_from(transition: Transition, task: Task, tools: Iterable[str]) -> Provenance:
    """Return what a task's model has read once it has read its next prompt.

    Args:
        transition: with the turn.
        task: as it stands.
        tools: names of those that the prompt offers.
    """
    turn, configuration = transition.turn, transition.configuration
    alone = len(turn.tasks) == 1
    reads = reads_past(agent_of(task.agent, configuration), alone=alone)
    return joined(
        task.made_from,
        turn.message.made_from,
        turn.draft.made_from,
        *((past_of(transition.state),) if reads else ()),
        *(earlier.made_from for earlier in _complete_prerequisites(turn, task)),
        of_descriptions(tuple(configuration.tools[name] for name in tools)),
    )


def turn_made_from(state: SessionState, turn: Turn) -> Provenance:
    """Return what a turn's answer is made of."""
    tasks = (task.made_from for task in turn.tasks.values())
    return joined(turn.message.made_from, turn.draft.made_from, past_of(state), *tasks)


def reads_past(agent: Agent, *, alone: bool) -> bool:
    """Tell whether an agent is told the earlier turns.

    Args:
        agent: whose task it is.
        alone: whether the task is the only one of its turn.
    """
    return agent.past == "always" or (alone and agent.past != "never")


def synthesis_messages(transition: Transition, complete: Iterable[Task]) -> tuple[PromptMessage, ...]:
    """What the synthesizer reads: the request and each result under the number that it is cited by."""
    turn = transition.turn
    missing = [
        f"{task.intent} ({task.status}: {task.error})"
        for task in turn.tasks.values()
        if task.status is not TaskStatus.COMPLETE
    ]
    results = tuple(
        PromptMessage(
            role=ChatRole.USER,
            text=f"[{number}] {task.intent}\n",
            source=task.result,
            trust=lowest(turn.draft.made_from.trust, task.made_from.trust),
        )
        for number, task in enumerate(complete, start=1)
    )
    made_from = turn_made_from(transition.state, turn)
    gaps = (
        (
            PromptMessage(
                role=ChatRole.USER,
                text="Tasks without a result: " + "; ".join(missing),
                trust=made_from.trust,
            ),
        )
        if missing
        else ()
    )
    return (
        _rules(transition.configuration.prompts["synthesizer"]),
        *past_messages(transition.state, transition.configuration),
        _request(turn, "Request:\n"),
        *results,
        *gaps,
    )


def both_ends(text: str, characters_max: int) -> str:
    """Return a referred text as a prompt tells it: of one that is too long the beginning and the end."""
    if not characters_max or len(text) <= characters_max:
        return text
    end = characters_max // 3
    return f"{text[: characters_max - end]}\n[…]\n{text[len(text) - end :]}"


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
                **({} if task.difficulty is Difficulty.USUAL else {"difficulty": task.difficulty}),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedUse:
    """What a task is expected to use."""

    input_tokens: int
    output_tokens: int
    tool: ToolSpec | None = None
    """The one that is expected to be called."""
    tool_tokens: int = 0
    """What it uses by itself."""


def estimated_tokens(
    transition: Transition, task: PlannedTask, prerequisites: int, *, alone: bool = False
) -> int:
    """Estimate what a task will use in all. Who works alone reads the earlier turns."""
    agent = agent_of(task.agent, transition.configuration)
    message = transition.turn.message
    past = 0
    if reads_past(agent, alone=alone):
        told = past_messages(transition.state, transition.configuration)
        past = sum(MESSAGE_TOKENS + message.source.tokens for message in told if message.source)
    use = expected_use(
        agent,
        transition.configuration,
        intent=task.intent,
        given_tokens=message.reference.tokens + prerequisites * (agent.output_tokens_max // 4) + past,
        attached_tokens=sum(attachment.tokens for attachment in message.attachments),
    )
    return use.input_tokens + use.output_tokens + use.tool_tokens


def expected_use(
    agent: Agent, configuration: Configuration, *, intent: str, given_tokens: int, attached_tokens: int
) -> ExpectedUse:
    """Tell what a task is expected to use: its prompt for each step, what its tool brings, its answer.

    An agent with tools is expected to call the first of its list once, and to read what it gave in a second
    step unless that is its answer. A tool that reads an attachment is expected to read all of them. Answers
    and results of prerequisites are expected to be a quarter as long as the agent may write.

    Args:
        agent: whose task it is.
        configuration: with its tools.
        intent: of the task.
        given_tokens: of the message, of earlier results and of the past, as far as it reads them.
        attached_tokens: of all attachments.
    """
    known = configuration.tools
    tools = [known[name] for name in agent.tools if name in known]
    answer = agent.output_tokens_max // 4
    offers = [spec.name + spec.description + spec.parameters_json for spec in tools]
    texts = (agent.prompt, intent, *offers)
    prompt = PROMPT_TOKENS + 4 * MESSAGE_TOKENS + sum(map(usual_tokens, texts)) + given_tokens
    if not tools:
        return ExpectedUse(input_tokens=prompt, output_tokens=answer)
    tool = tools[0]
    used = min(tool.tokens_max, max(tool.used_tokens_usual or tool.tokens_max, attached_tokens))
    if agent.answers_with == "tool":
        return ExpectedUse(input_tokens=prompt, output_tokens=CALL_TOKENS_USUAL, tool=tool, tool_tokens=used)
    return ExpectedUse(
        input_tokens=2 * prompt + tool.result_tokens_usual,
        output_tokens=CALL_TOKENS_USUAL + answer,
        tool=tool,
        tool_tokens=used,
    )


def usual_tokens(text: str) -> int:
    """Return what a text of English usually has; what is reserved rests on more."""
    return len(text.encode()) // TOKEN_BYTES_USUAL


def _rules(text: str) -> PromptMessage:
    return PromptMessage(role=ChatRole.SYSTEM, text=text, trust=Trust.SYSTEM)


def _request(turn: Turn, text: str) -> PromptMessage:
    message = turn.message
    return PromptMessage(
        role=ChatRole.USER, text=text, source=message.reference, trust=message.made_from.trust
    )


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
