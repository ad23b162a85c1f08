"""Tells what is a credential from what only stands where one could: placeholders, names in code, digests."""

import base64
import binascii
import math
import re
from collections import Counter
from itertools import pairwise
from typing import Final

_FILLED_IN: Final = re.compile(
    r"example|sample|dummy|placeholder|changeme|change_me|replace|redacted|your[_-]|_your|insert|todo|fake|"
    r"x{4,}|\*{3,}|\.{3,}|0{8,}|1234567|abcdef|deadbeef|foobar|test[_-]?(?:token|key|secret|pass)",
    re.IGNORECASE,
)
_RUN_MIN: Final = 9
"""So many characters that follow one another in the alphabet are nobody's secret."""
_DISTINCT_MIN: Final = 7
_PREFIX: Final = 12
"""The first characters of a credential may be the issuer's, and tell nothing of the rest."""
_ORDINARY: Final = frozenset(
    {"passwd", "secret", "guest", "admin", "postgres", "postgresql", "mysql", "redis", "rabbitmq", "default"}
    | {"password", "undefined", "optional", "required", "string", "token", "username"}
)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX: Final = re.compile(r"(?:0x)?[0-9a-fA-F]+")
_CODE: Final = re.compile(
    # A variable, a template, a path of names or of a file, a name.
    r"\$\w+|%\(?\w{0,12}\)?s?|[/~.@&].*|[*!#^?=:]+.{0,3}|(?:[A-Za-z_]\w*[.:/-]{1,2})+\w*[?!=:]*"
    r"|[A-Za-z_]+[0-9]{0,2}[?!=:]*",
    re.ASCII,
)
_TEMPLATE: Final = re.compile(r"\$\w+|%\(?\w{0,12}\)?s?|\*+", re.ASCII)
_MADE: Final = re.compile(r"[A-Za-z0-9+/=]{24,}")
"""No name has so many characters without a break."""
_NAME_IN_CODE: Final = re.compile(r"[A-Za-z_]+[0-9]{1,3}[A-Za-z_]+")


def is_filled_in(secret: str) -> bool:
    """Tell whether a text of a credential's form is a placeholder, as documentation has them."""
    if _FILLED_IN.search(secret):
        return True
    rest = secret[_PREFIX:] if len(secret) > 2 * _PREFIX else secret
    return len(set(rest)) < _DISTINCT_MIN or _has_run(rest)


def is_secret(kind: str, before: str, secret: str) -> bool:
    """Tell whether what stands in the place of a credential is one.

    Args:
        kind: as it would be told.
        before: what names the place, up to the credential.
        secret: what stands there.
    """
    if secret.isalpha() and kind != "authorization" and "://" not in before:
        return False
    lowered = secret.lower()
    if kind == "signed address":
        return not is_filled_in(secret)
    if lowered in _ORDINARY or _FILLED_IN.search(secret):
        return False
    if kind == "password" and "://" in before:
        user = before.rpartition("://")[2].rstrip(":").lower()
        return lowered != user and not _TEMPLATE.fullmatch(secret)
    if kind == "authorization" and before.lower().startswith("basic"):
        return _is_basic(secret)
    if _UUID.fullmatch(secret) or (_CODE.fullmatch(secret) and not _is_made(secret)):
        return False
    if before[-1:] not in ("'", '"', "`") and _NAME_IN_CODE.fullmatch(secret):
        return False
    if kind == "password":
        return _classes(secret) >= 3 or (len(secret) >= 12 and _classes(secret) >= 2 and _is_mixed(secret))
    if _HEX.fullmatch(secret):
        # Digests are as long, and many names that end in token or secret hold one; a key is none.
        return kind in ("key", "secret") and len(secret) in (32, 40, 48, 64, 128) and not _has_run(secret)
    return secret.isascii() and len(secret) >= 16 and _is_mixed(secret) and not _has_run(secret)


def _is_made(secret: str) -> bool:
    found = _MADE.search(secret)
    return found is not None and _classes(found[0]) >= 3 and sum(map(str.isdigit, found[0])) >= 2


def _is_mixed(secret: str) -> bool:
    """Tell whether a text looks made by chance: letters and digits, and more of them than words have."""
    if not any(map(str.isdigit, secret)) or not any(map(str.isalpha, secret)):
        return False
    counts = Counter(secret)
    bits = -sum(count / len(secret) * math.log2(count / len(secret)) for count in counts.values())
    return bits >= min(3.6, math.log2(len(secret)) * 0.82)


def _is_basic(secret: str) -> bool:
    try:
        text = base64.b64decode(secret + "=" * (-len(secret) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    user, colon, password = text.partition(b":")
    return bool(colon) and len(password) > 1 and text.isascii() and user.decode("ascii").isprintable()


def _classes(secret: str) -> int:
    return sum(
        (
            any(map(str.islower, secret)),
            any(map(str.isupper, secret)),
            any(map(str.isdigit, secret)),
            any(not one.isalnum() for one in secret),
        )
    )


def _has_run(secret: str) -> bool:
    length = 1
    for before, after in pairwise(secret):
        length = length + 1 if ord(after) - ord(before) == 1 else 1
        if length >= _RUN_MIN:
            return True
    return False
