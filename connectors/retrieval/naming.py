"""Names of documents: the path below a collection, written so that an answer can cite it.

An answer cites a passage as `[name#3]`, so a name may hold no brackets and nothing that a person cannot see.
What a file's name has of those is written as in addresses, %5B for [, and no two files get one name.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Final

NAME_CHARACTERS_MAX: Final = 250
COLLECTION_CHARACTERS_MAX: Final = 100
HEAD_CHARACTERS: Final = 200
"""What a name that was too long still begins with; the rest is a digest and the suffix."""

# A percent sign that could be read as the beginning of such a code is written as one itself.
_AMBIGUOUS_PERCENT: Final = re.compile(r"%(?=[0-9A-Fa-f]{2})")
_SUFFIX_CHARACTERS_MAX: Final = 20
_DIGEST_CHARACTERS: Final = 16


class CollectionNameInvalid(ValueError):
    """A collection cannot have this name; the message says why."""


def citable(path: str) -> str:
    """Write a path so that it can be cited; what is citable already stays as it is, composed (NFC)."""
    text = unicodedata.normalize("NFC", _AMBIGUOUS_PERCENT.sub("%25", path))
    if text.isprintable() and "[" not in text and "]" not in text:
        return text
    return "".join(
        character if character.isprintable() and character not in "[]" else _encoded(character)
        for character in text
    )


def document_names(collection: str, paths: Sequence[str]) -> list[str]:
    """Return the documents' names for files by their paths below the folder, each unlike all others.

    Args:
        paths: with `/`; bytes that are not UTF-8 as the file system's surrogates.
    """
    names = [citable(path) for path in paths]
    seen = Counter(names)
    # Names that differ only in how accents are written: the one that is not composed is written out.
    names = [
        name if seen[name] == 1 or unicodedata.is_normalized("NFC", path) else _written_out(path)
        for name, path in zip(names, paths, strict=True)
    ]
    return [_bounded(f"{collection}/{name}", path) for name, path in zip(names, paths, strict=True)]


def folder_covers(folder: str, document: str) -> bool:
    """Tell whether a document is, or may be, below a folder of this name, which ends with `/`.

    Of names that were too long only the beginnings can be compared: then the answer may be a wrong yes.
    """
    return document[:HEAD_CHARACTERS].startswith(folder[:HEAD_CHARACTERS])


def demand_collection_name(name: str) -> None:
    """Refuse a name that cannot begin the names of documents.

    Raises:
        CollectionNameInvalid: it is empty, too long, or has characters that cannot be cited.
    """
    if not name.strip() or name != name.strip():
        raise CollectionNameInvalid("a collection's name is not empty, and begins and ends with no space")
    if len(name) > COLLECTION_CHARACTERS_MAX:
        raise CollectionNameInvalid(f"a collection's name has at most {COLLECTION_CHARACTERS_MAX} characters")
    if citable(name) != unicodedata.normalize("NFC", name) or "/" in name:
        raise CollectionNameInvalid("a collection's name has no slashes, brackets or control characters")


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in os.fsencode(character))


def _written_out(path: str) -> str:
    return "".join(
        _encoded(character) if unicodedata.combining(character) else citable(character)
        for character in _AMBIGUOUS_PERCENT.sub("%25", path)
    )


def _bounded(name: str, path: str) -> str:
    if len(name) <= NAME_CHARACTERS_MAX:
        return name
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:_DIGEST_CHARACTERS]
    suffix = os.path.splitext(name)[1]
    return f"{name[:HEAD_CHARACTERS]}~{digest}{suffix if len(suffix) <= _SUFFIX_CHARACTERS_MAX else ''}"
