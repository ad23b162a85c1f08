"""The vectors of an embedding answer, checked in one place: their number, order, length and numbers.

Servers that are only nearly compatible leave the index out or repeat it, call the list by another name, write
numbers as Base64 although floats were asked for, or give a vector for each token.
"""

import base64
import binascii
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Final

from connectors.models.values import index_of, list_of, mapping_of

_FLOAT_BYTES: Final = 4
_FLOAT32_MAX: Final = 3.4e38
"""What a stored vector can hold; a larger number counts as infinite."""


class VectorsUnsound(Exception):
    """An answer holds no vectors that could be used; the text says why."""


def read_vectors(answer: object, count: int, dimensions: int) -> tuple[tuple[float, ...], ...]:
    """Return the vectors of an answer, in the order of the texts.

    Args:
        answer: the JSON as it came.
        count: how many texts were sent.
        dimensions: how many numbers each vector has to have.

    Raises:
        VectorsUnsound: there are more or fewer, their order cannot be known, or a vector cannot be used.
    """
    entries = _entries(answer)
    if len(entries) != count:
        raise VectorsUnsound(f"{count} vectors were asked for, {len(entries)} came")
    vectors: list[tuple[float, ...] | None] = [None] * count
    for place, index in enumerate(_order(entries)):
        vectors[index] = _vector(entries[place], place, dimensions)
    return tuple(vector for vector in vectors if vector is not None)


def filled_up(vector: Sequence[float], dimensions: int) -> tuple[float, ...]:
    """Return the vector with zeros at its end; neither its length nor any cosine changes."""
    return (*vector, *[0.0] * (dimensions - len(vector)))


def _entries(answer: object) -> Sequence[object]:
    if isinstance(answer, list):
        return answer
    found = mapping_of(answer)
    return list_of(found.get("data")) or list_of(found.get("embeddings"))


def _order(entries: Sequence[object]) -> Sequence[int]:
    """Return the place of each entry's text; where nobody has an index, they come in order."""
    given = [mapping_of(entry).get("index") for entry in entries]
    if all(index is None for index in given):
        return range(len(entries))
    indexes = [index_of(index) for index in given]
    known = [index for index in indexes if index is not None]
    if sorted(known) == list(range(len(entries))):
        return known
    if sorted(known) == list(range(1, len(entries) + 1)):
        return [index - 1 for index in known]
    raise VectorsUnsound(f"whose vectors they are cannot be known: their indexes are {given[:10]}")


def _vector(entry: object, place: int, dimensions: int) -> tuple[float, ...]:
    value: object = entry
    if isinstance(entry, Mapping):
        value = entry.get("embedding", entry.get("vector", entry.get("values")))
    numbers = _decoded(value) if isinstance(value, str) else list_of(value)
    if len(numbers) == 1 and isinstance(numbers[0], list):
        numbers = numbers[0]
    if numbers and isinstance(numbers[0], list):
        raise VectorsUnsound(f"vector {place} is one for each token: the server has to pool them")
    if len(numbers) != dimensions:
        raise VectorsUnsound(f"vector {place} has {len(numbers)} numbers, {dimensions} are configured")
    return tuple([_number(number, place) for number in numbers])


def _number(value: object, place: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise VectorsUnsound(f"vector {place} holds {value!r}, which is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not abs(number) <= _FLOAT32_MAX:
        raise VectorsUnsound(f"vector {place} holds {number}, which is not finite")
    return number


def _decoded(text: str) -> Sequence[object]:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ()
    if len(data) % _FLOAT_BYTES:
        return ()
    return struct.unpack(f"<{len(data) // _FLOAT_BYTES}f", data)
