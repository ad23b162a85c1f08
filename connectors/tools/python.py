"""The tool `execute_python`: the sandbox behind the port of tools."""

import json

from connectors.sandbox.errors import RequestInvalid, SandboxBusy, SandboxUnavailable
from connectors.sandbox.limits import START_MS_MAX
from connectors.sandbox.result import OutputChunk
from connectors.sandbox.sandbox import Sandbox
from connectors.sandbox.tool import PARAMETERS, RESULT, ArtefactKeeper, execute_python
from schemas.configuration import ToolSpec
from schemas.ports.tool import Arguments, ToolContext, ToolError, ToolResult

NAME = "execute_python"
VERSION = "2.0.0"


class ExecutePython:
    """The tool, as a registry of tools mounts it."""

    def __init__(self, sandbox: Sandbox, keep_artefact: ArtefactKeeper | None = None) -> None:
        """Offer `sandbox`; `keep_artefact` stores what is too large for a result."""
        self._sandbox = sandbox
        self._keep_artefact = keep_artefact
        self._spec = ToolSpec(
            name=NAME,
            version=VERSION,
            description=_described(sandbox),
            category="computation",
            safety_level="caution",
            complexity_score=5,
            resource_intensity="heavy",
            parameters_json=json.dumps(PARAMETERS),
            result_schema_json=json.dumps(RESULT),
            # A run has no effect outside its result, so that repeating a call does no harm.
            idempotent=True,
            tokens_max=0,
            tokens_min=0,
            nanodollars_per_token=0,
            timeout_ms=sandbox.wait_ms_max + sandbox.timeout_ms_max + START_MS_MAX + 5_000,
            result_tokens_usual=150,
            trust="tool",
        )

    @property
    def spec(self) -> ToolSpec:
        """Describe the tool."""
        return self._spec

    async def run(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """Run the code; what it fails at itself, limits included, is part of the result.

        Raises:
            ToolError: the arguments break a bound (validation_error), no tier holds, or the sandbox is busy
                (execution_error; the last is worth a retry).
        """

        async def pass_on(chunk: OutputChunk) -> None:
            await context.on_output(chunk.stream.value, chunk.text)

        try:
            result = await execute_python(
                arguments, self._sandbox, pass_on, self._keep_artefact, context.tenant_id
            )
        except RequestInvalid as error:
            raise ToolError("validation_error", str(error)) from error
        except SandboxBusy as error:
            raise ToolError("execution_error", str(error), retryable=True) from error
        except SandboxUnavailable as error:
            raise ToolError("execution_error", str(error)) from error
        return ToolResult(result=result)


def _described(sandbox: Sandbox) -> str:
    names = ", ".join(sandbox.packages) or "none"
    return (
        "Execute Python code in a secure sandbox: no network, only its own files, a fresh process per call. "
        f"Packages that may be asked for: {names}."
    )
