"""Which style sheets are on a page together: tokens of one page say nothing of another.

A page is an HTML file with content of its own that loads its sheets and scripts by name. What no such page loads is
taken to be bundled into one application, with every page that is only a shell for it.
"""

import posixpath
import re
from collections.abc import Callable, Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.rule import Fact, Project, Tally

_BUNDLED = ""


def page_facts(document: Document) -> Iterator[Fact]:
    """What a page loads, and which sheets import which."""
    if document.full_page is not None:
        loads = [_target(document.path, address) for address in _addresses(document)]
        bundled = (
            any(
                element.tag == "script" and element.get("type") == "module" and element.has("src")
                for element in document.elements
            )
            or "%sveltekit." in document.text
        )  # The frame into which SvelteKit puts its pages.
        for path in {document.path, *loads} - {""}:
            yield Fact(kind="page-loads", name=path, value="bundle" if bundled else "")
    for sheet in document.sheets:
        for statement in sheet.statements:
            match = re.match(r"""(?:url\()?\s*["']([^"':]+)["']""", statement.prelude)
            if statement.name in ("import", "use", "forward") and match:
                target = _target(document.path, match.group(1))
                yield Fact(kind="sheet-imports", name=target, line=statement.line)


def _addresses(document: Document) -> Iterator[str]:
    for element in document.elements:
        sheet = element.tag == "link" and "stylesheet" in (element.get("rel") or "")
        address = element.get("href") if sheet else element.get("src") if element.tag == "script" else None
        if address and not re.match(r"[a-z]+:|//", address):
            yield address.split("?")[0].split("#")[0]


def _target(path: str, address: str) -> str:
    if address.startswith("/"):
        return address.lstrip("/")
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), address))


def by_page(check: Callable[[Project, Tally], None]) -> Callable[[Project, Tally], None]:
    """A project rule that is decided for each set of files that can be on a page together."""

    def checked(project: Project, tally: Tally) -> None:
        for scope in scopes(project):
            check(scope, tally)

    return checked


def scopes(project: Project) -> list[Project]:
    """The facts of a project by sets of files that can be on a page together."""
    group: dict[str, str] = {}

    def root(path: str) -> str:
        while group.get(path, path) != path:
            path = group[path]
        return path

    def join(one: str, other: str) -> None:
        one, other = sorted((root(one), root(other)))
        group.setdefault(one, one)
        # The bundle sorts before every path, so what is joined with it is found under it.
        group[other] = one

    for at in project.of("page-loads"):
        join(at.path, _BUNDLED if at.fact.value == "bundle" else at.fact.name)
        join(at.path, at.fact.name)
    pages = {root(at.path) for at in project.of("page-loads")} - {root(_BUNDLED)}
    for at in project.of("sheet-imports"):
        if at.path in group or at.fact.name in group:
            join(at.path, at.fact.name)
    if not pages:
        return [project]
    return project.divided(lambda path: root(path) if path in group else _BUNDLED)
