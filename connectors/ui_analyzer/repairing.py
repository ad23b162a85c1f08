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
_IMPORTED_TYPE = re.compile(rb"\bimport\(\s*(?:'[^'\n]*'|\"[^\"\n]*\")\s*\)\s*\.\s*(?=[A-Z])")


def repaired(source: bytes) -> bytes:
    """Source of the same length in which newer syntax is written in older words."""
    for pattern in _BLANKED:
        source = pattern.sub(lambda match: re.sub(rb"[^\n]", b" ", match.group()), source)
    # `import("./a").Shape` is a name like any other to those who only want to read on.
    source = _IMPORTED_TYPE.sub(lambda match: b"I" * len(match.group()), source)
    return _AMPERSAND.sub(b"|", source)


def without_ampersands(source: bytes, ranges: list[tuple[int, int]]) -> bytes:
    """Source of the same length in which what was not understood holds no `&`: text of JSX such as `a && b`."""
    out = bytearray(source)
    for start, end in ranges:
        out[start:end] = out[start:end].replace(b"&", b"|")
    return bytes(out)
