"""The tool `analyze_ui` behind the registry's port: front-ends below one folder, files alone."""

import json
from pathlib import Path
from typing import Final

from connectors.ui_analyzer import tool as analyzer
from schemas.configuration import ToolSpec
from schemas.ports.tool import Arguments, ToolContext, ToolError, ToolResult

TIMEOUT_MS: Final = 60_000
# A page that a model names is not opened: whoever wants that runs `cartrita analyze-ui --url`.
_WITHOUT_URL: Final = {
    **analyzer.PARAMETERS,
    "properties": {
        name: schema
        for name, schema in analyzer.PARAMETERS["properties"].items()  # type: ignore[attr-defined]  # a dict
        if name != "url"
    },
}


class AnalyzeUi:
    """Measures user interfaces in one folder of this machine."""

    def __init__(self, root: Path) -> None:
        """Offer what is below `root`, and nothing else."""
        self._root = root
        self._spec = ToolSpec(
            name=analyzer.NAME,
            version="2.0.0",
            description=analyzer.DESCRIPTION,
            category=analyzer.CATEGORY,
            safety_level=analyzer.SAFETY_LEVEL,
            complexity_score=6,
            resource_intensity="heavy",
            parameters_json=json.dumps(_WITHOUT_URL),
            result_schema_json=json.dumps(analyzer.RESULT),
            idempotent=True,
            tokens_max=0,
            tokens_min=0,
            nanodollars_per_token=0,
            timeout_ms=TIMEOUT_MS,
            result_tokens_usual=1_500,
        )

    @property
    def spec(self) -> ToolSpec:
        """Describe the tool."""
        return self._spec

    async def run(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """Analyse a folder below the root.

        Raises:
            ToolError: the path is not below the root, or is not there.
        """
        try:
            return ToolResult(result=await analyzer.analyze_ui(arguments, root=self._root))
        except analyzer.RequestInvalid as error:
            raise ToolError("execution_error", str(error)) from error
