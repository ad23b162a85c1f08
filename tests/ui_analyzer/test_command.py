"""The command: exit codes, formats, baselines, and the same as a module and as a tool."""

import asyncio
import io
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from connectors.ui_analyzer import tool
from connectors.ui_analyzer.analysis import analyze
from connectors.ui_analyzer.command import AnalyzeUiArguments, run
from connectors.ui_analyzer.options import Options, Progress

PAGE = '<!doctype html><html lang="en"><head><title>A</title></head><body><main>{}</main></body></html>\n'
ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "index.html").write_text(PAGE.format('<img src="a.png">'))
    return folder


def command(project: Path, **options: object) -> tuple[int, str, str]:
    out, errors = io.StringIO(), io.StringIO()
    code = run(AnalyzeUiArguments(path=project, **options), out, errors)  # type: ignore[arg-type]  # any option
    return code, out.getvalue(), errors.getvalue()


def test_without_limits_findings_do_not_fail_the_command(project: Path) -> None:
    code, out, errors = command(project)

    assert code == 0
    assert "image-alt" in out
    assert errors == ""


@pytest.mark.parametrize(("limit", "code"), [(0, 0), (69, 0), (69.1, 1), (100, 1)])
def test_fail_under_compares_with_the_overall_score(project: Path, limit: float, code: int) -> None:
    (project / "index.html").write_text(
        PAGE.format('<img src="a.png">').replace(
            "</head>", '<meta name="viewport" content="width=device-width"></head>'
        )
        + "<p>x</p>" * 3
    )
    score = analyze(project, Options(workers=1)).overall_effectiveness
    assert score is not None

    adjusted = limit if limit in (0, 100) else score + (limit - 69)

    assert command(project, fail_under=adjusted)[0] == code


@pytest.mark.parametrize(
    "options",
    [
        {"format": "pdf"},
        {"fail_under": 101.0},
        {"fail_under": -1.0},
        {"update_baseline": True},
        {"workers": 0},
        {"baseline": Path("/nonexistent/baseline.json")},
        {"output": Path("/nonexistent/report.html")},
    ],
)
def test_wrong_arguments_end_with_2_and_say_why(project: Path, options: dict[str, object]) -> None:
    code, _, errors = command(project, **options)

    assert code == 2
    assert errors.startswith("analyze-ui: ")


def test_a_path_that_is_not_there_ends_with_2_and_a_folder_without_interface_with_3(tmp_path: Path) -> None:
    assert command(tmp_path / "nowhere")[0] == 2
    assert command(tmp_path)[0] == 3


def test_a_baseline_fails_on_new_findings_only(project: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    assert command(project, baseline=baseline, update_baseline=True)[0] == 0
    assert command(project, baseline=baseline)[0] == 0

    moved = "\n\n\n" + PAGE.format('<img src="a.png">')
    (project / "index.html").write_text(moved)
    assert command(project, baseline=baseline)[0] == 0, "a finding that only moved is known"

    (project / "other.html").write_text(PAGE.format('<iframe src="b"></iframe>'))
    code, out, errors = command(project, baseline=baseline)
    assert code == 1
    assert "not in the baseline" in errors
    assert "frame-title" in out
    assert "image-alt]" not in out, "known findings are not listed"

    assert command(project, baseline=baseline, update_baseline=True)[0] == 0
    assert command(project, baseline=baseline)[0] == 0


def test_the_same_mistake_made_once_more_is_new(project: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    command(project, baseline=baseline, update_baseline=True)

    (project / "index.html").write_text(PAGE.format('<img src="a.png">\n<img src="a.png">'))

    assert command(project, baseline=baseline)[0] == 1


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": "cartrita-ui-baseline", "version": 99}', "[" * 100_000]
)
def test_a_file_that_is_no_baseline_is_refused(project: Path, tmp_path: Path, content: str) -> None:
    baseline = tmp_path / "baseline.json"
    baseline.write_text(content)

    assert command(project, baseline=baseline)[0] == 2


@pytest.mark.parametrize("form", ["text", "json", "sarif", "html"])
def test_a_report_goes_to_the_output_file(project: Path, tmp_path: Path, form: str) -> None:
    output = tmp_path / f"report.{form}"

    code, out, _ = command(project, format=form, output=output)

    assert (code, out) == (0, "")
    assert "image-alt" in output.read_text(encoding="utf-8")


def test_excluded_paths_are_left_out(project: Path) -> None:
    assert command(project, exclude=("*.html",))[0] == 3


def test_progress_is_told_up_to_the_end(project: Path) -> None:
    heard: list[Progress] = []

    analyze(project, Options(workers=1, progress=heard.append))

    assert heard[-1].done == heard[-1].total == 1


def test_it_runs_as_a_module(project: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "connectors.ui_analyzer",
            str(project),
            "--format",
            "json",
            "--fail-under",
            "100",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["schema_version"] == "1.1"


def test_the_tool_answers_as_its_schemas_say(project: Path) -> None:
    arguments = {"path": str(project), "findings_max": 1}
    jsonschema.Draft202012Validator.check_schema(tool.PARAMETERS)
    jsonschema.validate(arguments, tool.PARAMETERS)

    result = asyncio.run(tool.analyze_ui(arguments))

    jsonschema.Draft202012Validator(tool.RESULT).validate(json.loads(json.dumps(result)))
    findings = result["findings"]
    assert isinstance(findings, list)
    assert len(findings) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"path": 1},
        {"path": "a\0b"},
        {"path": "/nonexistent/x"},
        {"path": ".", "url": "file:///etc/passwd"},
        {"path": ".", "findings_max": 1_000},
        {"path": ".", "exclude": "x"},
        {"path": ".", "other": 1},
    ],
)
def test_the_tool_refuses_wrong_arguments(arguments: dict[str, object]) -> None:
    with pytest.raises(tool.RequestInvalid):
        asyncio.run(tool.analyze_ui(arguments))


@pytest.mark.parametrize("path", ["..", "../..", "/etc", "link"])
def test_the_tool_stays_inside_its_root(project: Path, tmp_path: Path, path: str) -> None:
    (project / "link").symlink_to(tmp_path)

    with pytest.raises(tool.RequestInvalid):
        asyncio.run(tool.analyze_ui({"path": path}, root=project))
