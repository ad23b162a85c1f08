"""The registry of tools: looks one up, checks what goes in and what comes out, and bounds its time."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NoReturn

import structlog
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from connectors.tools.json_schemas import SchemaUnusable, faults_of, usable_validator
from schemas.configuration import ToolSpec
from schemas.ports.tool import (
    DeltaSink,
    Happened,
    Reconciler,
    Tool,
    ToolContext,
    ToolError,
    ToolResult,
)

ARGUMENTS_BYTES_MAX: Final = 400_000
RESULT_BYTES_MAX: Final = 700_000
"""As JSON; beside it, a record holds a search's embedding."""
RECONCILE_S: Final = 20.0
"""How long it may take until a tool has told whether an earlier call was carried out."""
_ASK_AGAIN_S: Final = 0.5
FAULTS_TOLD_MAX: Final = 3
FAULT_CHARACTERS_MAX: Final = 300

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Registered:
    tool: Tool
    spec: ToolSpec
    parameters: Draft202012Validator
    result: Draft202012Validator


class ToolRegistry:
    """All tools of a process by name; every call of a tool goes through `invoke`."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        """Compile the schemas of all tools.

        Raises:
            ValueError: two tools have one name, or a schema of a tool cannot be used.
        """
        self._registered: dict[str, _Registered] = {}
        for tool in tools:
            spec = tool.spec
            if spec.name in self._registered:
                raise ValueError(f"two tools are named {spec.name}")
            self._registered[spec.name] = _Registered(
                tool=tool,
                spec=spec,
                parameters=_validator(spec, "parameters", spec.parameters_json, of_object=True),
                result=_validator(spec, "result schema", spec.result_schema_json, of_object=False),
            )

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """What each tool is, by name, in the order of registration."""
        return {name: entry.spec for name, entry in self._registered.items()}

    async def invoke(
        self, name: str, arguments_json: str, context: ToolContext, timeout_ms: int
    ) -> ToolResult:
        """Run the tool `name` once.

        Kinds of failure: unknown_tool; parse_error (the arguments are no JSON object); validation_error
        (they don't fit the tool's parameters: the message says where); timeout; streaming_error (the output
        could not be passed on); execution_error (the tool failed); result_invalid (it was carried out, and
        its result does not fit its schema or is too large).

        Raises:
            ToolError: there is no result.
        """
        entry = self._registered.get(name)
        if entry is None:
            raise ToolError(
                "unknown_tool", f"there is no tool {name[:100]!r}; known are {', '.join(self.specs)}"
            )
        arguments = _parsed(entry.spec, arguments_json)
        faults = faults_of(entry.parameters, arguments)
        if faults:
            raise ToolError("validation_error", f"arguments of {name}: {_told(faults)}")
        guarded = replace(context, on_output=_guarded(context.on_output))
        result = await _run(entry, arguments, guarded, timeout_ms)
        _check_result(entry, result)
        return result

    async def happened(self, name: str, arguments_json: str, context: ToolContext) -> Happened | None:
        """Ask a tool whether an earlier call was carried out; None: it cannot tell, or could not be asked."""
        entry = self._registered.get(name)
        if entry is None or not isinstance(entry.tool, Reconciler):
            return None
        try:
            arguments = _parsed(entry.spec, arguments_json)
            async with asyncio.timeout(RECONCILE_S):
                known = await _happened(entry.tool, arguments, context)
        except Exception as error:  # noqa: BLE001, RUF100  # as in `_run`; what is not known stays so
            _log.warning("tool_not_reconciled", tool=name, reason=f"{type(error).__name__}: {error}"[:500])
            return None
        if known is None or known.result is None:
            return known
        try:
            _check_result(entry, ToolResult(result=known.result))
        except ToolError:
            # That it was carried out is known all the same.
            return replace(known, result=None)
        return known


async def _happened(
    tool: Reconciler, arguments: Mapping[str, object], context: ToolContext
) -> Happened | None:
    """Ask until there is an answer: whoever has just died in a call is away for a moment."""
    while True:
        try:
            return await tool.happened(arguments, context)
        except ToolError as error:
            if not error.retryable:
                raise
        await asyncio.sleep(_ASK_AGAIN_S)


async def _run(
    entry: _Registered, arguments: Mapping[str, object], context: ToolContext, timeout_ms: int
) -> ToolResult:
    spec = entry.spec
    try:
        async with asyncio.timeout(timeout_ms / 1000) as limit:
            result: object = await entry.tool.run(arguments, context)
            if not isinstance(result, ToolResult):
                raise TypeError(f"it gave a {type(result).__name__} in place of a result")
            return result
    except ToolError:
        raise
    except TimeoutError as error:
        if not limit.expired():
            _failed(spec, error)
        raise ToolError(
            "timeout",
            f"{spec.name} gave no result within {timeout_ms} ms",
            retryable=spec.idempotent,
            maybe_billed=spec.tokens_max > 0,
        ) from error
    except Exception as error:  # noqa: BLE001, RUF100  # a tool may be anybody's: its bugs fail its call alone
        _failed(spec, error)


def _failed(spec: ToolSpec, error: Exception) -> NoReturn:
    raise ToolError(
        "execution_error",
        f"{spec.name} failed: {type(error).__name__}: {str(error)[:FAULT_CHARACTERS_MAX]}",
        maybe_billed=spec.tokens_max > 0,
    ) from error


def _guarded(on_output: DeltaSink) -> DeltaSink:
    async def pass_on(channel: str, text: str) -> None:
        try:
            await on_output(channel, text)
        except Exception as error:
            raise ToolError(
                "streaming_error", f"output could not be passed on: {error}", retryable=True
            ) from error

    return pass_on


def _parsed(spec: ToolSpec, arguments_json: str) -> Mapping[str, object]:
    if len(arguments_json.encode("utf-8", errors="replace")) > ARGUMENTS_BYTES_MAX:
        raise ToolError("parse_error", f"arguments of {spec.name}: longer than {ARGUMENTS_BYTES_MAX} bytes")
    try:
        arguments = json.loads(arguments_json or "{}", parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ToolError("parse_error", f"arguments of {spec.name} are no JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise ToolError("parse_error", f"arguments of {spec.name} must be a JSON object")
    return arguments


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _check_result(entry: _Registered, result: ToolResult) -> None:
    """Check what a tool gave; what it has cost is charged even when nobody may see the result."""
    name = entry.spec.name
    try:
        size_bytes = len(json.dumps(result.result, ensure_ascii=False, allow_nan=False).encode("utf-8"))
    except (ValueError, TypeError, RecursionError) as error:
        _refuse_result(result, f"result of {name} is no JSON: {error}", error)
    if size_bytes > RESULT_BYTES_MAX:
        _refuse_result(
            result, f"result of {name} has {size_bytes} bytes; at most {RESULT_BYTES_MAX} are allowed"
        )
    faults = faults_of(entry.result, result.result)
    if faults:
        _refuse_result(result, f"result of {name} does not fit its schema: {_told(faults)}")


def _refuse_result(result: ToolResult, message: str, cause: Exception | None = None) -> NoReturn:
    raise ToolError(
        "result_invalid", message, used_tokens=result.used_tokens, cost_nanodollars=result.cost_nanodollars
    ) from cause


def _told(faults: Iterable[ValidationError]) -> str:
    """Say where and what is wrong, the outermost first."""
    ordered = sorted(
        faults, key=lambda fault: (len(fault.absolute_path), [str(p) for p in fault.absolute_path])
    )
    told = [f"at {fault.json_path}: {_short(fault.message)}" for fault in ordered[:FAULTS_TOLD_MAX]]
    if len(ordered) > FAULTS_TOLD_MAX:
        told.append(f"and {len(ordered) - FAULTS_TOLD_MAX} more")
    return "; ".join(told)


def _short(text: str) -> str:
    # The message quotes the value: its end, which says what is wrong with it, must stay.
    half = FAULT_CHARACTERS_MAX // 2
    return text if len(text) <= FAULT_CHARACTERS_MAX else f"{text[:half]} … {text[-half:]}"


def _validator(spec: ToolSpec, what: str, text: str, *, of_object: bool) -> Draft202012Validator:
    try:
        return usable_validator(text, of_object=of_object)
    except SchemaUnusable as error:
        raise ValueError(f"the {what} of the tool {spec.name} cannot be used: {error}") from error
