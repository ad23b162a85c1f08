"""`analyze-ui`: how effective a web user interface is, with evidence."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from connectors.ui_analyzer.command import FORMATS, AnalyzeUiArguments, run
from streams.cli.command import plain_command
from streams.cli.context import environment
from streams.cli.output import HarmlessStream


@plain_command
def analyze_ui(
    path: Annotated[Path, typer.Argument(help="Folder or file of the front-end.")],
    url: Annotated[
        str | None, typer.Option(help="A running page of it, to open in an installed Chromium as well.")
    ] = None,
    report_format: Annotated[
        str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.", metavar="FORMAT")
    ] = "text",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File for the report.")] = None,
    fail_under: Annotated[
        float | None, typer.Option(help="Exit code 1 when the overall score, 0 to 100, is lower.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="File of known findings; only new ones end with exit code 1.")
    ] = None,
    update_baseline: Annotated[bool, typer.Option(help="Write the findings to the baseline.")] = False,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave out files that match this pattern; may be repeated.")
    ] = None,
    include_tests: Annotated[bool, typer.Option(help="Assess tests and stories too.")] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes, 1 to 64; by default decided by the number of files.")
    ] = None,
    agents: Annotated[
        Path | None, typer.Option(help="File with names of agents that the interface must reach.")
    ] = None,
    chromium: Annotated[str, typer.Option(help="The browser to use.")] = "",
) -> None:
    """Measure a web user interface by ten metrics, by rules on syntax trees: React, Vue, Svelte, plain HTML.

    Exit codes: 0 done and within the limits; 1 below --fail-under, or findings that the baseline lacks;
    2 wrong use, or files that cannot be read or written; 3 nothing to assess.
    """
    variables = environment()
    arguments = AnalyzeUiArguments(
        path=path,
        url=url,
        format=report_format,
        output=output,
        fail_under=fail_under,
        baseline=baseline,
        update_baseline=update_baseline,
        exclude=tuple(exclude or ()),
        include_tests=include_tests,
        workers=workers,
        agents=agents,
        chromium_path=chromium or variables.get("CHROME_PATH", ""),
        search_path=variables.get("PATH", ""),
    )
    report = HarmlessStream(sys.stdout, is_json=report_format in ("json", "sarif"))
    raise typer.Exit(run(arguments, report, HarmlessStream(sys.stderr)))
