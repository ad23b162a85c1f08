"""A source file, read, classified and parsed into what rules ask for."""

import re
from dataclasses import dataclass, field, replace
from functools import cached_property

from tree_sitter import Node

from connectors.ui_analyzer.markup import VOID, Element
from connectors.ui_analyzer.markup_html import html_elements
from connectors.ui_analyzer.markup_jsx import jsx_elements
from connectors.ui_analyzer.masking import Masked, mask_svelte
from connectors.ui_analyzer.script import Script
from connectors.ui_analyzer.single_file import Block, only, split
from connectors.ui_analyzer.stylesheet import Sheet, StyleRule, parse_stylesheet
from connectors.ui_analyzer.syntax import Deadline, parse
from connectors.ui_analyzer.templates import has_tags, is_template, mask_in_script, mask_templates

DEPTH_MAX = 400
"""Deepest nesting of brackets or tags that is parsed."""
SYNTAX_ERRORS_SHARE_MAX = 0.2
"""A file with a larger share of unintelligible source is not assessed."""

LANGUAGES = {
    ".html": "html",
    ".htm": "html",
    ".vue": "vue",
    ".svelte": "svelte",
    ".tsx": "tsx",
    ".jsx": "javascript",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".ts": "typescript",
    ".mts": "typescript",
    ".css": "css",
    ".pcss": "css",
    ".postcss": "css",
    ".scss": "scss",
    ".less": "less",
}
UNSUPPORTED = {
    ".astro": "Astro",
    ".sass": "indented Sass",
    ".styl": "Stylus",
    ".pug": "Pug",
    ".hbs": "Handlebars",
    ".marko": "Marko",
    ".elm": "Elm",
    ".razor": "Razor",
}
_SCRIPT_LANGUAGES = {"ts": "typescript", "tsx": "tsx", "jsx": "javascript"}
_TAG = re.compile(rf"</?(?!(?:{'|'.join(VOID)})\b)[A-Za-z][^\s/>]*")
_BRACKET = re.compile(r"[(){}\[\]]")
_SERVER_MODULES = re.compile(
    r"^(?:node:.*|bun(?::.*)?|fs|fs/promises|fs-extra|path|os|util|crypto|stream|zlib|http|https|http2|net|tls|dns|child_process|"
    r"cluster|readline|worker_threads|express|fastify|koa|hono(?:/.*)?|ws|\$env/(?:static|dynamic)/private|next/server|next/headers|"
    r"h3|nitropack|nitro|@sveltejs/kit/node|@nestjs/.*|@trpc/server|@hono/.*|mongodb|mongoose|pg|mysql2?|better-sqlite3|"
    r"@prisma/client|drizzle-orm/.*|kysely|ioredis|redis|bullmq|nodemailer|jsonwebtoken|bcryptjs?|dotenv(?:/.*)?|server-only|"
    r"commander|yargs|chalk|ora|prompts|execa|glob|globby|fast-glob|chokidar|vite|esbuild|rollup|webpack|tsup|electron|"
    r"pino|winston|sitemap|@aws-sdk/.*|@google-cloud/.*|firebase-admin.*|puppeteer.*)$"
)
_SERVER_PATH = re.compile(
    r"(?:^|/)(?:pages|app|src/routes)/api/|(?:^|/)app/.*/route\.[tj]s$|\+(?:page|layout)?\.?server\.[tj]s$|\+server\.[tj]s$|hooks\.server\.[tj]s$|"
    r"(?:^|/)lib/server/|\.server\.[tj]sx?$|\.config\.[cm]?[jt]s$|(?:^|/)middleware\.[tj]s$"
)
"""File names by which frameworks decide what runs on the server; a folder's name alone decides nothing."""
_SENDS_ON = re.compile(
    r"<meta\s[^>]*http-equiv\s*=\s*['\"]?refresh['\"]?[^>]*content\s*=\s*['\"]\s*0\s*;", re.IGNORECASE
)
_ASKS_PARENT = re.compile(rb"\bwindow\.parent\.\w+(?:\.\w+)*\(")
_SERVER_CODE = re.compile(
    rb"\brequire\(\s*['\"](?:node:\w+|fs|fs-extra|path|os|net|tls|child_process|http|https|postcss|express|koa|fastify|ws|better-sqlite3|sqlite3|pg|mysql2?|mongoose|rollup|webpack|esbuild|gulp|glob)['\"]\s*\)|^[ \t]*['\"]use server['\"]|\bself\.skipWaiting\(|\brespondWith\(|\bdefine(?:EventHandler|NitroPlugin|CachedEventHandler)\(|\bprocess\.(?:argv|exit|stdout|stdin)\b|"
    rb"\bprocess\.env\.(?!NEXT_PUBLIC_|REACT_APP_|VUE_APP_|GATSBY_|EXPO_PUBLIC_|PUBLIC_|VITE_)\w*(?:SECRET|TOKEN|PASSWORD|PRIVATE|DATABASE|CREDENTIAL)",
    re.MULTILINE,
)


