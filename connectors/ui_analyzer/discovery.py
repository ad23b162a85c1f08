"""Finds the files of a front-end and reads them; links are never followed and nothing but regular files is opened."""

import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connectors.ui_analyzer.document import UNSUPPORTED, language_of
from connectors.ui_analyzer.model import FileProblem, FileStatus
from connectors.ui_analyzer.origin import is_generated, is_minified

DIRECTORY_DEPTH_MAX = 40
_LEFT_OUT_DIRECTORIES = frozenset(
    [
        "node_modules",
        "bower_components",
        "jspm_packages",
        "vendor",
        "vendors",
        "vendored",
        "third_party",
        "third-party",
        "dist",
        "build",
        "out",
        "coverage",
        "target",
        "__pycache__",
        "venv",
        "site-packages",
        "storybook-static",
        "public/build",
        "__generated__",
        "generated",
    ]
)
_TEST_DIRECTORIES = frozenset(
    [
        "test",
        "tests",
        "testing",
        "test-utils",
        "test-helpers",
        "testutils",
        "__tests__",
        "__mocks__",
        "__fixtures__",
        "test-fixtures",
        "testdata",
        "test-data",
        "test_data",
        "e2e",
        "e2e-tests",
        "e2e_tests",
        "integration-tests",
        "cypress",
        "playwright",
        "spec",
        "specs",
        "stories",
        "__stories__",
        "mocks",
    ]
)
_TEST_FILE = re.compile(
    r"\.(?:test|tests|spec|specs|stories|story|cy|e2e|mock|bench)\.[\w.]+$|\.d\.[mc]?ts$|(?:^|[-_.])setupTests?\."
)
_MINIFIED_NAME = re.compile(r"[.-]min\.(?:js|css|mjs)$|\.bundle\.js$|\.chunk\.(?:js|css)$")
_VENDORED_NAME = re.compile(
    r"(?:^|[./])(?:jquery|bootstrap|react|react-dom|vue|angular|lodash|d3|three|moment|tailwind|normalize|fontawesome"
    r"|font-awesome|htmx|alpine|chart|leaflet|axe|prism|highlight|swiper|socket\.io)(?:[.-](?:\d[\w.]*|slim|esm|umd|"
    r"global|prod|production|development|bundle|all|core))+\.(?:js|css|mjs)$",
    re.IGNORECASE,
)
_VENDORED_SHEET = re.compile(
    r"^_?(?:tabler|semantic|bootstrap|adminlte|materialize|foundation|bulma|uikit|milligram|select2|datatables|daterangepicker|"
    r"toastr|animate|fontawesome|font-awesome|normalize|reset|tailwind-preflight|jquery-ui)(?:[.-](?:all|core|theme|min))*\.(?:css|scss)$",
    re.IGNORECASE,
)
_VENDORED_SCRIPT = re.compile(
    r"^(?:tabler|semantic|fomantic|materialize|uikit|adminlte|select2|datatables|daterangepicker|toastr|jquery|jquery-ui)(?:[.-](?:all|core|min))*\.js$",
    re.IGNORECASE,
)
_RELEASE_FOLDER = re.compile(
    r"(?:^|/)[a-z][\w.]*(?:[-.][a-z]\w*)*[-@]v?\d+\.\d+\.\d+(?:[-.]\w+)*/", re.IGNORECASE
)
"""A folder that is named after a release, such as `editor-5.17.0/`: nobody calls their own parts so."""

_VIEWER_FOLDER = re.compile(r"(?:^|/)pdf\.?js/(?:web|build)/")
_PACKAGE_FOLDER = re.compile(
    r"(?:^|/)libs?/\w+/(?:[\w.-]+/)*(?:templates|static|shared)/(?:[\w.-]+/)*[\w.-]+\.(?:html?|js|css)$"
)
"""Pages that come with the packages of another language, kept below `libs/`."""
_LIBRARY_FOLDER = re.compile(
    r"(?:^|/)(?:css|js|scripts?|javascripts?|styles?|stylesheets?|static|assets|public|www|wwwroot|html)/"
    r"(?:libs|3rd-?party|external|vendors?)/(?:[^/]+/)*[^/]+\.(?:js|mjs|cjs|css|scss|less|html?)$",
    re.IGNORECASE,
)
"""Where plain pages keep what others wrote, beside what is served; `libs` at the top of a repository is its own parts."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file to analyse: where it is and how reports name it."""

    absolute: str
    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a folder holds, in the order of the paths."""

    files: tuple[Found, ...]
    left_out: tuple[str, ...]
    problems: tuple[FileProblem, ...]
    unsupported: tuple[str, ...]
    """Sentences on languages that are not understood."""


class FileRefused(Exception):
    """A file that must not be analysed; `status` says why."""

    def __init__(self, status: FileStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class FileLeftOut(Exception):
    """A file that is minified or generated: not the author's own source."""


