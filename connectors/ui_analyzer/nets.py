"""What a project does at one place for all: failures of requests that are shown there, and who sets titles and themes."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.rule import Fact

REQUESTS_SHOWN = ("failures-shown", "requests")
"""The fact that an interceptor shows what fails in requests."""
QUERIES_SHOWN = ("failures-shown", "queries")
"""The fact that the cache of queries shows what fails in them, or throws it to an error boundary."""

_INTERCEPTS = re.compile(
    r"interceptors\s*\.\s*response\s*\.\s*use\s*\(|\bonResponseError\b|\bonResponseRejected\b|\bresponseInterceptor\b|"
    r"\.ajaxError\s*\(|\.ajaxSetup\s*\([\s\S]{0,400}?error\s*:|\bonErrorResponse\b|\bafterResponse\s*:"
)
_CATCHES_QUERIES = re.compile(
    r"\b(?:Query|Mutation)Cache\s*\(\s*\{[^}]*\bonError\b|\bnew QueryClient\s*\([\s\S]{0,400}?(?:onError|throwOnError|useErrorBoundary)\b|"
    r"<SWRConfig\b[\s\S]{0,400}?\bonError\b"
)
_SHOWS = re.compile(
    r"toast|notif|snack|\balert\(|dialog|modal|\bswal\b|[mM]essage(?:Box)?\s*(?:\.\s*(?:error|warn\w*))?\(|(?:add|show|set|push|raise|report)\w*Error|useErrorBoundary|throwOnError",
    re.I,
)
_SETS_TITLE = re.compile(
    r"document\s*(?:\.\s*title|\[\s*['\"]title['\"]\s*\])\s*=|\b(?:useTitle|useHead|useSeoMeta|useMeta|useDocumentTitle|usePageTitle)\s*\(|"
    r"<(?:Helmet|svelte:head|Head|Title)\b|\bmetaInfo\b|\btitleTemplate\b|\bsetTitle\s*\("
)
_SETS_LANGUAGE = re.compile(
    r"documentElement\s*[!?]?\.\s*(?:lang\s*=(?!=)|setAttribute\(\s*['\"]lang['\"])|\bhtmlAttrs\b[^{}]{0,40}\{[^{}]{0,200}?\blang\b"
)
_KEEPS_THEME = re.compile(
    r"(?:localStorage|sessionStorage|cookie)[\s\S]{0,120}?(?:theme|dark|colou?r-?mode|appearance)|"
    r"\b(?:setTheme|toggleTheme|switchTheme|toggleDark|setDark\w*|useTheme|setColorMode|toggleColorMode)\b",
    re.I,
)


def net_facts(document: Document) -> Iterator[Fact]:
    """Interceptors and caches that show failures, and code that sets the title or the theme."""
    if document.language in ("css", "scss", "less"):
        return
    text = document.text
    if "lodash-webpack-plugin" in text or "babel-plugin-lodash" in text:
        yield Fact(kind="imports-in-part", name="lodash")
    if _mentions(text, "itle", "Head", "Helmet", "metaInfo", "useMeta") and _SETS_TITLE.search(text):
        yield Fact(kind="sets-title", name="script")
    if _mentions(text, "documentElement", "useHead", "htmlAttrs") and _SETS_LANGUAGE.search(text):
        yield Fact(kind="sets-lang", name="script")
    if _mentions(text, "Storage", "ookie", "Theme", "Dark", "ColorMode") and _KEEPS_THEME.search(text):
        yield Fact(kind="sets-theme", name="script")
    if _mentions(
        text, "ntercept", "onResponse", "onErrorResponse", "ajaxError", "ajaxSetup", "afterResponse"
    ) and (_INTERCEPTS.search(text) and _SHOWS.search(text)):
        yield Fact(kind=REQUESTS_SHOWN[0], name=REQUESTS_SHOWN[1])
        yield Fact(kind=QUERIES_SHOWN[0], name=QUERIES_SHOWN[1])
    for script in document.scripts:
        for call in script.calls:
            if call.name == "useMutation" and "onError" in (written := script.code_of(call.item)):
                function = script.function_around(call.item)
                name = script.name_of(function) if function is not None else ""
                if name.startswith("use") and _SHOWS.search(written[written.find("onError") :]):
                    yield Fact(kind="hook-shows", name=name)
    if _mentions(text, "Cache", "QueryClient", "SWRConfig") and (
        _CATCHES_QUERIES.search(text) and _SHOWS.search(text)
    ):
        yield Fact(kind=QUERIES_SHOWN[0], name=QUERIES_SHOWN[1])


def _mentions(text: str, *words: str) -> bool:
    """Whether any of the words is there at all: that is found much faster than what is around it."""
    return any(word in text for word in words)
