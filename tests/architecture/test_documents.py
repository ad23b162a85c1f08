"""What the documents point to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FOLDERS = (
    "connectors",
    "docs",
    "ops",
    "processors",
    "requirements",
    "schemas",
    "sinks",
    "streams",
    "tests",
    "topics",
)
_PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_in_a_document_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")

    missing = [path for path in _PATH.findall(text) if not (ROOT / path.rstrip(".")).exists()]
    missing += [link for link in _LINK.findall(text) if not (document.parent / link).exists()]

    assert not missing, f"{document.name} points to what is not there: {', '.join(missing)}"