def discover(root: Path, *, files_max: int, exclude: tuple[str, ...], include_tests: bool) -> Discovery:
    """Walk `root` (a folder or one file) without following links.

    Args:
        root: an existing path.
        files_max: files beyond this number are not analysed, and that is reported.
        exclude: glob patterns on paths relative to the root.
        include_tests: whether tests, stories and type declarations count as source.
    """
    files: list[Found] = []
    left_out: list[str] = []
    problems: list[FileProblem] = []
    unsupported: dict[str, int] = {}
    base = root if root.is_dir() else root.parent
    entries = _walk(root, left_out, problems, include_tests) if root.is_dir() else iter([root])
    for absolute in entries:
        path = _shown(absolute, base)
        suffix = absolute.suffix.lower()
        if suffix in UNSUPPORTED and not language_of(path):
            unsupported[UNSUPPORTED[suffix]] = unsupported.get(UNSUPPORTED[suffix], 0) + 1
            continue
        if not language_of(path):
            continue
        reason = _reason_left_out(path, exclude, include_tests)
        if reason:
            left_out.append(f"{path}: {reason}")
        else:
            files.append(Found(str(absolute), path, 0))
    files.sort(key=lambda found: found.path)
    if len(files) > files_max:
        problems.append(
            FileProblem(
                path=files[files_max].path,
                status=FileStatus.OVER_LIMIT,
                detail=f"{len(files) - files_max} files from here on are beyond the limit of {files_max}",
            )
        )
        files = files[:files_max]
    sentences = tuple(
        f"{count} file{'s' if count > 1 else ''} in {language}"
        for language, count in sorted(unsupported.items())
    )
    return Discovery(tuple(files), tuple(sorted(left_out)), tuple(problems), sentences)


def read_source(absolute: str, *, bytes_max: int) -> bytes:
    """Read a regular file without following a link.

    Raises:
        FileRefused: it is too large, binary, not UTF-8, or cannot be read.
        FileLeftOut: it is minified or generated.
    """
    try:
        descriptor = os.open(absolute, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise FileRefused(FileStatus.UNREADABLE, error.strerror or "cannot be opened") from error
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileRefused(FileStatus.UNREADABLE, "not a regular file")
        try:
            source = stream.read(bytes_max + 1)
        except OSError as error:
            raise FileRefused(FileStatus.UNREADABLE, error.strerror or "cannot be read") from error
    if b"\0" in source[:65_536]:
        raise FileRefused(FileStatus.BINARY, "contains NUL bytes")
    if is_minified(source):
        raise FileLeftOut("minified")
    if is_generated(absolute, source):
        raise FileLeftOut("generated")
    if len(source) > bytes_max:
        raise FileRefused(FileStatus.TOO_LARGE, f"larger than {bytes_max} bytes")
    source = source.removeprefix(b"\xef\xbb\xbf")  # No editor counts it as a column.
    try:
        source.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileRefused(FileStatus.NOT_UTF8, f"byte {error.start} is not UTF-8") from error
    # One kind of line ending and no stray control bytes, which also serve as marks for masked expressions.
    return source.replace(b"\r\n", b" \n").replace(b"\r", b"\n").replace(b"\x01", b" ").replace(b"\0", b" ")


def _walk(
    root: Path, left_out: list[str], problems: list[FileProblem], include_tests: bool
) -> Iterator[Path]:
    stack = [(root, 0)]
    while stack:
        folder, depth = stack.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(
                FileProblem(
                    path=_shown(folder, root),
                    status=FileStatus.UNREADABLE,
                    detail=error.strerror or "cannot be listed",
                )
            )
            continue
        for entry in entries:
            shown = _shown(Path(entry.path), root)
            try:
                if entry.is_symlink():
                    if language_of(entry.name) or entry.is_dir():
                        left_out.append(f"{shown}: link")
                    continue
                is_folder = entry.is_dir(follow_symlinks=False)
                is_file = entry.is_file(follow_symlinks=False)
            except OSError:
                continue
            if is_folder:
                reason = _folder_left_out(entry.name, include_tests)
                if not reason and depth >= DIRECTORY_DEPTH_MAX:
                    reason = f"deeper than {DIRECTORY_DEPTH_MAX} folders"
                if reason:
                    left_out.append(f"{shown}/: {reason}")
                else:
                    stack.append((Path(entry.path), depth + 1))
            elif is_file:
                yield Path(entry.path)
            elif language_of(entry.name):
                problems.append(
                    FileProblem(path=shown, status=FileStatus.UNREADABLE, detail="not a regular file")
                )


def _folder_left_out(name: str, include_tests: bool) -> str:
    lowered = name.lower()
    if lowered in _LEFT_OUT_DIRECTORIES:
        return "vendored or generated"
    if name.startswith(".") and lowered not in (".storybook", ".vitepress"):
        return "hidden"
    if not include_tests and (lowered in _TEST_DIRECTORIES or lowered == ".storybook"):
        return "tests"
    return ""


def _reason_left_out(path: str, exclude: tuple[str, ...], include_tests: bool) -> str:
    name = path.rsplit("/", 1)[-1]
    if any(fnmatch.fnmatchcase(path, pattern) for pattern in exclude):
        return "excluded"
    if _MINIFIED_NAME.search(name):
        return "minified"
    if (
        _VENDORED_NAME.search(name)
        or _VENDORED_SHEET.match(name)
        or _VENDORED_SCRIPT.match(name)
        or _RELEASE_FOLDER.search(path)
        or _LIBRARY_FOLDER.search(path)
        or _PACKAGE_FOLDER.search(path)
        or _VIEWER_FOLDER.search(path)
    ):
        return "vendored"
    if name.endswith(".rtl.css"):
        return "generated"  # A tool has mirrored the sheet beside it.
    if not include_tests and _TEST_FILE.search(name):
        return "test, story or declaration"
    return ""


def _shown(path: Path, root: Path) -> str:
    # A file name may hold bytes that are no text; a report must still be able to print it.
    shown = path.relative_to(root).as_posix() or "."
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")
