"""Measures agreement with eslint-plugin-jsx-a11y and with axe, for the table in docs/analyze-ui.md.

Not a test: it needs Node with `eslint@9 eslint-plugin-jsx-a11y @typescript-eslint/parser typescript` installed in a
folder, and Chromium.

    python -m tests.ui_analyzer.agreement eslint NODE_FOLDER SOURCE_FOLDER [SOURCE_FOLDER …]
    python -m tests.ui_analyzer.agreement seeded NODE_FOLDER
    python -m tests.ui_analyzer.agreement axe
"""

import json
import re
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path

from connectors.ui_analyzer.analysis import analyze
from connectors.ui_analyzer.catalogue import RULES
from connectors.ui_analyzer.discovery import discover
from connectors.ui_analyzer.options import Options
from tests.ui_analyzer.mutations import CORPUS, mutants

_CONFIG = """
import a11y from "eslint-plugin-jsx-a11y"; import parser from "@typescript-eslint/parser";
const names = %s;
export default [{ files: ["**/*.tsx", "**/*.jsx", "**/*.js"], plugins: { "jsx-a11y": a11y },
  languageOptions: { parser, parserOptions: { ecmaFeatures: { jsx: true } } }, linterOptions: { reportUnusedDisableDirectives: "off" },
  rules: Object.fromEntries(names.map((name) => ["jsx-a11y/" + name, ["error",
    ...(name === "no-autofocus" ? [{ ignoreNonDOM: true }] : []),
    ...(name === "label-has-associated-control" ? [{ assert: "either", depth: 5 }] : [])]])) }];
"""


def shared(prefix: str) -> dict[str, list[str]]:
    """Our rules with the rules of another tool that look for the same failure."""
    found = {}
    for info in RULES:
        others = [name.removeprefix(prefix) for name in info.shared if name.startswith(prefix)]
        if others:
            found[str(info.id)] = others
    return found


def eslint(node: Path, sources: list[Path]) -> None:
    """Compare by file and line on real projects."""
    pairs = shared("jsx-a11y:")
    names = sorted({name for others in pairs.values() for name in others})
    (node / "eslint.config.mjs").write_text(_CONFIG % json.dumps(names))
    both, ours_only, theirs_only = Counter[str](), Counter[str](), Counter[str]()
    for source in sources:
        theirs = _eslint_lines(node, source)
        analysis = analyze(source, Options(workers=1))
        found = discover(source, files_max=20_000, exclude=(), include_tests=False)
        assessed = {entry.path for entry in found.files}
        for rule, others in pairs.items():
            ours = {
                (f.path, f.line)
                for f in analysis.findings
                if f.rule_id == rule and f.path.endswith(("tsx", "jsx"))
            }
            other = {place for name in others for place in theirs.get(name, set()) if place[0] in assessed}
            both[rule] += sum(1 for place in ours if _near(place, other))
            ours_only[rule] += sum(1 for place in ours if not _near(place, other))
            theirs_only[rule] += sum(1 for place in other if not _near(place, ours))
            for place in sorted(ours):
                if not _near(place, other):
                    sys.stderr.write(f"ours only   {rule} {place}\n")
            for place in sorted(other):
                if not _near(place, ours):
                    sys.stderr.write(f"theirs only {rule} {place}\n")
    _table(pairs, both, ours_only, theirs_only)


def _near(place: tuple[str, int], others: set[tuple[str, int]]) -> bool:
    """Whether the other tool reports it too: some point at the element, some at the attribute on a line below."""
    return any(path == place[0] and abs(line - place[1]) <= 8 for path, line in others)


