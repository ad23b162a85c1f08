"""Credentials in the bytes of a record: written over by asterisks, so that all else stands where it stood."""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Final

from processors.redaction.finding import find, find_in_bytes
from processors.redaction.streaming import keys_in

MASK: Final = b"*"


def masked(data: bytes, texts: Iterable[str] | None = None) -> bytes:
    """Return bytes of the same length, in which each credential is written over.

    Args:
        data: a record's value, its key or a header.
        texts: those that it holds, where it can be read; None: it is looked for in the bytes themselves.
    """
    if texts is None:
        found = [(span.start, span.end) for span in find_in_bytes(data)]
        for start, end in [*found, *keys_in(data.decode("latin-1"))]:
            data = data[:start] + MASK * (end - start) + data[end:]
        return data
    for text in texts:
        places = [(span.start, span.end) for span in find(text)]
        for start, end in [*places, *keys_in(text)]:
            said = text[start:end].encode(errors="surrogatepass")
            data = data.replace(said, MASK * len(said))
    return data


def agree(kept: bytes, original: bytes) -> bool:
    """Tell whether bytes that may be masked are the beginning of others."""
    if original.startswith(kept):
        return True
    return len(kept) <= len(original) and all(
        one in (other, MASK[0]) for one, other in zip(kept, original, strict=False)
    )


def texts_of(value: object) -> Iterable[str]:
    """Tell every text that an event's body holds."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from texts_of(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from texts_of(getattr(value, field.name))
