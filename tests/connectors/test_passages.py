"""Splitting of texts into passages, and reading of folders."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.models.tokens import count_tokens
from connectors.retrieval.files import FILE_BYTES_MAX, FolderInvalid, read_folder
from connectors.retrieval.passages import TOKENS_MAX, cleaned, split
from tests.connectors.conftest import PROJECT_DIRECTORY

DECLARATION = (PROJECT_DIRECTORY / "docs" / "texts" / "declaration-of-independence.txt").read_text("utf-8")


def count(text: str) -> int:
    """Count tokens."""
    return count_tokens(text, "cl100k_base")


def test_passages_end_at_headings_and_begin_with_those_above_them() -> None:
    text = "# Guide\n\nIntro.\n\n## Budgets\n\nBudgets bound cost.\n\n## Topics\n\nTopics keep records.\n"

    assert [passage.text for passage in split(text, count)] == [
        "Guide\n\nIntro.",
        "Guide › Budgets\n\nBudgets bound cost.",
        "Guide › Topics\n\nTopics keep records.",
    ]


def test_code_in_fences_has_no_headings() -> None:
    [passage] = split("# Guide\n\n```\n# a comment\n\nx = 1\n```\n", count)

    assert "# a comment\n\nx = 1" in passage.text


def test_a_long_text_becomes_passages_of_about_three_hundred_tokens() -> None:
    passages = split(DECLARATION, count)

    assert [passage.ordinal for passage in passages] == list(range(1, len(passages) + 1))
    assert 6 <= len(passages) <= 9
    assert all(passage.tokens <= 300 for passage in passages)
    assert all(passage.tokens == count(passage.text) for passage in passages)


def test_no_word_gets_lost() -> None:
    assert " ".join(passage.text for passage in split(DECLARATION, count)).split() == DECLARATION.split()


@pytest.mark.parametrize("text", ["", "  \n\n ", "# Only a heading\n"])
def test_a_text_without_content_has_no_passages(text: str) -> None:
    assert split(text, count) == []


@given(text=st.text(max_size=3_000) | st.text("ab \n#`.", max_size=3_000) | st.just("x" * 20_000))
def test_every_text_splits_into_bounded_passages(text: str) -> None:
    passages = split(text, count)

    assert all(0 < passage.tokens <= TOKENS_MAX for passage in passages)
    assert all(passage.text.strip() and "\x00" not in passage.text for passage in passages)


def test_hidden_characters_are_taken_out_and_line_ends_made_one() -> None:
    assert cleaned("a\u202eb\u200bc\x00d\r\ne\tf") == "abcd\ne\tf"


def names(folder: Path) -> dict[str, str | None]:
    """Why each file was skipped, by name."""
    return {file.name: file.skipped for file in read_folder(folder, "docs")}


def test_text_files_are_read_and_all_else_is_reported_or_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (tmp_path / "secret.md").write_text("secret")
    (folder / "a.md").write_text("\ufeffa text", encoding="utf-8")
    (folder / "deep" / "b.txt").write_text("b")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / ".hidden" / "c.md").write_text("c")
    (folder / "latin.md").write_bytes(b"caf\xe9")
    (folder / "binary.txt").write_bytes(b"a\x00b")
    (folder / "large.txt").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "inner.md").symlink_to(folder / "a.md")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.md").symlink_to(folder / "nowhere.md")
    (folder / "bad[1].md").write_text("x")

    found = names(folder)

    assert found == {
        "docs/a.md": None,
        "docs/bad[1].md": "its name cannot be cited",
        "docs/binary.txt": "binary",
        "docs/dangling.md": "cannot be read: No such file or directory",
        "docs/deep/b.txt": None,
        "docs/inner.md": None,
        "docs/large.txt": f"larger than {FILE_BYTES_MAX} bytes",
        "docs/latin.md": "not UTF-8 at byte 3",
        "docs/link.md": "a link to outside the folder",
    }
    assert next(read_folder(folder, "docs")).text == "a text"


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderInvalid, match="no directory"):
        list(read_folder(tmp_path / "nothing", "docs"))
