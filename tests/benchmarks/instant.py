"""A model and a tool that answer at once, in the worker's process, as the peers' do."""

import json
from dataclasses import replace
from typing import Final

from connectors.tools.registry import ToolRegistry
from schemas.configuration import ToolSpec
from schemas.events.models import ToolCallProposed
from schemas.ports.chat import ChatAnswer, ChatRequest
from schemas.ports.tool import Arguments, ToolContext, ToolResult
from streams.configuration.loading import load_configuration
from streams.process.settings import Settings
from streams.worker.providers import Providers, make_providers
from tests.benchmarks.peers.agents import FINDING, TASKS

TOOL: Final = "lookup"
_STRING: Final = {"type": "string"}
_PLAN: Final = json.dumps(
    {
        "tasks": [
            {"key": f"t{number}", "intent": f"look at way {number} to store events", "agent": "researcher"}
            for number in range(TASKS)
        ]
    }
)
_CRITIQUE: Final = json.dumps({"score": 0.9, "remarks": "It covers what is asked."})


class InstantModel:
    """Plans three tasks, praises the plan, asks for one tool call in each task, and writes an answer."""

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Answer by the role that the system prompt gives."""
        role = request.messages[0].text.partition("\n")[0]
        calls: tuple[ToolCallProposed, ...] = ()
        text = FINDING
        if role.endswith("planner"):
            text = _PLAN
        elif role.endswith("critic"):
            text = _CRITIQUE
        elif request.tools and request.messages[-1].role != "tool":
            text = ""
            arguments = json.dumps({"for": request.messages[-1].text[:40]})
            calls = (
                ToolCallProposed(
                    tool_call_id="call_0", name=TOOL, arguments_json=arguments, arguments_tokens=20
                ),
            )
        return ChatAnswer(
            text=text,
            tool_calls=calls,
            finish_reason="tool_calls" if calls else "stop",
            model=request.model,
            input_tokens=min(200, request.input_tokens_max),
            output_tokens=60,
            usage_source="provider",
            attempts=1,
            first_token_ms=0,
            local=True,
        )

    def count_tokens(self, text: str, model: str) -> int:
        """Estimate; nobody asks."""
        return len(text) // 4


class InstantTool:
    """Finds the same for everybody."""

    @property
    def spec(self) -> ToolSpec:
        """Describe the tool: safe, and free of model calls of its own."""
        return ToolSpec(
            name=TOOL,
            version="1",
            description="Looks something up.",
            category="retrieval",
            safety_level="safe",
            complexity_score=1,
            resource_intensity="light",
            parameters_json=json.dumps(
                {"type": "object", "properties": {"for": _STRING}, "required": ["for"]}
            ),
            result_schema_json=json.dumps(
                {"type": "object", "properties": {"found": _STRING, "for": _STRING}, "required": ["found"]}
            ),
            idempotent=True,
            tokens_max=0,
            tokens_min=0,
            nanodollars_per_token=0,
            timeout_ms=5_000,
        )

    async def run(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """Find it."""
        return ToolResult(result={"found": FINDING, "for": str(arguments["for"])})


async def instant_providers(settings: Settings) -> Providers:
    """Return the worker's own providers with model and tools exchanged."""
    providers = await make_providers(settings)
    tools = ToolRegistry([InstantTool()])
    return replace(
        providers,
        configuration=load_configuration(tools.specs.values(), settings.configuration_directory),
        model=InstantModel(),
        tools=tools,
    )
