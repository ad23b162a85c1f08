"""The table of rules for the documentation, from the rules themselves."""

from connectors.ui_analyzer.catalogue import RULES
from connectors.ui_analyzer.live.catalogue import LIVE_RULES
from connectors.ui_analyzer.model import CATEGORY_TITLES, Category, RuleInfo


def render_rule_table() -> str:
    """One Markdown table per metric, static rules first; ends with a line break."""
    lines: list[str] = []
    for category in Category:
        lines.extend(
            [
                f"### {CATEGORY_TITLES[category]}",
                "",
                "| rule | holds when | severity | confidence | reference |",
            ]
        )
        lines.append("|---|---|---|---|---|")
        lines.extend(_row(info) for info in (*RULES, *LIVE_RULES.values()) if info.category is category)
        lines.append("")
    return "\n".join(lines)


def _row(info: RuleInfo) -> str:
    return (
        f"| `{info.id}` | {info.title} | {info.severity.value} | {info.confidence.value} "
        f"| [{info.reference}]({info.url}) |"
    )
