"""Looking through a folder, and reading its files whatever they are called and contain."""

import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.retrieval import files
from connectors.retrieval.files import FILE_BYTES_MAX, FolderInvalid, SourceFile, Survey, read_file, survey
from connectors.retrieval.naming import (
    NAME_CHARACTERS_MAX,
    CollectionNameInvalid,
    citable,
    demand_collection_name,
    document_names,
    folder_covers,
)
from connectors.text.words import citations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of the name docs."""
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


def read(folder: Path) -> dict[str, SourceFile]:
    """Each file by its document's name."""
    found = survey(folder, "docs")
    return {file.document: read_file(file, found.root) for file in found.files}


def skipped(folder: Path) -> dict[str, str | None]:
    """Why each file was skipped, by name."""
    return {name: file.skipped for name, file in read(folder).items()}


def test_text_files_are_read_and_all_else_is_reported(folder: Path, tmp_path: Path) -> None:
    (folder / "deep").mkdir()
    (folder / ".hidden").mkdir()
    (tmp_path / "secret.md").write_text("secret")
    (folder / "a.md").write_text("\ufeffa text", encoding="utf-8")
    (folder / "deep" / "b.txt").write_text("b")
    (folder / "picture.PNG").write_bytes(b"\x89PNG")
    (folder / "LICENSE").write_text("free")
    (folder / ".hidden" / "c.md").write_text("c")
    (folder / "latin.md").write_bytes(b"caf\xe9")
    (folder / "wide.txt").write_bytes("wide text".encode("utf-16"))
    (folder / "binary.txt").write_bytes(b"a\x00b")
    (folder / "large.txt").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "inner.md").symlink_to(folder / "a.md")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.md").symlink_to(folder / "nowhere.md")
    (folder / "again.md").symlink_to("again.md")
    (folder / "one.md").symlink_to("two.md")
    (folder / "two.md").symlink_to("one.md")
    os.mkfifo(folder / "pipe.md")

    found = survey(folder, "docs")
    results = read(folder)

    assert {name: file.skipped for name, file in results.items()} == {
        "docs/a.md": None,
        "docs/again.md": "cannot be read: a loop of links",
        "docs/binary.txt": "binary",
        "docs/dangling.md": "cannot be read: No such file or directory",
        "docs/deep/b.txt": None,
        "docs/inner.md": None,
        "docs/large.txt": f"larger than {FILE_BYTES_MAX:,} bytes",
        "docs/latin.md": None,
        "docs/link.md": "a link to outside the folder",
        "docs/one.md": "cannot be read: a loop of links",
        "docs/pipe.md": "not a regular file",
        "docs/two.md": "cannot be read: a loop of links",
        "docs/wide.txt": None,
    }
    assert results["docs/a.md"].text == "a text"
    assert results["docs/latin.md"].text == "café"
    assert results["docs/wide.txt"].text == "wide text"
    assert found.left_out == {"docs/loop": "a link to a folder, which is not followed"}
    assert found.passed_over == {"hidden": 1, ".png": 1, "no suffix": 1}


def test_what_may_still_be_there_is_told_from_what_is_gone(folder: Path) -> None:
    (folder / "dangling.md").symlink_to(folder / "nowhere.md")
    (folder / "large.md").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    (folder / "binary.md").write_bytes(b"a\x00b")

    assert {name: file.is_seen for name, file in read(folder).items()} == {
        "docs/dangling.md": False,
        "docs/large.md": False,
        "docs/binary.md": True,
    }


def test_a_file_that_goes_while_the_folder_is_read_is_skipped(folder: Path) -> None:
    (folder / "a.md").write_text("a")
    found = survey(folder, "docs")
    (folder / "a.md").unlink()

    [file] = found.files

    assert read_file(file, found.root) == SourceFile(
        skipped="cannot be read: No such file or directory", is_seen=False
    )


def test_a_folder_that_cannot_be_looked_into_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "closed").mkdir()
    (folder / "open.md").write_text("open")
    _close(monkeypatch, folder / "closed")

    found = survey(folder, "docs")

    assert found.unseen == {"docs/closed/": "cannot be read: Permission denied"}
    assert [file.document for file in found.files] == ["docs/open.md"]


def _close(monkeypatch: pytest.MonkeyPatch, closed: Path) -> None:
    """Let the operating system refuse to list a folder, to root too."""
    scan = os.scandir

    def refuse(path: Path) -> object:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)


def test_the_folder_itself_must_be_readable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "loop").symlink_to("loop")
    (folder / "file").write_text("x")
    for wrong, reason in (
        (folder / "nothing", "No such file"),
        (folder / "loop", "loop of links"),
        (folder / "file", "not a folder"),
    ):
        with pytest.raises(FolderInvalid, match=reason):
            survey(wrong, "docs")
    _close(monkeypatch, folder)
    with pytest.raises(FolderInvalid, match="Permission denied"):
        survey(folder, "docs")


