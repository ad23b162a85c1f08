"""What the console's files may hold, how large they are, and what was taken from others."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from streams.gateway.console_files import PAGE
from tests.console.sources import FOLDER, SCRIPTS, closure, imports_of, zipped_bytes

LINES_MAX = 400
FIRST_PAINT_BYTES_MAX = 30_000
ALL_BYTES_MAX = 100_000
FORBIDDEN = re.compile(
    r"\b(innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|createContextualFragment|DOMParser"
    r"|document\.write|eval\(|new Function|setHTMLUnsafe|srcdoc|javascript:)"
)
OWN = [*SCRIPTS, *sorted(FOLDER.glob("*.*")), *sorted((FOLDER / "themes").glob("*.css"))]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_nothing_makes_markup_or_code_of_text(path: Path) -> None:
    assert FORBIDDEN.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text", ["x.innerHTML = y", "eval('1')", "el.insertAdjacentHTML(a, b)", "new Function('x')"]
)
def test_what_would_make_markup_or_code_is_found(text: str) -> None:
    assert FORBIDDEN.search(text)


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_files_are_small_enough_to_read_at_once_and_load_nothing_foreign(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert text.count("\n") <= LINES_MAX
    addresses = [one for one in re.findall(r"https?://[^\s\"'`<>)]+", text) if "www.w3.org/" not in one]
    assert addresses == []


def test_the_page_has_neither_scripts_nor_styles_of_its_own() -> None:
    page = (FOLDER / PAGE).read_text(encoding="utf-8")

    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page) == []
    assert re.findall(r"\sstyle=|<style|\son[a-z]+=", page) == []


def test_every_import_leads_to_a_file() -> None:
    for path in (*SCRIPTS, *(FOLDER / "vendor").glob("*.js")):
        for imported in imports_of(path):
            assert imported.is_file(), f"{path.name} imports {imported}"
        for name in re.findall(r'import\("([^"]+)"\)', path.read_text(encoding="utf-8")):
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"


def test_what_is_needed_first_is_asked_for_at_once() -> None:
    page = (FOLDER / PAGE).read_text(encoding="utf-8")
    asked = {FOLDER / name for name in re.findall(r'modulepreload" href="/console/([^"]+)"', page)}

    assert asked | {FOLDER / "app" / "main.js"} == closure("app/main.js")


def test_what_a_browser_loads_is_small() -> None:
    first = closure("app/main.js", "app/pages/sessions.js") | {FOLDER / "app" / "theme-first.js"}
    everything = set(FOLDER.rglob("*.js"))

    assert sum(map(zipped_bytes, first)) <= FIRST_PAINT_BYTES_MAX
    assert sum(map(zipped_bytes, everything)) <= ALL_BYTES_MAX


def test_what_was_taken_from_others_is_what_the_record_says() -> None:
    vendor = FOLDER / "vendor"
    record = json.loads((vendor / "manifest.json").read_text(encoding="utf-8"))

    assert {one["file"] for one in record} == {path.name for path in vendor.glob("*.js")}
    for one in record:
        assert hashlib.sha256((vendor / one["file"]).read_bytes()).hexdigest() == one["sha256"]
        assert one["licence"] in ("MIT", "Apache-2.0")
        assert len((vendor / one["licence_file"]).read_text(encoding="utf-8")) > 500
