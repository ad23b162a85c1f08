"""The guide says what the code does."""

import re
from pathlib import Path

from connectors.ui_analyzer import command
from connectors.ui_analyzer.reports.rule_table import render_rule_table
from connectors.ui_analyzer.score import SEVERITY_WEIGHTS

GUIDE = (Path(__file__).parents[2] / "docs" / "analyze-ui.md").read_text(encoding="utf-8")


def test_the_table_of_rules_is_current() -> None:
    match = re.search(r"<!-- rules: begin[^\n]*\n\n(.*?)\n\n<!-- rules: end -->", GUIDE, re.DOTALL)

    assert match is not None
    assert match.group(1) == render_rule_table().rstrip()


def test_the_exit_codes_are_documented() -> None:
    codes = {value for name, value in vars(command).items() if name.startswith("EXIT_")}

    assert {int(code) for code in re.findall(r"(?m)^\| (\d) \| ", GUIDE)} == codes


def test_the_weights_are_documented() -> None:
    written = re.search(r"critical (\d+), serious (\d+), moderate\s+(\d+), minor (\d+)", GUIDE)

    assert written is not None
    assert [int(weight) for weight in written.groups()] == list(SEVERITY_WEIGHTS.values())


def test_every_option_is_documented() -> None:
    source = (Path(command.__file__).parent / "__main__.py").read_text(encoding="utf-8")

    for option in re.findall(r'add_argument\("(--[\w-]+)"', source):
        assert option in GUIDE, option
