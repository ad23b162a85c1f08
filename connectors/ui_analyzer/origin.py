"""Whose work a file is, by what it says itself: a tool's, a library's, a test, an e-mail, or the project's own."""

import os
import re
import stat

_GENERATED = re.compile(
    rb"@generated\b|\bgenerated on \w{3},? |\bdo not (?:edit|modify)\b|\b(?:auto(?:matically)?[- ]?)generated\b|\bgenerated (?:by|from|with|file|code)\b",
    re.IGNORECASE,
)


# What stands before the first code or markup: only there a file says how it came about.
_HEADER = re.compile(
    rb"(?:\s+|#![^\n]*|//[^\n]*|/\*.*?\*/|<!--.*?-->|<!doctype[^>]*>|['\"]use \w+['\"];?|[@]charset [^;]*;)*+",
    re.DOTALL | re.IGNORECASE,
)


_TEST_IMPORT = re.compile(
    rb"""(?m)^[ \t]*(?:import\b[^;'"\n]*|\}[ \t]*from[ \t]*|(?:const|let|var)\b[^\n]*\brequire\()['"](?:vitest|@jest/globals|jest-mock|"""
    rb"""@testing-library/[\w-]+|@vue/test-utils|react-test-renderer|enzyme|@playwright/test|playwright|cypress|mocha|chai|"""
    rb"""sinon|node:test|bun:test|jest-axe|vitest-[\w-]+|msw(?:/[\w-]+)?|@storybook/(?!addon)[\w-]+|storybook(?:/[\w-]+)?|"""
    rb"""qunit|ava|supertest|@web/test-runner[\w-]*|@open-wc/testing)['"]"""
)


_DATA = re.compile(rb"[A-Za-z0-9+/=%]{200,}")


_LINE_BYTES_MEAN_MAX = 300


_MINIFIED_BYTES_MIN = 4_000


_HEADER_BYTES = 4_000


def is_test(source: bytes) -> bool:
    """Whether a script is a test, a story or a mock by what it imports, whatever its name."""
    return _TEST_IMPORT.search(source) is not None


_EMAIL_IMPORT = re.compile(
    rb"""from\s*['"](?:@react-email/[\w-]+|react-email|jsx-email|mjml-react|@faire/mjml-react[\w/-]*|vue-email|@vue-email/[\w-]+|svelte-email[\w-]*)['"]"""
)


_LIBRARY_SHEET = re.compile(rb"\b[A-Z][\w .]{2,30}(?: - | v| | \(v)\d+\.\d+(?:\.\d+)?\b")


_HIGHLIGHTED = 5
"""From so many uses of the classes of a highlighter on, a sheet is one of its themes."""


_VIEWER = re.compile(
    rb"<title>PDF\.js viewer|data-l10n-id=\"pdfjs-|^\s*(?:<!DOCTYPE html>\s*<!--|/\*)\s*(?:!\s*)?\*?\s*(?:@licstart[^\n]*\n[^\n]*\n)?[^\n]{0,20}Copyright \d{4} Mozilla Foundation",
    re.IGNORECASE,
)


def is_viewer(source: bytes) -> bool:
    """Whether a page, a script or a sheet is of the viewer of PDF.js, which projects copy into their tree."""
    return _VIEWER.search(source) is not None


def is_library_sheet(path: str, source: bytes) -> bool:
    """Whether a style sheet is a library's, copied into the tree: its header names a release, or it is a theme for code."""
    if not path.endswith((".css", ".scss", ".less", ".pcss")):
        return False
    header = _HEADER.match(source[:_HEADER_BYTES])
    if header is not None and _LIBRARY_SHEET.search(header.group()):
        return True
    highlighted = source.count(b".hljs-") + source.count(b".token.")
    return highlighted >= _HIGHLIGHTED and 2 * highlighted >= source.count(b"{")


_EMAIL_MARKUP = re.compile(
    rb"\.ExternalClass\b|\bmso-(?:table|line-height|padding|hide|ansi)\w*|<o:OfficeDocumentSettings|x-apple-disable-message-reformatting|<mj-(?:body|section)\b|-ms-text-size-adjust:[^;]*;[^<]*\bmso",
    re.IGNORECASE,
)
"""What is written for mail programs and means nothing to browsers."""


_DRAWN_ON_SERVER = re.compile(
    rb"""from\s*['"](?:next/og|@vercel/og|satori|@takumi-rs/[\w-]+|workers-og)['"]"""
)


def is_picture(source: bytes) -> bool:
    """Whether a component is drawn into a picture on a server: nobody operates, enlarges or reads it."""
    return _DRAWN_ON_SERVER.search(source) is not None


def is_native_app(source: bytes) -> bool:
    """Whether a script draws with React Native: an app has neither elements of HTML nor style sheets."""
    return _NATIVE_APP.search(source) is not None


_NATIVE_APP = re.compile(rb"""from\s*['"](?:react-native(?:-[\w-]+)?|expo(?:-[\w-]+)?|nativewind)['"]""")


