"""Masks template expressions byte for byte, so that an HTML parser sees plain HTML at the same positions."""

import re
from dataclasses import dataclass, field

from connectors.ui_analyzer.markup import DYNAMIC

_BLOCKS_DEPTH_MAX = 200
_BLOCK_OPEN = re.compile(r"\{\s*#(if|each|await|key|snippet)\b")
_BLOCK_CLOSE = re.compile(r"\{\s*/(if|each|await|key|snippet)\b")
_ENTITY = re.compile(r"&#?\w+;")
# A comment, a tag with its quoted values, a declaration, or one character that stands for itself.
_PIECE = re.compile(
    r"<!--.*?-->|</?(?P<name>[A-Za-z][^\s/>\"'<]*)(?P<rest>(?:[^<>\"']|\"[^\"]*\"|'[^']*')*+)>|<![^<>]*>|[&<>]",
    re.DOTALL,
)
# What is inside is text, whatever it looks like.
_TEXT_ONLY = re.compile(r"(<textarea(?=[\s>])[^<>]*>)([^\x00]*?)(?=</textarea)")
# Names that an HTML grammar treats by rules of their own: without content, closed by what follows, or not parsed.
_RULED_NAMES = frozenset(
    [
        "area",
        "base",
        "basefont",
        "bgsound",
        "br",
        "col",
        "command",
        "embed",
        "frame",
        "hr",
        "image",
        "img",
        "input",
        "isindex",
        "keygen",
        "link",
        "menuitem",
        "meta",
        "nextid",
        "param",
        "source",
        "track",
        "wbr",
        "li",
        "dt",
        "dd",
        "p",
        "option",
        "optgroup",
        "td",
        "th",
        "tr",
        "tbody",
        "thead",
        "tfoot",
        "colgroup",
        "caption",
        "table",
        "rb",
        "rt",
        "rp",
        "body",
        "head",
        "html",
        "script",
        "style",
        "title",
        "textarea",
        "select",
        "noscript",
        "template",
        "a",
        "button",
        "form",
        "main",
        "nav",
        "section",
    ]
)
_PLAIN_IN_TEXT = re.compile(r"[^{<]+")
_PLAIN_IN_TAG = re.compile(r"[^{'\">]+")
_SKIPPED_AHEAD = re.compile(r"[^{}'\"`/]+")


@dataclass(slots=True)
class Masked:
    """HTML with expressions masked; offsets are those of the original."""

    text: str
    """One character per byte of the original (latin-1)."""
    inline: list[tuple[int, str]] = field(default_factory=list)
    """`{name}` and `{...props}` inside a tag: offset and source without braces."""
    blocks: list[tuple[str, int, int]] = field(default_factory=list)
    """Svelte blocks: kind, start, end."""
    raw_html: list[tuple[int, str]] = field(default_factory=list)
    """Svelte `{@html …}`: offset and expression."""


def mask_svelte(text: str) -> Masked:
    """Mask everything in braces of a Svelte template."""
    masked = Masked("")
    out: list[str] = []
    open_blocks: list[tuple[str, int]] = []
    at, quote, in_tag = 0, "", False
    while at < len(text):
        char = text[at]
        if not in_tag and text.startswith("<!--", at):
            end = text.find("-->", at)
            end = len(text) if end < 0 else end + 3
            out.append(text[at:end])
            at = end
            continue
        if char == "{":
            end = closing_brace(text, at)
            whole = text[at:end]
            if quote:
                out.append(_filler(whole))
            elif in_tag:
                out.append(_in_tag(whole, at, "".join(out[-3:]), masked))
            else:
                out.append(_in_text(whole, at, masked, open_blocks))
            at = end
            continue
        plain = (_PLAIN_IN_TAG if in_tag else _PLAIN_IN_TEXT).match(text, at) if not quote else None
        if plain:
            out.append(plain.group())
            at = plain.end()
            continue
        if in_tag:
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif char == ">":
                in_tag = False
        elif char == "<" and at + 1 < len(text) and (text[at + 1].isalpha() or text[at + 1] == "/"):
            in_tag = True
        out.append(char)
        at += 1
    masked.blocks.extend((kind, start, len(text)) for kind, start in open_blocks)
    masked.text = tidied("".join(out), components=True)
    return masked


