"""Text that acts on nothing: what would move a cursor or hide what stands beside it is written out."""

import re
from typing import Final

# Control characters but tab and newline; marks that reorder or hide what stands beside them; halves of
# characters (of bytes that are not text); and the two line ends that only some programs know.
_ACTING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_LINE_END: Final = re.compile("[\n\t]")
# Within JSON's strings, what json leaves as it is and a terminal may act on.
_ACTING_IN_JSON: Final = re.compile("[\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def harmless(text: str) -> str:
    """Return `text` with every character that acts on a terminal written as \\x1b or \\u202e."""
    if text.isprintable():
        return text
    return _ACTING.sub(_written_out, text)


def one_line(text: str) -> str:
    """Return `text` harmless and without line ends: for names, and for all that stands in a line."""
    return _LINE_END.sub(_written_out, harmless(text))


def harmless_json(text: str) -> str:
    """Return JSON with what a terminal may act on, or a stream's encoding lacks, as \\u009b."""
    return _ACTING_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