def is_email(path: str, source: bytes) -> bool:
    """Whether a component is an e-mail: mail programs have other rules than browsers."""
    if _EMAIL_IMPORT.search(source) is not None or _EMAIL_MARKUP.search(source) is not None:
        return True
    # In a folder of mails: pages have a form, a script or a sheet, and mails write every style out.
    return _MAILER.search(path) is not None or (
        _EMAIL_FOLDER.search(path) is not None
        and _OF_PAGES.search(source) is None
        and (b"style=" in source or b"{% " in source)
    )


_MAILER = re.compile(r"(?:^|/)views/(?:[\w-]+/)*\w*mailer/[^/]+\.erb$|(?:^|/)layouts/\w*mailer\b[^/]*\.erb$")
_EMAIL_FOLDER = re.compile(
    r"(?:^|/)(?:e-?mails?|mailers?|\w+_mailer|mail[_-]templates?)/(?:[\w-]+/)*[^./]*\.(?:html?(?:\.\w+)?|erb|blade\.php|twig|liquid|hbs|ejs|njk)$",
    re.I,
)
_OF_PAGES = re.compile(rb"<(?:script|form|input|link|nav|main)\b", re.I)


_DOCUMENTED = re.compile(
    rb"generated (?:by|with|using|from)\b[^<]{0,40}(?:<[^>]*>)?\s*(?:JSDoc|ESDoc|TypeDoc|Doxygen|Sphinx|YARD|RDoc|Javadoc|pdoc|MkDocs|LDoc|istanbul|nyc|lcov|PHPDoc\w*|phpDocumentor)|"
    rb"<title>(?:JSDoc|TypeDoc|Doxygen|Code coverage report)\b|<meta name=\"generator\" content=\"(?:JSDoc|ESDoc|TypeDoc|Doxygen|Sphinx|YARD|RDoc|javadoc|pdoc|rustdoc)",
    re.IGNORECASE,
)
"""What documentation of code says at its head or foot that tools have made of comments."""
_BUILT = re.compile(
    rb"^\s*(?:['\"]use strict['\"];?\s*)?[!;]?\(?function\s*(?:webpackUniversalModuleDefinition)?\s*\((?:global|root|e|t|n), ?(?:factory|e|t|n)\)\s*\{\s*"
    rb"(?:['\"]use strict['\"];?\s*)?(?:if ?\()?\s*typeof exports ?={2,3}"
)
"""How bundlers begin what can be loaded in every way: nobody writes that by hand."""
_TAIL_BYTES = 2_000


def is_generated(path: str, source: bytes) -> bool:
    """Whether a file says that a tool made it, or plainly is what a bundler or a tool for documentation makes."""
    header = _HEADER.match(source[:_HEADER_BYTES])
    if header is None:
        return False
    if _GENERATED.search(header.group()) is not None:
        return True
    if path.endswith((".html", ".htm")):
        return _DOCUMENTED.search(source[:_HEADER_BYTES]) is not None or (
            _DOCUMENTED.search(source[-_TAIL_BYTES:]) is not None
        )
    return (
        path.endswith((".js", ".cjs")) and _BUILT.match(source[header.end() : header.end() + 500]) is not None
    )


_LICENSED = re.compile(
    rb"\b(?:licen[sc]ed?|distributed|released)\b[^\n]{0,60}\b(?:MIT|BSD|Apache|GPL|LGPL|ISC|MPL)\b|@licen[sc]e\b|\b(?:MIT|BSD|Apache|ISC|MPL)[ -]Licen[sc]e\b",
    re.IGNORECASE,
)
_RELEASE = re.compile(rb"\bv?\d+\.\d+\.\d+\b")
_LOADED_ANYHOW = re.compile(rb"typeof define ?={2,3} ?['\"]function['\"] ?&& ?define\.amd|\bdefine\.amd\b")


def is_library_script(path: str, source: bytes) -> bool:
    """Whether a script is a library's release, copied into the tree.

    Its header names a licence, and either a release as well or the body asks how it is loaded (AMD, CommonJS, a
    global): a project does not do that with its own parts. One of the signs alone proves nothing.
    """
    if not path.endswith((".js", ".cjs")):
        return False
    header = _HEADER.match(source[:_HEADER_BYTES])
    if header is None or not _LICENSED.search(header.group()):
        return False
    started = header.group().lstrip().startswith(b"/*!") and _RELEASE.search(header.group()) is not None
    return started or _LOADED_ANYHOW.search(source) is not None


def belongs_to_library(absolute: str) -> bool:
    """Whether a style sheet lies beside the script of a library with the same name: `codemirror.css`, `codemirror.js`."""
    stem = os.path.splitext(absolute)[0]
    try:
        descriptor = os.open(f"{stem}.js", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return False
            source = stream.read(_SIBLING_BYTES_MAX)
    except OSError:
        return False
    return (
        is_library_script(f"{stem}.js", source) or is_generated(f"{stem}.js", source) or is_minified(source)
    )


_SIBLING_BYTES_MAX = 1_000_000


def is_minified(source: bytes) -> bool:
    if len(source) < _MINIFIED_BYTES_MIN:
        return len(source) > 1_000 and source.count(b"\n") <= 2 and not source.lstrip().startswith(b"<")
    # A picture written into the source as data makes a long line, but no minified file.
    source = _DATA.sub(b"", source)
    return len(source) / (source.count(b"\n") + 1) > _LINE_BYTES_MEAN_MAX