_COMMON_JS = re.compile(
    rb"^(?:const|let|var)\b[^\n]*=\s*require\([\s\S]*^\s*(?:module\.exports|exports\.\w+)\s*=", re.MULTILINE
)
_BROWSER = re.compile(rb"\b(?:document|window|localStorage|navigator|HTMLElement|React|Vue)\b|\$\(")
"""What only code for a browser mentions; modules of CommonJS without it are for a server or a build."""


class DocumentTooDeep(Exception):
    """Nesting beyond DEPTH_MAX: refused before a parser sees it."""


class DocumentBroken(Exception):
    """More than SYNTAX_ERRORS_SHARE_MAX of the source is unintelligible."""


@dataclass(slots=True, eq=False)
class _Parts:
    elements: list[Element] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    error_bytes: int = 0
    notes: list[str] = field(default_factory=list)


class Document:
    """One parsed file. Everything is at the positions of the file."""

    def __init__(self, path: str, source: bytes, deadline: Deadline) -> None:
        """Parse `source`, valid UTF-8, by the suffix of `path`.

        Raises:
            DocumentTooDeep: nesting beyond DEPTH_MAX.
            DocumentBroken: mostly unintelligible.
            ParseTooSlow: the deadline passed.
            StylesheetTooDeep: brackets in a stylesheet are nested too deeply.
        """
        self.path = path
        self.source = source
        self.deadline = deadline
        self.language = "svelte" if _is_svelte(path, source) else language_of(path)
        self._parts = _Parts()
        self._check_depth()
        if self.language in ("css", "scss", "less"):
            text = source.decode()
            self._parts.sheets.append(parse_stylesheet(text, deadline, lang=self.language))
        elif self.language in ("html", "vue", "svelte"):
            self._parse_markup()
        else:
            self._add_script(source, self.language)
        if self._parts.error_bytes > SYNTAX_ERRORS_SHARE_MAX * max(1, len(source.strip())):
            raise DocumentBroken(f"{self._parts.error_bytes} of {len(source)} bytes are not valid syntax")

    @property
    def elements(self) -> list[Element]:
        """All elements in document order."""
        return self._parts.elements

    @property
    def scripts(self) -> list[Script]:
        """The script, or the script blocks."""
        return self._parts.scripts

    @property
    def sheets(self) -> list[Sheet]:
        """The stylesheet, or the style blocks."""
        return self._parts.sheets

    @property
    def error_bytes(self) -> int:
        """Bytes that no parser understood."""
        return self._parts.error_bytes

    @property
    def notes(self) -> list[str]:
        """What of this file could not be assessed."""
        return self._parts.notes

    @cached_property
    def style_rules(self) -> list[StyleRule]:
        """The rules of all sheets."""
        return [rule for sheet in self.sheets for rule in sheet.rules]

    @cached_property
    def component(self) -> bool:
        """Whether this file renders markup (as opposed to a module of script or a stylesheet)."""
        return bool(self.elements)

    @cached_property
    def framework(self) -> str:
        """react, vue, svelte, html, or "" for a plain module."""
        if self.language in ("vue", "svelte", "html"):
            return self.language
        modules = {module for script in self.scripts for module in script.modules}
        if any(module in ("vue", "pinia", "vue-router") or module.startswith("@vue") for module in modules):
            return "vue"
        if any(module.startswith(("solid-js", "@solidjs/")) for module in modules):
            return "solid"
        if any(module == "svelte" or module.startswith(("svelte/", "$app/")) for module in modules):
            return "svelte"
        if any(
            module in ("react", "react-dom", "preact") or module.startswith(("react-", "next"))
            for module in modules
        ):
            return "react"
        return "react" if self.elements else ""

    @cached_property
    def server(self) -> bool:
        """Whether this module runs on a server or in a build, not in a browser."""
        if self.elements:
            return False
        if _SERVER_PATH.search(self.path):
            return True
        if any(_SERVER_MODULES.match(module) for script in self.scripts for module in script.modules):
            return True
        if _SERVER_CODE.search(self.source) is not None:
            return True
        return _COMMON_JS.search(self.source) is not None and _BROWSER.search(self.source) is None

    @cached_property
    def followed(self) -> dict[str, list[tuple[Script, Node | None]]]:
        """The values of the names that were followed so far, so that no name is followed twice."""
        return {}

    @cached_property
    def full_page(self) -> Element | None:
        """The `html` element of a whole HTML document; None for one that only sends on to another address."""
        if self.language != "html" or _SENDS_ON.search(self.text) is not None:
            return None
        return next((element for element in self.elements if element.tag == "html"), None)

    @cached_property
    def framed(self) -> bool:
        """Whether a page asks the one around it for something: it is made to stand in a frame, and is no page by itself."""
        return _ASKS_PARENT.search(self.source) is not None

    @cached_property
    def text(self) -> str:
        """The source, decoded."""
        return self.source.decode("utf-8", "replace")

    @cached_property
    def lines(self) -> list[bytes]:
        """The source by lines."""
        return self.source.split(b"\n")

    def _check_depth(self) -> None:
        text = self.source.decode("latin-1")
        if self.language in ("html", "vue", "svelte"):
            depth = 0
            for match in _TAG.finditer(text):
                depth = max(0, depth - 1) if match.group()[1] == "/" else depth + 1
                if depth > 20 * DEPTH_MAX:
                    raise DocumentTooDeep
        if self.language not in ("css", "scss", "less"):
            depth = 0
            for match in _BRACKET.finditer(text):
                depth = depth + 1 if match.group() in "([{" else max(0, depth - 1)
                if depth > DEPTH_MAX:
                    raise DocumentTooDeep

    def _parse_markup(self) -> None:
        text = self.source.decode("latin-1")
        parts = split(text, self.language)
        masked: Masked
        if parts.template_lang not in ("", "html"):
            self._parts.notes.append(f"template in {parts.template_lang}")
        elif parts.template.strip():
            masked = (
                mask_svelte(parts.template)
                if self.language == "svelte"
                else mask_templates(parts.template, self.path, components=self.language == "vue")
            )
            tree = parse("html", masked.text.encode("latin-1"), self.deadline)
            self._parts.elements = html_elements(tree, self.source, self.language, masked)
            _check_elements(self._parts.elements)
            if self.language != "html" or not has_tags(parts.template, self.path):
                self._parts.error_bytes += tree.error_bytes
        typed = any(block.lang == "ts" for block in parts.blocks)
        for block in parts.blocks:
            # Where one script of a component is TypeScript, all are.
            untyped = typed and self.language != "html" and block.kind == "script" and not block.lang
            self._add_block(text, replace(block, lang="ts") if untyped else block)

    def _add_block(self, text: str, block: Block) -> None:
        if block.end <= block.start or not text[block.start : block.end].strip():
            return
        if block.kind == "style":
            if block.lang not in ("", "css", "postcss", "scss", "less"):
                self._parts.notes.append(f"style in {block.lang}")
                return
            css = text[block.start : block.end].encode("latin-1").decode("utf-8", "replace")
            self._parts.sheets.append(
                parse_stylesheet(
                    css,
                    self.deadline,
                    line_offset=text.count("\n", 0, block.start),
                    column_offset=block.start - text.rfind("\n", 0, block.start) - 1,
                    lang=block.lang or "css",
                )
            )
            return
        kind = re.search(r"""\btype\s*=\s*["']?([^"'\s>]+)""", block.attributes)
        if kind and kind.group(1) not in ("module", "text/javascript", "text/babel", "text/typescript"):
            return
        language = _SCRIPT_LANGUAGES.get(block.lang, "javascript")
        setup = not re.search(r"""context\s*=\s*["']?module|(?:^|\s)module(?:\s|$)""", block.attributes)
        source = only(text, block)
        if self.language == "html":
            source = mask_in_script(source, self.path)
        self._add_script(source.encode("latin-1"), language, setup=setup)

    def _add_script(self, source: bytes, language: str, *, setup: bool = True) -> None:
        tree = parse(language, source, self.deadline)
        script = Script(tree, setup=setup)
        self._parts.scripts.append(script)
        self._parts.error_bytes += tree.error_bytes
        if language in ("tsx", "javascript"):
            elements = jsx_elements(tree)
            _check_elements(elements)
            self._parts.elements.extend(elements)


def _check_elements(elements: list[Element]) -> None:
    """Refuse what is nested too deeply: rules look at the ancestors of each element."""
    depths: dict[int, int] = {}
    for element in elements:
        depth = 1 if element.parent is None else depths.get(id(element.parent), 0) + 1
        if depth > DEPTH_MAX:
            raise DocumentTooDeep
        depths[id(element)] = depth


def _is_svelte(path: str, source: bytes) -> bool:
    """Whether a file of HTML is a component of Svelte, as its first versions were named."""
    return (
        path.endswith(".html")
        and re.search(rb"\{/(?:if|each|await)\}", source) is not None
        and re.search(rb"\{#(?:if|each|await) ", source) is not None
        and re.search(rb"(?i)<html\b", source) is None
    )


def language_of(path: str) -> str:
    """The language by the suffix, or ""; templates of pages are HTML."""
    if is_template(path):
        return "html"
    dot = path.rfind(".")
    return LANGUAGES.get(path[dot:].lower(), "") if dot >= 0 else ""
