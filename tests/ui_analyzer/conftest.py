"""What the tests of the UI analyzer share."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from connectors.ui_analyzer.analysis import analyze
from connectors.ui_analyzer.model import Analysis
from connectors.ui_analyzer.options import Options

AnalyzeFiles = Callable[[Mapping[str, str | bytes]], Analysis]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker for tests that take many seconds."""
    config.addinivalue_line("markers", "slow: takes many seconds")


@pytest.fixture
def analyze_files(tmp_path: Path) -> AnalyzeFiles:
    """Write files to a folder and analyse it in this process."""

    def run(sources: Mapping[str, str | bytes]) -> Analysis:
        for name, content in sources.items():
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return analyze(tmp_path, Options(workers=1))

    return run
