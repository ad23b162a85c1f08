"""What every tool must do; a subclass gives the fixtures `tool` and `example`, arguments that fit."""

import asyncio
import json
import re

import pytest
from jsonschema import Draft202012Validator

from connectors.tools.registry import ToolRegistry
from schemas.ports.tool import Tool, ToolContext, ToolError
from tests.connectors.twins import context


class ToolConformance:
    """The suite."""

    @pytest.fixture
    def tool_context(self) -> ToolContext:
        """The context in which the example works; a subclass may give its own."""
        return context()

    def test_the_spec_is_sound(self, tool: Tool) -> None:
        spec = tool.spec

        assert re.fullmatch(r"[a-z][a-z0-9_]{2,63}", spec.name)
        assert re.fullmatch(r"\d+\.\d+\.\d+", spec.version)
        assert 10 <= len(spec.description) <= 1_000
        assert spec.category
        assert spec.safety_level in ("safe", "caution", "restricted")
        assert spec.trust in ("document", "tool")
        assert 1 <= spec.complexity_score <= 10
        assert spec.resource_intensity in ("light", "medium", "heavy")
        assert 0 <= spec.tokens_min <= spec.tokens_max
        assert (spec.nanodollars_per_token > 0) or spec.tokens_max == 0
        assert 0 < spec.timeout_ms <= 600_000
        assert tool.spec == spec

    def test_the_schemas_are_closed_objects_and_each_parameter_is_described(self, tool: Tool) -> None:
        parameters = json.loads(tool.spec.parameters_json)
        result = json.loads(tool.spec.result_schema_json)

        for schema in (parameters, result):
            Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
        assert parameters["additionalProperties"] is False
        assert all(parameter.get("description") for parameter in parameters["properties"].values())
        for name in parameters.get("required", []):
            assert name in parameters["properties"]

    async def test_arguments_that_fit_give_a_result_that_fits_within_the_reservation(
        self, tool: Tool, example: dict[str, object], tool_context: ToolContext
    ) -> None:
        registry = ToolRegistry([tool])  # checks the result against its schema

        result = await registry.invoke(tool.spec.name, json.dumps(example), tool_context, 10_000)

        assert json.loads(json.dumps(result.result)) == result.result
        assert 0 <= result.used_tokens <= tool_context.tokens_max
        assert 0 <= result.cost_nanodollars <= tool_context.nanodollars_max

    async def test_the_same_call_gives_the_same_result_when_it_is_idempotent(
        self, tool: Tool, example: dict[str, object], tool_context: ToolContext
    ) -> None:
        if not tool.spec.idempotent:
            return
        first = await tool.run(example, tool_context)
        second = await tool.run(example, tool_context)

        assert first.result == second.result

    async def test_arguments_that_do_not_fit_are_a_validation_error(
        self, tool: Tool, example: dict[str, object], tool_context: ToolContext
    ) -> None:
        registry = ToolRegistry([tool])
        required = json.loads(tool.spec.parameters_json).get("required", [])
        wrong: list[dict[str, object]] = [{**example, "no_such_parameter": 1}]
        wrong += [{name: value for name, value in example.items() if name != missing} for missing in required]
        wrong += [{**example, name: {"not": "this"}} for name in example]

        for arguments in wrong:
            with pytest.raises(ToolError) as caught:
                await registry.invoke(tool.spec.name, json.dumps(arguments), tool_context, 10_000)
            assert caught.value.kind == "validation_error"

    async def test_a_call_can_be_cancelled(
        self, tool: Tool, example: dict[str, object], tool_context: ToolContext
    ) -> None:
        task = asyncio.ensure_future(
            ToolRegistry([tool]).invoke(tool.spec.name, json.dumps(example), tool_context, 10_000)
        )
        await asyncio.sleep(0)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
