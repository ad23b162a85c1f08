"""The browser part: what it finds, what it keeps a hostile page from doing, and what happens without a browser."""

import base64
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest

from connectors.ui_analyzer.analysis import analyze
from connectors.ui_analyzer.live.browser import BrowserMissing, find_chromium
from connectors.ui_analyzer.live.gate import Gate
from connectors.ui_analyzer.live.session import LiveOutcome, inspect_page
from connectors.ui_analyzer.model import Analysis
from connectors.ui_analyzer.options import LiveOptions, Options, Progress
from connectors.ui_analyzer.reports.json_report import json_schema, render_json
from tests.ui_analyzer.pages import BAD, GOOD, HOSTILE, LEAK, LIVE, SPIN, TAMPERED, TRAP, served


def chromium_missing() -> bool:
    try:
        find_chromium(LiveOptions(url="http://127.0.0.1"))
    except BrowserMissing:
        return True
    return False


needs_browser = pytest.mark.skipif(
    chromium_missing(),
    reason="NO BROWSER: install chromium, chromium-browser or google-chrome to run these tests",
)
browser = [pytest.mark.browser, needs_browser]


def visit(
    url: str,
    *,
    time_ms_max: int = 120_000,
    page_time_ms_max: int = 15_000,
    memory_mb_max: int = 2_048,
    reconnect_ms_max: int = 15_000,
    heap_ms: int = 0,
) -> LiveOutcome:
    options = LiveOptions(
        url=url,
        time_ms_max=time_ms_max,
        page_time_ms_max=page_time_ms_max,
        memory_mb_max=memory_mb_max,
        reconnect_ms_max=reconnect_ms_max,
        heap_ms=heap_ms,
    )
    return inspect_page(options, None)


@dataclass(frozen=True, slots=True)
class Good:
    """One visit to the good page."""

    analysis: Analysis
    heard: list[Progress]
    temporary: Path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    folder, temporary = tmp_path_factory.mktemp("good"), tmp_path_factory.mktemp("temporary")
    (folder / "index.html").write_text(GOOD)
    heard: list[Progress] = []
    with pytest.MonkeyPatch.context() as patch, served({"/good": GOOD}) as site:
        patch.setattr("tempfile.tempdir", str(temporary))
        live = LiveOptions(url=f"{site.url}/good", heap_ms=1_000)
        return Good(analyze(folder, Options(workers=1, live=live, progress=heard.append)), heard, temporary)


class TestInTheBrowser:
    pytestmark = browser

    def test_a_good_page_passes_everything_in_every_theme_and_viewport(self, good: Good) -> None:
        live = good.analysis.live

        assert live.performed
        assert live.note == ""
        assert live.browser.startswith("Chromium")
        assert [f"{finding.rule_id} {finding.message}" for finding in good.analysis.findings] == []
        names = {check.name for check in live.checks}
        assert {
            "axe",
            "reflow",
            "lcp",
            "cls",
            "frame rate",
            "keyboard walk",
            "frames",
            "console-errors",
            "forced colours walk",
            "heap-growth",
            "long-tasks",
        } <= names
        contexts = {check.context for check in live.checks if check.name == "axe"}
        assert contexts == {
            f"{t} {v}" for t in ("light", "dark") for v in ("1280x800", "768x1024", "320x640")
        }

    def test_a_tested_page_is_not_capped_as_static_only(self, good: Good) -> None:
        assert good.analysis.overall_effectiveness is not None
        assert good.analysis.overall_effectiveness > 89
        assert good.analysis.caps == ()

    def test_progress_is_told_up_to_the_end(self, good: Good) -> None:
        assert good.heard[-1].stage == "page"
        assert good.heard[-1].done == good.heard[-1].total

    def test_neither_profile_nor_process_is_left_behind(self, good: Good) -> None:
        assert list(good.temporary.glob("cartrita-ui-*")) == []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                assert os.fsencode(good.temporary) not in command

    def test_the_json_of_a_tested_page_fits_the_schema(self, good: Good) -> None:
        jsonschema.Draft202012Validator(json_schema()).validate(json.loads(render_json(good.analysis)))

    def test_a_bad_page_fails_by_rule_with_selector_and_html(self) -> None:
        with served({"/bad": BAD}) as site:
            outcome = visit(f"{site.url}/bad")

        failing = {str(finding.rule_id): finding for finding in outcome.findings}
        assert {"axe:image-alt", "axe:color-contrast", "live:reflow", "live:console-errors"} <= set(failing)
        assert "live:focus-visible" in failing
        assert failing["axe:image-alt"].severity == "critical"
        assert failing["axe:image-alt"].snippet.startswith("<img")
        assert "faint" in failing["axe:color-contrast"].snippet
        assert failing["live:reflow"].selector == "div.wide"
        for rule in ("axe:image-alt", "axe:color-contrast", "live:reflow", "live:focus-visible"):
            picture = failing[rule].screenshot.removeprefix("data:image/jpeg;base64,")
            assert base64.b64decode(picture).startswith(b"\xff\xd8"), rule

    def test_growing_memory_long_tasks_and_a_focus_that_forced_colours_hide_are_found(self) -> None:
        with served({"/leak": LEAK}) as site:
            outcome = visit(f"{site.url}/leak", heap_ms=2_000)

        failing = {str(finding.rule_id): finding for finding in outcome.findings}
        assert {"live:heap-growth", "live:long-tasks", "live:forced-colors"} <= set(failing)
        assert "live:focus-visible" not in failing
        assert "Shadow" in failing["live:forced-colors"].snippet
        assert [f.rule_id for f in outcome.findings].count(failing["live:forced-colors"].rule_id) == 1

    def test_a_keyboard_trap_is_found(self) -> None:
        page = TRAP.replace('<link rel="icon" href="data:,">', "")
        with served({"/trap": page}) as site:
            outcome = visit(f"{site.url}/trap")

        failing = {finding.rule_id for finding in outcome.findings}
        assert "live:keyboard-trap" in failing
        assert "/favicon.ico" in site.asked
        assert "live:console-errors" not in failing

    @pytest.mark.parametrize(("again", "passed"), [("true", True), ("false", False)])
    def test_a_cut_websocket_must_connect_again(self, again: str, passed: bool) -> None:
        with served({"/live": LIVE.replace("RECONNECT", again)}) as site:
            outcome = visit(f"{site.url}/live", reconnect_ms_max=3_000)

        (check,) = [check for check in outcome.summary.checks if check.name == "websocket-reconnect"]
        assert check.passed is passed, check.value

    def test_a_hostile_page_reaches_nothing_but_its_own_origin(self) -> None:
        with served({}) as other, served({}) as site:
            site.pages["/"] = HOSTILE.replace("OTHER", str(other.server_address[1]))
            site.redirect = f"{other.url}/redirected"
            outcome = visit(f"{site.url}/", page_time_ms_max=10_000)

        assert other.asked == []
        assert outcome.summary.performed, outcome.summary.note
        assert outcome.summary.note == ""
        assert {check.name for check in outcome.summary.checks if check.passed is None} >= {"frames"}
        assert any("/stolen" in target for target in outcome.summary.blocked_requests)
        assert any("/redirected" in target for target in outcome.summary.blocked_requests)

    def test_a_page_that_spoils_the_measurement_does_not_count_as_tested(self) -> None:
        with served({"/": TAMPERED}) as site:
            outcome = visit(f"{site.url}/")

        assert not outcome.summary.performed
        assert "could not be measured" in outcome.summary.note

    def test_a_page_that_never_answers_ends_in_time_and_is_labelled(self) -> None:
        with served({"/": SPIN}) as site:
            outcome = visit(f"{site.url}/", time_ms_max=8_000, page_time_ms_max=4_000)

        assert not outcome.summary.performed
        assert "Static analysis only" in outcome.summary.note

    def test_a_page_that_takes_too_much_memory_is_ended(self) -> None:
        with served({"/": GOOD}) as site:
            outcome = visit(f"{site.url}/", memory_mb_max=10)

        assert not outcome.summary.performed or "memory" in outcome.summary.note


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/", "javascript:alert(1)", "http://", "about:blank"]
)
def test_only_pages_by_http_are_opened(url: str) -> None:
    outcome = visit(url)

    assert not outcome.summary.performed
    assert "only http:// and https://" in outcome.summary.note