def tidied(text: str, *, components: bool) -> str:
    """Write what is valid in pages and templates so that the HTML grammar accepts it, each byte at its place.

    That is: dots in names, characters of markup that stand for themselves, and components whose names differ from
    elements of HTML by capitals only (`Link`, `Col`, `P`), which the grammar takes for these elements.
    """

    def replaced(match: re.Match[str]) -> str:
        whole = match.group()
        if len(whole) == 1:
            return whole if whole == "&" and _ENTITY.match(text, match.start()) else "+"
        name = match.group("name")
        if name is None:
            return whole
        tag = name.replace(".", "-")
        if components and not name.islower() and name.lower() in _RULED_NAMES:
            tag = "z" + tag[1:]
        rest = match.group("rest")
        if "&" in rest:
            rest = re.sub(r"&(?!#?\w+;)", "+", rest)
        return f"{whole[: whole.index(name)]}{tag}{rest}>"

    text = _TEXT_ONLY.sub(lambda match: match.group(1) + re.sub(r"[<>&]", "+", match.group(2)), text)
    # A comment that is never closed costs the grammar quadratic time; browsers take it as the rest of the page.
    closed = text.rfind("-->") + 3 if "-->" in text else 0
    return _PIECE.sub(replaced, text[:closed] + text[closed:].replace("<!--", "    "))


def closing_brace(text: str, opening: int) -> int:
    """The offset just past the brace that closes the one at `opening`; the end of the text when none does."""
    depth, at = 0, opening
    while at < len(text):
        ahead = _SKIPPED_AHEAD.match(text, at)
        if ahead:
            at = ahead.end()
            if at >= len(text):
                break
        char = text[at]
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return at + 1
        elif char in "'\"`":
            at = _string_end(text, at) - 1
        elif text.startswith("/*", at):
            end = text.find("*/", at)
            at = len(text) if end < 0 else end + 1
        at += 1
    return len(text)


def _string_end(text: str, opening: int) -> int:
    quote, at = text[opening], opening + 1
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == quote:
            return at + 1
        if text[at] == "\n" and quote != "`":
            return opening + 1  # An apostrophe in prose, not a string.
        at += 1
    return opening + 1


def _in_tag(whole: str, at: int, before: str, masked: Masked) -> str:
    if before.rstrip().endswith("=") and len(whole) >= 2:
        return '"' + _filler(whole[1:-1]) + '"'
    masked.inline.append((at, whole[1:-1].strip()))
    return _blank(whole)


def _in_text(whole: str, at: int, masked: Masked, open_blocks: list[tuple[str, int]]) -> str:
    opened = _BLOCK_OPEN.match(whole)
    if opened:
        if len(open_blocks) < _BLOCKS_DEPTH_MAX:
            open_blocks.append((opened.group(1), at))
        return _blank(whole)
    closed = _BLOCK_CLOSE.match(whole)
    if closed:
        while open_blocks:
            kind, start = open_blocks.pop()
            masked.blocks.append((kind, start, at))
            if kind == closed.group(1):
                break
        return _blank(whole)
    inner = whole[1:].lstrip()
    if inner.startswith("@html"):
        masked.raw_html.append((at, inner[5:].rstrip("} \n\t")))
        return _filler(whole)
    if inner.startswith((":", "@const", "@debug")) or (inner.startswith("/*") and inner.endswith("*/}")):
        return _blank(whole)
    return _filler(whole)


def _filler(text: str) -> str:
    return re.sub(r"[^\n]", DYNAMIC, text)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
