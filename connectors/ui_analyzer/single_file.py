"""Splits Vue and Svelte single-file components into blocks that keep every byte where it was."""

import re
from dataclasses import dataclass

# The alternatives start with different characters, so that matching stays linear on hostile input.
_ATTRIBUTES = r"""((?:"[^"]*"|'[^']*'|[^>"'])*)"""
_OPENING = re.compile(rf"<(script|style)(?![\w.-]){_ATTRIBUTES}>")
_OPENING_OF_PAGES = re.compile(_OPENING.pattern, re.IGNORECASE)
"""In a page capitals do not matter; in a component `<Script>` is another component."""
_TEMPLATE = re.compile(rf"<template(?![\w.-]){_ATTRIBUTES}>")
BLOCKS_MAX = 200
"""Script and style blocks that are read in one file."""
_LANG = re.compile(r"""\blang\s*=\s*["']?([\w-]+)""")


@dataclass(frozen=True, slots=True)
class Block:
    """A script or style block; `start` and `end` bound its content."""

    kind: str
    lang: str
    """The `lang` attribute, or ""."""
    attributes: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Parts:
    """A component in parts; offsets count bytes (one latin-1 character per byte)."""

    blocks: tuple[Block, ...]
    template: str
    """The template with everything else blanked."""
    template_lang: str


def split(text: str, flavour: str) -> Parts:
    """Split `text` (one character per byte) of a `vue` or `svelte` file, or the inline blocks of `html`."""
    searched = _without_comments(text)
    blocks: list[Block] = []
    markup = searched
    at = 0
    pattern = _OPENING_OF_PAGES if flavour == "html" else _OPENING
    while len(blocks) < BLOCKS_MAX and (opening := pattern.search(searched, at)):
        kind = opening.group(1).lower()
        attributes = opening.group(2)
        if attributes.rstrip().endswith("/"):
            at = opening.end()
            continue
        closing = re.compile(rf"</{kind}\s*>", re.IGNORECASE).search(searched, opening.end())
        end = closing.start() if closing else len(searched)
        lang = _LANG.search(attributes)
        blocks.append(Block(kind, lang.group(1).lower() if lang else "", attributes, opening.end(), end))
        at = closing.end() if closing else len(searched)
        if flavour != "html":
            markup = markup[: opening.start()] + _blank(searched[opening.start() : at]) + markup[at:]
        else:
            markup = markup[: opening.end()] + _blank(searched[opening.end() : end]) + markup[end:]
    if flavour != "vue":
        return Parts(tuple(blocks), markup, "")
    return Parts(tuple(blocks), *_vue_template(markup))


def only(text: str, block: Block) -> str:
    """The content of a block with everything around it blanked, so that positions stay those of the file."""
    return _blank(text[: block.start]) + text[block.start : block.end]


def _without_comments(text: str) -> str:
    out: list[str] = []
    at = 0
    while (start := text.find("<!--", at)) >= 0:
        end = text.find("-->", start + 4)
        if end < 0:
            break
        out.append(text[at:start])
        out.append(_blank(text[start : end + 3]))
        at = end + 3
    return "".join([*out, text[at:]])


def _vue_template(markup: str) -> tuple[str, str]:
    opening = _TEMPLATE.search(markup)
    if opening is None:
        return _blank(markup), ""
    end = markup.lower().rfind("</template")
    if end < opening.end():
        end = len(markup)
    lang = _LANG.search(opening.group(1))
    body = _blank(markup[: opening.end()]) + markup[opening.end() : end]
    return body, lang.group(1).lower() if lang else ""


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