def test_without_a_browser_the_result_is_labelled_static_only(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(GOOD)

    analysis = analyze(
        tmp_path, Options(workers=1, live=LiveOptions(url="http://127.0.0.1:1/", search_path=str(tmp_path)))
    )

    assert not analysis.live.performed
    assert "no Chromium found" in analysis.live.note
    assert analysis.live.note in analysis.not_assessed
    assert analysis.overall_effectiveness == 89.0


def test_the_given_browser_comes_first_and_must_be_a_program(tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    assert find_chromium(LiveOptions(url="http://x", chromium_path=str(program))) == str(program)
    assert find_chromium(LiveOptions(url="http://x", search_path=str(tmp_path))) == str(program)
    with pytest.raises(BrowserMissing):
        find_chromium(LiveOptions(url="http://x", chromium_path=str(tmp_path)))


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET http://127.0.0.1:9/x HTTP/1.1",
        b"GET http://localhost:PORT/x HTTP/1.1",
        b"CONNECT 169.254.169.254:80 HTTP/1.1",
        b"CONNECT [::1]:PORT HTTP/1.1",
        b"GET /x HTTP/1.1",
        b"GET ftp://127.0.0.1:PORT/x HTTP/1.1",
        b"CONNECT 127.0.0.1:notaport HTTP/1.1",
    ],
)
def test_the_gate_refuses_every_other_origin(request_line: bytes) -> None:
    with served({"/good": GOOD}) as site:
        gate = Gate(f"{site.url}/good", requests_max=10)
        try:
            line = request_line.replace(b"PORT", str(site.server_address[1]).encode())
            with socket.create_connection(("127.0.0.1", gate.port), timeout=5) as client:
                client.sendall(line + b"\r\nHost: x\r\n\r\n")
                client.settimeout(5)
                answer = client.recv(100)
        finally:
            gate.close()

    assert answer.startswith(b"HTTP/1.1 403") or (answer == b"" and site.asked == [])
    assert site.asked == []


def test_the_gate_forwards_its_own_origin_until_the_requests_are_used_up() -> None:
    with served({"/good": GOOD}) as site:
        gate = Gate(f"{site.url}/good", requests_max=2)
        try:
            answers = [_through(gate, f"{site.url}/good") for _ in range(3)]
        finally:
            gate.close()

    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200", b"HTTP/1.1 200", b"HTTP/1.1 403"]


def _through(gate: Gate, url: str) -> bytes:
    with socket.create_connection(("127.0.0.1", gate.port), timeout=5) as client:
        client.settimeout(5)
        client.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b""
        while chunk := client.recv(65_536):
            answer += chunk
        return answer
