"""Reads the `.cases` files: for each rule, pieces of source that fail (+), need review (?) or are fine (-).

A case is `mark name | source`; `name` is a file name or only its suffix. `\\n` is a line break, and a line break with
`& name | source` adds another file. `REPEAT n text` repeats the rest of the line, `FILL n` is n letters. Markup alone
is put into a component in JSX, and into a template in Vue.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True)
class Case:
    """One piece of source with what is expected of one rule."""

    rule_id: str
    expected: str
    files: tuple[tuple[str, str], ...]
    place: str

    def __str__(self) -> str:
        return f"{self.place}{self.expected}{self.rule_id}"


def read_cases() -> list[Case]:
    """Every case of every file."""
    found = []
    for path in sorted(FOLDER.glob("*.cases")):
        rule_id = ""
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.startswith("# "):
                rule_id = line[2:].strip()
            elif line[:2] in ("+ ", "- ", "? "):
                pieces = re.split(r"\\n& ", line[2:])
                files = tuple(_file(piece) for piece in pieces)
                found.append(Case(rule_id, line[0], files, f"{path.stem}:{number}"))
    return found


def _file(piece: str) -> tuple[str, str]:
    name, _, source = piece.partition(" | ")
    name = name.strip()
    text = _expanded(source.replace("\\n", "\n"))
    path = name if "." in name else f"src/Sample.{name}"
    suffix = path.rsplit(".", 1)[-1]
    if suffix in ("tsx", "jsx") and text.startswith("<"):
        text = f"export function Sample() {{\n  return (\n    <>\n{text}\n    </>\n  );\n}}\n"
    if suffix == "vue" and not re.search(r"<template>|<script", text.split("<style")[0]):
        markup, separator, style = text.partition("\n<style")
        text = f"<template>\n{markup}\n</template>\n{separator}{style}"
    return path, text


def _expanded(text: str) -> str:
    text = re.sub(r"FILL (\d+)", lambda match: "A" * int(match.group(1)), text)
    text = text.replace("FAKEKEY", "a1" * 20)

    def repeated(match: re.Match[str]) -> str:
        return "\n".join(match.group(2).replace("{i}", str(i)) for i in range(int(match.group(1)))) + "\n"

    return re.sub(r"REPEAT (\d+) ([^\n]*?)(?=\n|$| @media|</style>)", repeated, text)