def test_folders_may_be_nested_deeper_than_calls(folder: Path) -> None:
    made = [str(folder)]
    try:
        for _ in range(sys.getrecursionlimit() + 100):
            made.append(f"{made[-1]}/d")
            os.mkdir(made[-1])
        Path(made[-1], "a.md").write_text("deep")

        [(name, file)] = read(folder).items()
    finally:
        # Not left to the fixture: what removes trees goes as deep as calls do.
        Path(made[-1], "a.md").unlink(missing_ok=True)
        for path in reversed(made[1:]):
            os.rmdir(path)

    assert file.text == "deep"
    assert len(name) <= NAME_CHARACTERS_MAX


def test_odd_names_are_written_so_that_they_can_be_cited(folder: Path) -> None:
    odd = {
        "[slug].md": "docs/%5Bslug%5D.md",
        "two\nlines.md": "docs/two%0Alines.md",
        "\x1b[31mred.md": "docs/%1B%5B31mred.md",
        "a\u202eb.md": "docs/a%E2%80%AEb.md",
        "100%.md": "docs/100%.md",
        "%5Bslug%5D.md": "docs/%255Bslug%255D.md",
        os.fsdecode(b"caf\xe9.md"): "docs/caf%E9.md",
        "Größe #1.md": "docs/Größe #1.md",
        "tab\tcr\r.md": "docs/tab%09cr%0D.md",
        "-rf.md": "docs/-rf.md",
    }
    for name in odd:
        (folder / name).write_text(name.encode(errors="replace").decode())

    found = read(folder)

    assert sorted(found) == sorted(odd.values())
    assert all(file.skipped is None for file in found.values())
    assert all(citations(f"see [{name}#1]") == [f"[{name}#1]"] for name in found)


def test_names_that_are_too_long_stay_apart(folder: Path) -> None:
    deep = folder / ("a" * 200) / ("b" * 200)
    deep.mkdir(parents=True)
    (deep / "one.md").write_text("1")
    (deep / "two.md").write_text("2")

    found = read(folder)

    assert len(found) == 2
    assert all(len(name) <= NAME_CHARACTERS_MAX and name.endswith(".md") for name in found)
    assert all(folder_covers(f"docs/{'a' * 200}/{'b' * 200}/", name) for name in found)


def test_names_that_differ_only_in_how_accents_are_written_stay_apart(folder: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "für.md") for form in ("NFC", "NFD"))
    (folder / composed).write_text("composed")
    (folder / apart).write_text("apart")

    found = read(folder)

    assert found[f"docs/{composed}"].text == "composed"
    assert found["docs/fu%CC%88r.md"].text == "apart"
    (folder / composed).unlink()
    assert list(read(folder)) == [f"docs/{composed}"]


NAMES = st.lists(
    st.text(st.characters(blacklist_characters="/\x00"), min_size=1, max_size=12)
    | st.sampled_from(["%", "%5B", "[", "%25", "ü", "u\u0308", "\udce9", "%E9", "x" * 300]),
    unique=True,
    max_size=20,
)


@given(NAMES)
def test_no_two_files_get_one_name(names: list[str]) -> None:
    encodable = [name for name in names if _can_be_a_file(name)]

    documents = document_names("docs", encodable)

    assert len(set(documents)) == len(documents)
    assert all(name.isprintable() and not set("[]") & set(name) for name in documents)
    assert all(len(name) <= NAME_CHARACTERS_MAX for name in documents)


def _can_be_a_file(name: str) -> bool:
    try:
        return os.fsdecode(os.fsencode(name)) == name
    except UnicodeEncodeError:
        return False


def test_more_files_than_are_taken_are_told_one_by_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILES_MAX", 2)
    for number in range(4):
        (folder / f"{number}.md").write_text("x")

    assert list(skipped(folder).values()) == [None, None, *["more than 2 files before it"] * 2]


def test_empty_folders_and_other_disks_are_noted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "empty").mkdir()
    (folder / "disk").mkdir()
    (folder / "disk" / "a.md").write_text("a")
    monkeypatch.setattr(files, "_device", lambda entry: 0 if entry.name == "disk" else _device_of(folder))

    found = survey(folder, "docs")

    assert isinstance(found, Survey)
    assert (found.empty, found.mounts) == (["docs/empty/"], ["docs/disk/"])


def _device_of(path: Path) -> int:
    return path.stat().st_dev


@pytest.mark.parametrize("name", ["", " ", " docs", "a/b", "a[1]", "a\nb", "x" * 101, "caf\udce9"])
def test_names_that_no_collection_can_have_are_refused(name: str) -> None:
    with pytest.raises(CollectionNameInvalid):
        demand_collection_name(name)


@pytest.mark.parametrize("name", ["docs", "my docs", "Größe", "100%", "日本"])
def test_ordinary_names_of_collections_are_taken(name: str) -> None:
    demand_collection_name(name)
    assert citable(name) == name
