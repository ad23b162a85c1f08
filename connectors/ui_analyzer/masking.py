"""Masks template expressions byte for byte, so that an HTML parser sees plain HTML at the same positions."""

import re
from dataclasses import dataclass, field

from connectors.ui_analyzer.markup import DYNAMIC

_OPENERS = re.compile(r"\{\{|<%|\{%|<\?")
_CLOSERS = {"{{": "}}", "<%": "%>", "{%": "%}", "<?": "?>"}
_BLOCKS_DEPTH_MAX = 200
_BLOCK_OPEN = re.compile(r"\{\s*#(if|each|await|key|snippet)\b")
_BLOCK_CLOSE = re.compile(r"\{\s*/(if|each|await|key|snippet)\b")
_TAG_NAME = re.compile(r"</?[A-Za-z][\w-]*\.[\w.-]*")
_AMPERSAND = re.compile(r"&(?!#?\w+;)")
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


def mask_mustaches(text: str) -> Masked:
    """Mask `{{ … }}` and server-side `<% … %>`, `{% … %}`, `<? … ?>`."""
    out: list[str] = []
    unclosed: set[str] = set()
    at = 0
    for opener in _OPENERS.finditer(text):
        kind = opener.group()
        if opener.start() < at or kind in unclosed:
            continue
        end = text.find(_CLOSERS[kind], opener.end())
        if end < 0:
            unclosed.add(kind)  # Searching again from every further opener would be quadratic.
            continue
        out.append(text[at : opener.start()])
        out.append(_filler(text[opener.start() : end + 2]))
        at = end + 2
    out.append(text[at:])
    return Masked(_tidied("".join(out)))


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
    masked.text = _tidied("".join(out))
    return masked


def _tidied(text: str) -> str:
    """Write dots in tag names and stray ampersands so that the HTML grammar accepts them."""
    dotted = _TAG_NAME.sub(lambda match: match.group().replace(".", "-"), text)
    last = dotted.rfind("-->")
    # A comment that is never closed costs the grammar quadratic time; browsers take it as the rest of the page.
    tail = dotted[last + 3 :] if last >= 0 else dotted
    return _AMPERSAND.sub("+", dotted[: len(dotted) - len(tail)] + tail.replace("<!--", "    "))


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
