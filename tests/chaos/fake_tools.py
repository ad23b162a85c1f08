"""The tools of the fake servers, as a worker has them: one may be repeated, the other may not."""

import json
from collections.abc import Sequence
from typing import Final

import aiohttp

from schemas.configuration import ToolSpec
from schemas.ports.tool import Arguments, Tool, ToolContext, ToolError, ToolResult
from tests.chaos.fake_servers import IDEMPOTENT, TOOLS

TIMEOUT_MS: Final = 6_000
_PARAMETERS: Final = json.dumps(
    {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
)
_RESULT: Final = json.dumps(
    {"type": "object", "properties": {"result": {"type": "string"}}, "required": ["result"]}
)


class FakeTool:
    """Asks the fake server to do something."""

    def __init__(self, name: str, base_url: str) -> None:
        """Note the address; nothing connects yet."""
        self._url = f"{base_url}/tools/{name}"
        self._spec = ToolSpec(
            name=name,
            version="1.0.0",
            description=f"Do {name} for a name.",
            category="booking",
            safety_level="safe",
            complexity_score=1,
            resource_intensity="light",
            parameters_json=_PARAMETERS,
            result_schema_json=_RESULT,
            idempotent=name in IDEMPOTENT,
            tokens_max=0,
            tokens_min=0,
            nanodollars_per_token=0,
            timeout_ms=TIMEOUT_MS,
            # Sessions of the campaign have documents in them, and nobody sits there to be asked.
            acts_outside=False,
        )

    @property
    def spec(self) -> ToolSpec:
        """Describe the tool."""
        return self._spec

    async def run(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """Do it.

        Raises:
            ToolError: it is not known to be done.
        """
        headers = {"X-Client-Request-Id": context.call_id, "Idempotency-Key": context.idempotency_key}
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(self._url, json=dict(arguments), headers=headers) as response,
            ):
                body = await response.read()
                if response.status != 200:
                    raise ToolError("execution_error", f"HTTP {response.status}", retryable=True)
                return ToolResult(result=json.loads(body))
        except (aiohttp.ClientError, ValueError) as error:
            raise ToolError("execution_error", f"no answer: {error!r}", retryable=True) from error


def fake_tools(base_url: str) -> Sequence[Tool]:
    """Return all of them."""
    return [FakeTool(name, base_url) for name in TOOLS]
