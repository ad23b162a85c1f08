"""Checks that a configuration can work: what reads well and would fail with the first message is refused.

Each fault names the file, the key and what to write in its place; all are told together.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

from connectors.models.vocabularies import VOCABULARIES
from processors.client_failures import CLIENT
from schemas.configuration import Agent, ChatModel, Configuration, Limits, Models, Policy
from streams.configuration.agents import sources_of
from streams.configuration.files import ConfigurationInvalid
from streams.configuration.roles import PROMPTS
from topics.catalog import RECORD_BYTES_MAX

TOOLS: Final = (
    "generate_embeddings",
    "analyze_document",
    "search_documents",
    "recall_conversation",
    "execute_python",
    "analyze_ui",
)
"""The tools that every worker has; named here, so that a check does not load what they are made of."""
NUMBER_MAX: Final = 2**53
"""Largest number of a limit: every program that reads the log holds it exactly."""
TEXT_BYTES_MAX: Final = RECORD_BYTES_MAX * 9 // 10
"""Of a message: its record holds an envelope beside it."""
PROMPT_BYTES_MAX: Final = 200_000
NAME_CHARACTERS_MAX: Final = 100
_MAY_BE_ZERO: Final = frozenset(
    {
        "account_tokens",
        "account_nanodollars",
        "critique_score_min",
        "critique_temperature",
        "history_tokens_max",
        "model_rest_ms",
        "plan_temperature",
        "queue_max",
        "repairs_max",
        "retry_delay_ms",
        "retry_delay_ms_max",
        "revisions_max",
        "session_idle_ms",
        "session_retention_ms",
        "summary_output_tokens_max",
        "summary_temperature",
        "synthesis_share",
        "synthesis_temperature",
    }
)
_PROMPT_TOKENS_MIN: Final = 500
"""What a call reads at the least, beside what it writes."""


def demand_usable(configuration: Configuration, places: Mapping[str, str]) -> None:
    """Refuse a configuration that cannot work, whichever tools there are.

    Args:
        configuration: whole.
        places: where each agent is described, also those that are left out for want of tools.

    Raises:
        ConfigurationInvalid: with all faults.
    """
    models, limits = configuration.models, configuration.limits
    _demand_none(
        [
            *_of_models(models),
            *_of_agents(configuration.agents, models, places),
            *_of_prompts(configuration.prompts, places),
            *_of_policy(configuration.policy, places),
            *_of_limits(limits, models),
        ]
    )


def demand_tools(configuration: Configuration, tools: Collection[str], directory: Path | None = None) -> None:
    """Refuse a configuration that names tools that there are not.

    Args:
        configuration: whole.
        tools: the names of those that there are.
        directory: of files of one's own, so that faults name the file.

    Raises:
        ConfigurationInvalid: with all faults.
    """
    known = f"there are {', '.join(sorted(tools))}"
    missing = [
        (agent.name, name)
        for agent in configuration.agents.values()
        for name in agent.tools
        if name not in tools
    ]
    # Files are read for their names in faults alone.
    places = {name: source.place for name, source in sources_of(directory).items()} if missing else {}
    _demand_none(
        [
            *(
                f"{places.get(agent, agent)}: tools: there is no tool {name!r}; {known}"
                for agent, name in missing
            ),
            *(
                f"policy.toml: rule {rule.name!r}: tools: there is no tool {name!r}; {known}"
                for rule in configuration.policy.rules
                # What clients bring along nobody here knows.
                if CLIENT not in rule.agents
                for name in rule.tools
                if name not in tools
            ),
        ]
    )


def _demand_none(faults: list[str]) -> None:
    if faults:
        raise ConfigurationInvalid("\n".join(faults))


def _of_models(models: Models) -> Iterator[str]:
    known = ", ".join(sorted(VOCABULARIES))
    remedy = f"write one of {known}: cl100k_base counts more tokens than most models do"
    for model in models.chat:
        where = f"models.toml: chat {model.name!r}"
        if model.encoding not in VOCABULARIES:
            yield f"{where}: encoding: there is none named {model.encoding!r}; {remedy}"
        for key, price in _prices(model).items():
            if price * model.context_tokens > NUMBER_MAX:
                yield f"{where}: {key}: a call could cost more than can be counted; write dollars, as 0.0025"
    embedding = models.embedding
    if embedding.encoding not in VOCABULARIES:
        yield f"models.toml: embedding: encoding: there is none named {embedding.encoding!r}; {remedy}"
    if embedding.input_nanodollars * embedding.input_tokens_max > NUMBER_MAX:
        yield "models.toml: embedding: input_dollars_per_1000: it is more than can be counted"


def _prices(model: ChatModel) -> Mapping[str, int]:
    return {
        "input_dollars_per_1000": model.input_nanodollars,
        "output_dollars_per_1000": model.output_nanodollars,
    }


def _of_agents(agents: Mapping[str, Agent], models: Models, places: Mapping[str, str]) -> Iterator[str]:
    if not agents:
        yield "agents: there is no agent; write at least one, such as the shipped agents/writer.toml"
    room = _room_of(models)
    for name, agent in agents.items():
        where = places[name]
        if not name.isprintable() or not name.strip() or len(name) > NAME_CHARACTERS_MAX:
            yield f"{where}: the name must be 1 to {NAME_CHARACTERS_MAX} characters on one line"
        if not agent.purpose.strip():
            yield f"{where}: purpose: it is empty; say for which tasks the planner should choose this agent"
        yield from _of_prompt(f"{where}: prompt", agent.prompt)
        if agent.output_tokens_max > room:
            yield f"{where}: output_tokens_max: no model has room for so many; the most is {room:,}"
        if agent.answers_with == "tool" and not agent.tools:
            yield f"{where}: answers_with: it has no tool to answer with; write text, or name one in tools"
        if len(set(agent.tools)) < len(agent.tools):
            yield f"{where}: tools: one stands there twice; name each once"


def _room_of(models: Models) -> int:
    return max(model.context_tokens for model in models.chat) - _PROMPT_TOKENS_MIN


def _of_prompts(prompts: Mapping[str, str], places: Mapping[str, str]) -> Iterator[str]:
    for name, text in prompts.items():
        # A file of their own may say them, and a prompts.toml may.
        told = next((agent for agent, prompt in PROMPTS.items() if prompt == name), name)
        yield from _of_prompt(f"prompts.toml: {name}, or {places.get(told, told)}: prompt", text)


def _of_prompt(where: str, text: str) -> Iterator[str]:
    if not text.strip():
        yield f"{where}: it is empty; write what the model is to do"
    if len(text.encode(errors="replace")) > PROMPT_BYTES_MAX:
        yield f"{where}: it has more than {PROMPT_BYTES_MAX:,} bytes; shorten it"


def _of_policy(policy: Policy, agents: Collection[str]) -> Iterator[str]:
    names = [rule.name for rule in policy.rules]
    for rule in policy.rules:
        where = f"policy.toml: rule {rule.name!r}"
        if not rule.name.strip():
            yield f"{where}: name: it is empty; decisions are traced by it"
        elif names.count(rule.name) > 1:
            yield f"{where}: name: it stands there twice; decisions are traced by it, so name each rule once"
        for agent in rule.agents:
            if agent not in agents and agent != CLIENT:
                yield f"{where}: agents: there is no agent {agent!r}; there are {', '.join(sorted(agents))}"
        if rule.decision != "escalate" and (rule.approvers or rule.approver_scope or rule.four_eyes):
            yield f"{where}: approvers, approver_scope, four_eyes: nobody approves what does not escalate"
        share = rule.share_left_below
        if share is not None and not 0 <= share <= 1:
            yield f"{where}: share_left_below: it is {share}; write a share from 0 to 1"
        if rule.calls_above is not None and not 0 <= rule.calls_above <= NUMBER_MAX:
            yield f"{where}: calls_above: it is {rule.calls_above}; write a count from 0 on"


def _of_limits(limits: Limits, models: Models) -> Iterator[str]:
    for field in fields(limits):
        value = getattr(limits, field.name)
        where = f"limits.toml: {field.name}"
        if not isinstance(value, int | float):
            continue
        if value == 0 and field.name not in _MAY_BE_ZERO:
            yield f"{where}: nothing could be done with 0; the default is {field.default}"
        if isinstance(field.default, float) and value > 1:
            yield f"{where}: it is {value}; write a share from 0 to 1, such as {field.default}"
        elif value > NUMBER_MAX:
            yield f"{where}: it is more than can be counted; the most is {NUMBER_MAX}"
    if limits.text_bytes_max > TEXT_BYTES_MAX:
        yield f"limits.toml: text_bytes_max: no record has room for so many; the most is {TEXT_BYTES_MAX:,}"
    room = _room_of(models)
    for name in (
        "plan_output_tokens_max",
        "critique_output_tokens_max",
        "synthesis_output_tokens_max",
        "summary_output_tokens_max",
        "history_tokens_max",
    ):
        if getattr(limits, name) > room:
            yield f"limits.toml: {name}: no model has room for so many; the most is {room:,}"
    if limits.retry_delay_ms > limits.retry_delay_ms_max:
        yield "limits.toml: retry_delay_ms: it is more than retry_delay_ms_max; raise that, too"
    least = limits.output_tokens_min + _PROMPT_TOKENS_MIN
    if limits.session_budget_tokens < least:
        yield f"limits.toml: session_budget_tokens: no call could be afforded; the least is {least:,}"
