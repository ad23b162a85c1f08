"""Rewrites valid source that the grammars do not know yet, byte for byte, so that every position stays.

Only what the parser sees is rewritten; names and texts are read from the original.
"""

import re

_ENTITY = rb"#\d+;|#[xX][0-9a-fA-F]+;|[A-Za-z][A-Za-z0-9]*;"
# One `|` for one `&` means the same to a grammar: in JSX it is text, in expressions an operator, in types a union.
_AMPERSAND = re.compile(rb"(?<!&)&(?![&=]|" + _ENTITY + rb")")
_BLANKED = (
    re.compile(rb"(?<=\bexport )type(?= +\*)"),
    re.compile(rb"(?<=\bimport )defer(?= +\*)"),
    re.compile(
        rb"(?m)(?:(?<=[{;]) *|^[ \t]*)(?:(?:public|private|protected|static|override) +)*\baccessor(?= +[\w#[])"
    ),
    re.compile(rb"(?<=[<,])\s*(?:in +out|in|out)(?= +[A-Z])"),
    re.compile(rb"(?<=['\"])\s+assert\s*\{[^{}]*\}(?=\s*(?:;|$))", re.MULTILINE),
)
_RESERVED = (
    rb"class|for|default|in|if|else|do|new|this|typeof|var|void|while|with|const|case|delete|enum|export|extends|function|return|"
    rb"super|switch|throw|try|null|true|false|import"
)
_RESERVED_ATTRIBUTE = re.compile(rb"(?<=[\s\"'}])(?:" + _RESERVED + rb")(?=\s?=\s?[{\"'])")
"""A word of the language that names an attribute of JSX, as Preact and Solid write `class`: no assignment begins so."""
_RESERVED_ALONE = re.compile(rb"\s*\.?(?:" + _RESERVED + rb")\s*")
_IMPORTED_TYPE = re.compile(rb"\bimport\(\s*(?:'[^'\n]*'|\"[^\"\n]*\")\s*\)\s*\.\s*(?=[A-Z])")


def repaired(source: bytes) -> bytes:
    """Source of the same length in which newer syntax is written in older words."""
    for pattern in _BLANKED:
        source = pattern.sub(lambda match: re.sub(rb"[^\n]", b" ", match.group()), source)
    source = _RESERVED_ATTRIBUTE.sub(lambda match: b"x" * len(match.group()), source)
    # `import("./a").Shape` is a name like any other to those who only want to read on.
    source = _IMPORTED_TYPE.sub(lambda match: b"I" * len(match.group()), source)
    return _AMPERSAND.sub(b"|", source)


def reworded(source: bytes, ranges: list[tuple[int, int]]) -> bytes:
    """Source of the same length in which what was not understood holds no `&`, and is no word of the language by itself.

    The one is text of JSX such as `a && b`, the other an attribute such as `switch`, or part of a name such as `<Page.default>`.
    """
    out = bytearray(source)
    for start, end in ranges:
        part = bytes(out[start:end])
        alone = _RESERVED_ALONE.fullmatch(part) is not None
        out[start:end] = re.sub(rb"\w", b"x", part) if alone else part.replace(b"&", b"|")
    return bytes(out)
