"""What commands print is text and nothing else, whoever wrote it."""

import ast
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.tree import Tree

from connectors.text.harmless import harmless, one_line
from streams.cli import output
from streams.cli.output import HarmlessStream, Terminal, styled

CLI = Path(__file__).parents[2] / "streams" / "cli"
HOSTILE = [
    "[bold]docs/[slug].md[/]",
    "[/]",
    "ends with a backslash\\",
    "\\[bold]\\",
    ":smile: :warning:",
    "\x1b[2J\x1b]0;title\x07",
    "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31mred",
    "a\rb\x08c\x00d\x0be\x0cf",
    "left\u202eright\u2066",
    "zero\u200bwidth\ufeff",
    "tag\U000e0041",
    "half \udce9 and \ud800",
    "line\u2028line\x85",
]
_CONTROLS = [chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))]


def acts(text: str) -> list[str]:
    """Name the characters of `text` that act on a terminal."""
    return [character for character in text if character in _CONTROLS or "\u202a" <= character <= "\u202e"]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_shown_as_it_is_and_never_as_markup(value: str) -> None:
    for template in ("[bold]{value}[/]", "{value}[red]x[/]", "[dim]a[/]{value}", "{value}{value}"):
        shown = styled(template, value=value).plain

        wanted = template.replace("[bold]", "").replace("[red]", "").replace("[dim]", "").replace("[/]", "")
        assert shown == wanted.replace("{value}", one_line(value))
        assert not acts(shown)


@given(st.text())
def test_any_text_goes_through_a_template_unchanged_but_for_what_acts(value: str) -> None:
    shown = styled("[bold]{text}[/] and {value}", text=value, value=value)

    assert shown.plain == f"{harmless(value)} and {one_line(value)}"
    assert not acts(shown.plain)
    shown.plain.encode()


def test_the_style_of_a_template_holds_for_its_values() -> None:
    shown = styled("[bold]{name}[/]: {reason}", name="[red]x", reason="y")

    assert [(span.start, span.end, str(span.style)) for span in shown.spans] == [(0, 6, "bold")]


def test_line_ends_stay_in_texts_and_are_shown_in_names() -> None:
    assert styled("{text}|{name}", text="a\n\tb", name="a\n\tb").plain == "a\n\tb|a\\n\\tb"


@pytest.mark.parametrize("value", HOSTILE)
def test_nothing_acts_in_tables_trees_and_panels_or_while_they_are_live(
    capsys: pytest.CaptureFixture[str], value: str
) -> None:
    table = Table("head", value, box=None)
    table.add_row("cell", value)
    tree = Tree(value)
    tree.add(value)
    console = Terminal()

    for renderable in (value, table, tree, Panel(value)):
        console.print(renderable)
    with Live(table, console=console, auto_refresh=False):
        pass

    text = capsys.readouterr().out
    assert not acts(text.replace("\n", ""))
    assert "docs/" not in value or "[bold]docs/[slug].md[/]" in text


@pytest.mark.parametrize("value", HOSTILE)
def test_json_is_the_same_value_and_acts_on_nothing(capsys: pytest.CaptureFixture[str], value: str) -> None:
    output.emit_json({value: [value]})

    line = capsys.readouterr().out
    assert json.loads(line) == {value: [value]}
    assert not acts(line.rstrip("\n"))
    line.encode()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_json_and_text_come_through_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    value = "größer … 日本 😀 \udce9"

    output.accept_any_text()
    output.emit_json(value)
    output.say("{text}", text=value)
    stream.flush()

    first, second = raw.getvalue().decode(encoding).splitlines()
    assert json.loads(first) == value
    assert second.encode("ascii", errors="backslashreplace").startswith((b"gr\\xf6\\xdfer", b"gr\\xf6"))


def test_reports_of_others_are_made_harmless_and_stay_json() -> None:
    printed = io.StringIO()
    HarmlessStream(printed).write("progress\r\x1b[2Jname\n")
    HarmlessStream(printed, is_json=True).write(json.dumps("\x9b\u202e", ensure_ascii=False))

    text, report = printed.getvalue().split("\n")
    assert text == "progress\r\\x1b[2Jname"
    assert json.loads(report) == "\x9b\u202e"
    assert not acts(report)


def calls_with_templates(path: Path) -> Iterator[ast.Call]:
    """Yield the calls of a module that take a template."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == "output" and node.func.attr in TEMPLATED:
                yield node


TEMPLATED = ("say", "note", "styled")


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.stem)
def test_every_template_is_a_constant_so_that_nothing_from_outside_is_markup(path: Path) -> None:
    for call in calls_with_templates(path):
        choices = [call.args[0]]
        if isinstance(choices[0], ast.IfExp):
            choices = [choices[0].body, choices[0].orelse]
        assert all(isinstance(choice, ast.Constant) for choice in choices), f"{path.name}:{call.lineno}"
    if path.name != "output.py":
        source = path.read_text(encoding="utf-8")
        assert "rich.markup" not in source, f"{path.name} quotes by hand"
        assert "console.print" not in source, f"{path.name} prints past the templates"
        assert "errors.print" not in source, f"{path.name} prints past the templates"
        assert "sys.stdout" not in source or path.name == "analyze_ui.py"
