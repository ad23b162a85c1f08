"""Broken, huge, binary and hostile files are reported and do no harm."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.ui_analyzer.analysis import TargetMissing, analyze
from connectors.ui_analyzer.crew import inspect_all
from connectors.ui_analyzer.discovery import Found
from connectors.ui_analyzer.inspection import Limits, inspect_file
from connectors.ui_analyzer.model import FileStatus, Status
from connectors.ui_analyzer.options import Options
from tests.ui_analyzer.conftest import AnalyzeFiles

LIMITS = Limits(file_bytes_max=1_000_000, file_time_ms_max=5_000)
GOOD = '<!doctype html><html lang="en"><head><title>A</title></head><body><img src="a.png"></body></html>'


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("big.ts", b"const a = 1;\n" * 100_000, FileStatus.TOO_LARGE),
        ("binary.js", b"\x7fELF\x00\x01\x02" * 100, FileStatus.BINARY),
        ("latin.css", ".a::after { content: 'é'; }".encode("latin-1"), FileStatus.NOT_UTF8),
        ("braces.ts", b"{\n" * 50_000, FileStatus.TOO_DEEP),
        ("calls.js", b"f(\n" * 50_000, FileStatus.TOO_DEEP),
        ("divs.html", b"<div>\n" * 50_000, FileStatus.TOO_DEEP),
        (
            "divs.vue",
            b"<template>" + b"<div>\n" * 3_000 + b"</div>\n" * 3_000 + b"</template>",
            FileStatus.TOO_DEEP,
        ),
        ("nested.css", b"a{\n" * 20_000, FileStatus.TOO_DEEP),
        ("parens.css", b".a{width:" + b"calc(\n" * 20_000, FileStatus.TOO_DEEP),
        ("noise.tsx", b"%$ ]]] @@ ~~ ### ??? ^^ &&& <<< >>>\n" * 200, FileStatus.SYNTAX_ERRORS),
    ],
)
def test_a_bad_file_is_reported_and_its_neighbour_is_assessed(
    name: str, content: bytes, status: FileStatus, analyze_files: AnalyzeFiles
) -> None:
    analysis = analyze_files({name: content, "good.html": GOOD})

    assert [(problem.path, problem.status) for problem in analysis.problems] == [(name, status)]
    assert {finding.path for finding in analysis.findings} == {"good.html"}
    assert analysis.totals.files_assessed == 1
    assert any(status.value.replace("_", " ") in sentence for sentence in analysis.not_assessed)


@pytest.mark.parametrize(
    "content",
    [
        b"<script>" * 5_000,
        b"<style>" * 5_000,
        b"<!--" * 5_000,
        b"{{" * 5_000,
        b"{#if " * 5_000,
        b"<a " + b'x="' * 5_000,
        b"<a b='" * 3_000,
        b"{" + b"`${" * 300,
        b"<" * 20_000,
        b"&" * 20_000,
        b"'" * 20_000,
        b"<template><p " + b":a='" * 4_000,
        b"<script context=" + b"'" * 9_999 + b">",
        b"\n" * 100_000,
    ],
)
@pytest.mark.parametrize("suffix", ["html", "vue", "svelte", "tsx", "js", "css", "scss"])
def test_repetitions_that_invite_quadratic_work_end_within_the_time_for_a_file(
    content: bytes, suffix: str, tmp_path: Path
) -> None:
    target = tmp_path / f"a.{suffix}"
    # Line breaks here and there, so that it is not left out as minified.
    target.write_bytes(b"\n".join(content[start : start + 240] for start in range(0, len(content), 240)))

    report = inspect_file(str(target), target.name, LIMITS)

    # Whether it is assessed or refused does not matter; that it came back in time does.
    assert report.problem is None or report.problem.status is not FileStatus.TOO_SLOW


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    target = tmp_path / "slow.tsx"
    target.write_text("export const a = () => <p>{a}</p>;\n" * 20_000)

    report = inspect_file(str(target), target.name, Limits(file_bytes_max=1_000_000, file_time_ms_max=1))

    assert report.problem is not None
    assert report.problem.status is FileStatus.TOO_SLOW
    assert not report.observed
    assert not report.facts


def test_links_loops_pipes_and_devices_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.html").write_text(GOOD)
    project = tmp_path / "project"
    project.mkdir()
    (project / "good.html").write_text(GOOD)
    (project / "loop").symlink_to(project, target_is_directory=True)
    (project / "away").symlink_to(outside, target_is_directory=True)
    (project / "stolen.html").symlink_to(outside / "secret.html")
    (project / "zero.js").symlink_to("/dev/zero")
    os.mkfifo(project / "pipe.ts")

    analysis = analyze(project, Options(workers=1))

    assert analysis.totals.files_assessed == 1
    assert {finding.path for finding in analysis.findings} == {"good.html"}
    assert [(problem.path, problem.status) for problem in analysis.problems] == [
        ("pipe.ts", FileStatus.UNREADABLE)
    ]


def test_names_that_are_no_text_and_names_like_markup_are_reported_safely(tmp_path: Path) -> None:
    (tmp_path / '<img onerror="x">.html').write_text(GOOD)
    with open(os.fsencode(tmp_path) + b"/b\xff\x1b[31m.html", "w", encoding="utf-8") as stream:
        stream.write(GOOD)

    analysis = analyze(tmp_path, Options(workers=1))

    assert analysis.totals.files_assessed == 2
    assert all(finding.path.encode("utf-8") for finding in analysis.findings)


def test_more_files_than_the_limit_are_reported(analyze_files: AnalyzeFiles, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.html").write_text(GOOD)

    analysis = analyze(tmp_path, Options(workers=1, files_max=3))

    assert analysis.totals.files_assessed == 3
    assert [problem.status for problem in analysis.problems] == [FileStatus.OVER_LIMIT]


def test_a_folder_without_an_interface_has_no_score(analyze_files: AnalyzeFiles) -> None:
    analysis = analyze_files({"readme.md": "hello", "main.py": "print(1)"})

    assert analysis.overall_effectiveness is None
    assert analysis.effectiveness_gap is None
    assert analysis.status is Status.NOT_ASSESSED
    assert all(metric.score is None for metric in analysis.metrics)


def test_a_missing_path_is_the_fault_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(TargetMissing):
        analyze(tmp_path / "nowhere")


def test_a_worker_that_dies_costs_only_the_file_that_killed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for number in range(60):
        target = tmp_path / f"{number:02}.html"
        target.write_text(GOOD)
        paths.append(Found(str(target), target.name, 0))
    monkeypatch.setattr("connectors.ui_analyzer.crew.inspect_batch", _deadly_batch)
    monkeypatch.setattr("connectors.ui_analyzer.crew.inspect_file", _deadly_file)

    reports = inspect_all(paths, LIMITS, 2, lambda _: None)

    crashed = [
        report.path for report in reports if report.problem and report.problem.status is FileStatus.CRASHED
    ]
    assert crashed == ["07.html"]
    assert sum(1 for report in reports if report.assessed) == 59
    assert [report.path for report in reports] == [found.path for found in paths]


def _deadly_file(absolute: str, path: str, limits: Limits) -> object:
    if path == "07.html":
        os._exit(9)
    return inspect_file(absolute, path, limits)


def _deadly_batch(batch: tuple[tuple[str, str], ...], limits: Limits) -> list[object]:
    return [_deadly_file(absolute, path, limits) for absolute, path in batch]


@given(
    suffix=st.sampled_from(["tsx", "vue", "svelte", "html", "css", "scss", "js", "ts"]),
    parts=st.lists(
        st.sampled_from(
            ["<div", ">", "</div>", "{", "}", "`", '"', "'", "<script>", "</script>", "<style>", "{#each a as b}",
             "{/each}", "{{", "}}", "onClick={", "@click=", "return (", ")", "useState(", "=>", ";", "\n", "é", "\u202e",
             "@media (", "--a: var(--a)", ":root", "import x from", "new WebSocket(", "<!--", "-->", "/*", "\\", "x"]
        ),
        max_size=60,
    ),
)  # fmt: skip
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_arrangement_of_fragments_raises(suffix: str, parts: list[str], tmp_path: Path) -> None:
    target = tmp_path / f"a.{suffix}"
    target.write_text(" ".join(parts), encoding="utf-8")

    report = inspect_file(str(target), target.name, LIMITS)

    assert report.assessed or report.problem is not None
    for seen in report.observed:
        for failure, _ in seen.failures:
            assert 1 <= failure.line <= target.read_text(encoding="utf-8").count("\n") + 1