def _eslint_lines(node: Path, source: Path) -> dict[str, set[tuple[str, int]]]:
    copy = node / "sources"
    subprocess.run(["rm", "-rf", str(copy)], check=True)
    subprocess.run(["cp", "-r", str(source), str(copy)], check=True)
    done = subprocess.run(
        [str(node / "node_modules/.bin/eslint"), "--no-inline-config", "-f", "json", "--no-error-on-unmatched-pattern",
         "sources/**/*.tsx", "sources/**/*.jsx"],
        cwd=node, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    found: dict[str, set[tuple[str, int]]] = {}
    for entry in json.loads(done.stdout):
        path = Path(entry["filePath"]).relative_to(copy).as_posix()
        for message in entry["messages"]:
            name = str(message["ruleId"]).removeprefix("jsx-a11y/")
            found.setdefault(name, set()).add((path, message["line"]))
    return found


def seeded(node: Path) -> None:
    """Compare on the components of the React application, each with one seeded defect."""
    pairs = shared("jsx-a11y:")
    names = sorted({name for others in pairs.values() for name in others})
    (node / "eslint.config.mjs").write_text(_CONFIG % json.dumps(names))
    folder = node / "seeded"
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    folder.mkdir()
    written = {}
    for number, mutant in enumerate(m for m in mutants() if m.app == "react" and m.path.endswith(".tsx")):
        (folder / f"m{number:03}.tsx").write_text(mutant.source)
        written[f"m{number:03}.tsx"] = str(mutant)
    theirs = _eslint_lines(node, folder)
    ours = {(str(finding.rule_id), finding.path) for finding in analyze(folder, Options(workers=1)).findings}
    both, ours_only, theirs_only = Counter[str](), Counter[str](), Counter[str]()
    for rule, others in pairs.items():
        other = {path for name in others for path, _ in theirs.get(name, set())}
        for path, mutant_name in written.items():
            here, there = (rule, path) in ours, path in other
            both[rule] += here and there
            ours_only[rule] += here and not there
            theirs_only[rule] += there and not here
            if here != there:
                sys.stderr.write(f"{'ours' if here else 'theirs'} only {rule} {mutant_name}\n")
    _table(pairs, both, ours_only, theirs_only)


def axe() -> None:
    """Compare on the pages of the HTML application, each with one seeded defect."""
    from playwright.sync_api import sync_playwright

    pairs = shared("axe:")
    script = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    both, ours_only, theirs_only = Counter[str](), Counter[str](), Counter[str]()
    style = f"<style>{(CORPUS / 'html' / 'site.css').read_text()}</style>"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        for mutant in mutants():
            if mutant.app != "html" or not mutant.path.endswith(".html"):
                continue
            page.set_content(re.sub(r"<link rel=\"stylesheet\"[^>]*>", lambda _: style, mutant.source))
            page.evaluate(script)
            result = page.evaluate("async () => (await axe.run(document)).violations.map((v) => v.id)")
            folder = Path("/tmp/ui-agreement")
            folder.mkdir(exist_ok=True)
            (folder / "page.html").write_text(mutant.source)
            ours = {str(finding.rule_id) for finding in analyze(folder, Options(workers=1)).findings}
            for rule, others in pairs.items():
                theirs = bool(set(others) & set(result))
                both[rule] += rule in ours and theirs
                ours_only[rule] += rule in ours and not theirs
                theirs_only[rule] += rule not in ours and theirs
                if (rule in ours) != theirs:
                    sys.stderr.write(f"{'ours' if rule in ours else 'axe'} only {rule} {mutant}\n")
        browser.close()
    _table(pairs, both, ours_only, theirs_only)


def _table(pairs: dict[str, list[str]], both: Counter[str], ours: Counter[str], theirs: Counter[str]) -> None:
    sys.stdout.write("| rule | the other tool's | both | only here | only there |\n|---|---|---|---|---|\n")
    for rule, others in pairs.items():
        if both[rule] or ours[rule] or theirs[rule]:
            names = ", ".join(others)
            sys.stdout.write(f"| `{rule}` | {names} | {both[rule]} | {ours[rule]} | {theirs[rule]} |\n")
    total = sum(both.values())
    everything = total + sum(ours.values()) + sum(theirs.values())
    sys.stdout.write(f"agreement {total} of {everything} ({100 * total / max(1, everything):.1f} %)\n")


if __name__ == "__main__":
    if sys.argv[1] == "seeded":
        seeded(Path(sys.argv[2]))
    elif sys.argv[1] == "eslint":
        eslint(Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
    else:
        axe()
