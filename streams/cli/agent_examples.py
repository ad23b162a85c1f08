"""Examples in agents' files, tried with the local model: who is chosen, and which tool is called.

Nothing is paid and nothing is asked of a network. It shows that requests, purposes and tools go together by
plain rules; a language model may choose otherwise, and better.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from connectors.local_model.answers import reply_to
from connectors.local_model.wire import ChatCall
from schemas.configuration import Agent, Configuration
from schemas.ports.chat import ChatMessage, ToolOffered
from streams.configuration.agents import Example, Source
from streams.configuration.foresight import planned

_MODEL: Final = "local"


def example_warnings(
    sources: Mapping[str, Source], present: Mapping[str, Agent], configuration: Configuration
) -> Iterator[str]:
    """Tell which examples do not come out as their files say.

    Args:
        sources: where agents are described.
        present: those that can work with the tools that there are.
        configuration: with the planner's prompt.
    """
    planner = configuration.prompts["planner"]
    for name, agent in present.items():
        source = sources[name]
        for number, example in enumerate(source.file.examples, start=1):
            where = f"{source.place}: example {number}"
            tasks = planned(planner, present, example.request)
            intents = [intent for intent, chosen in tasks if chosen == name]
            if not intents:
                others = ", ".join(sorted({chosen for _, chosen in tasks}))
                yield f"{where}: the local model gives it to {others}; say in the purpose what it asks for"
            elif example.calls is not None and example.calls not in agent.tools:
                yield f"{where}: calls: the agent has no tool {example.calls}"
            elif example.calls is not None and example.calls not in _called(agent, example, intents[0]):
                yield f"{where}: calls: the local model does not call {example.calls} first"


def _called(agent: Agent, example: Example, intent: str) -> list[str]:
    messages = (
        ChatMessage(role="system", text=agent.prompt),
        ChatMessage(role="user", text=f"Request:\n{example.request}"),
        ChatMessage(role="user", text=f"Task t1: {intent}"),
    )
    tools = tuple(ToolOffered(name=name, description="", parameters_json="{}") for name in agent.tools)
    return [call.name for call in reply_to(ChatCall(model=_MODEL, messages=messages, tools=tools)).tool_calls]
