"""What providers say when they fail: by a status, in a body of JSON, on a page, in an event of a stream."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Final

from connectors.models.values import list_of, mapping_of, mended, text_of
from schemas.ports.chat import ConnectorError, ProviderFailed, RequestInvalid

MESSAGE_CHARACTERS_MAX: Final = 500
RETRY_AFTER_MS_MAX: Final = 3_600_000
"""A provider that asks for more is taken to ask for an hour."""
_TIMEOUT_STATUSES: Final = frozenset({408, 504, 524})
_QUOTA_CODES: Final = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance", "billing_not_active"}
)
_CONTEXT_CODES: Final = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
)
_CONTEXT_WORDS: Final = re.compile(
    r"(?:maximum|max|exceeds?|exceeded|beyond|than)[^.]{0,60}\bcontext (?:length|size|window)"
    r"|context (?:length|size|window)[^.]{0,40}\bexceed|prompt is too long|input token count[^.]{0,40}exceed",
    re.IGNORECASE,
)
# Some servers answer 500 to what they will never take.
_REQUEST_WORDS: Final = re.compile(r"unsupported param|requires? (?:the )?--", re.IGNORECASE)
# Codes in words, as they stand where a status should, and the statuses that they mean.
_STATUS_BY_WORD: Final = (
    ("rate_limit", 429),
    ("ratelimit", 429),
    ("too_many_requests", 429),
    ("throttl", 429),
    ("resource_exhausted", 429),
    ("quota", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("timeout", 504),
    ("deadline_exceeded", 504),
    ("authentication", 401),
    ("unauthenticated", 401),
    ("invalid_api_key", 401),
    ("permission", 403),
    ("not_found", 404),
    ("context_length", 400),
    ("invalid_request", 400),
    ("invalid_argument", 400),
    ("bad_request", 400),
    ("badrequest", 400),
    ("unsupported", 400),
    ("server_error", 500),
    ("internal", 500),
    ("api_error", 500),
)
_MESSAGES: Final = ("message", "detail", "msg", "error_msg", "status_msg")
_CODES: Final = ("code", "status_code", "error_code")
_WELL: Final = frozenset({"0", "200"})
_RATE_WORDS: Final = re.compile(r"rate.?limit|too many requests", re.IGNORECASE)
_WAIT: Final = re.compile(
    r"(?:try again|retry)(?: again)? in (\d{1,7}(?:\.\d{1,9})?) ?(ms|s|seconds?|m)\b", re.IGNORECASE
)
_DELAY: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(ms|s|m)?\Z")
_TAG: Final = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_TITLE: Final = re.compile(r"<(title|h1)\b[^>]*>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)
_PAGE_CHARACTERS_MAX: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A provider's own words on a failure."""

    message: str
    status: int | None = None
    """As of HTTP, where the words tell it or the response had it."""
    code: str = ""
    """In lower case; the type where there is no code."""
    parameter: str = ""
    """The parameter of the request that is refused."""
    retry_after_ms: int | None = None


def said_in(value: object) -> Said | None:
    """Return the error that a JSON value tells of, or None when it is none.

    OpenAI's `{"error": {"message", "type", "code"}}`, the same in a list, a text in its place, vLLM's
    `{"object": "error"}`, FastAPI's `detail`, and a bare message beside a code, or within `base_resp`,
    without any choices.
    """
    if isinstance(value, list):
        found = (said_in(item) for item in value)
        return next((said for said in found if said is not None), None)
    outer = mapping_of(value)
    inner = outer.get("error")
    if inner:
        return _said(inner, outer)
    if outer.get("choices") or outer.get("data"):
        return None
    response = mapping_of(outer.get("base_resp"))
    if _code(response) and _message(response):
        return _said(response, response)
    if outer.get("object") == "error" or outer.get("type") == "error" or (_code(outer) and _message(outer)):
        return _said(outer, outer)
    told = outer.get("detail") or outer.get("errors")
    return _said(told, outer) if told else None


def said_by_page(text: str) -> Said:
    """Return what a page, or any text that is no JSON, says: its title or heading, else its beginning."""
    page = text[:_PAGE_CHARACTERS_MAX]
    titles = [_plain(match.group(2)) for match in _TITLE.finditer(page)]
    told = ": ".join(dict.fromkeys(title for title in titles if title)) or _plain(page)
    return Said(message=short(told) or "nothing")


def said_in_text(text: str) -> Said:
    """Return what the body of a failed request says."""
    try:
        value = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return said_by_page(text)
    return said_in(value) or Said(message=short(text.strip()) or "nothing")


def failure_of(said: Said, what: str) -> ConnectorError:
    """Return what a refusal means here: none of them was answered, nor billed, but for a timeout."""
    # What is refused stands beside the message with some, and decides how the request is put next.
    told = f"{said.parameter}: {said.message}" if said.parameter not in said.message else said.message
    status, message = said.status or 500, f"{what}: HTTP {said.status}: {short(told)}"
    if said.status is None:
        message = f"{what}: {short(told)}"
    if status == 402 or said.code in _QUOTA_CODES:
        return ProviderFailed("refused", message, retryable=False)
    if said.code in _CONTEXT_CODES or (
        status in (400, 413, 422, 500) and _CONTEXT_WORDS.search(said.message)
    ):
        return RequestInvalid("prompt_too_long", message, retryable=False)
    if status == 429:
        return ProviderFailed("rate_limited", message, retryable=True, retry_after_ms=said.retry_after_ms)
    if status in _TIMEOUT_STATUSES:
        return ProviderFailed("timeout", message, retryable=True, maybe_billed=True)
    if status == 500 and _REQUEST_WORDS.search(said.message):
        return RequestInvalid("invalid_request", message, retryable=False)
    if (status >= 500 and status != 501) or status in (409, 425):
        return ProviderFailed("provider_error", message, retryable=True, retry_after_ms=said.retry_after_ms)
    if status in (401, 403):
        return RequestInvalid("refused", message, retryable=False)
    return RequestInvalid("invalid_request", message, retryable=False)


def retry_after_ms(headers: Mapping[str, str], now_s: float) -> int | None:
    """Return how long a provider asks us to wait: milliseconds, seconds, a duration such as 2s, or a date.

    A date counts from the response's own, so that clocks may differ. Never more than RETRY_AFTER_MS_MAX.
    """
    for header, factor in (("retry-after-ms", 1), ("retry-after", 1_000)):
        text = headers.get(header, "").strip()
        wait_ms = _duration_ms(text, factor)
        if wait_ms is not None:
            return wait_ms
        until_s = _date_s(text)
        if until_s is not None:
            since_s = _date_s(headers.get("date", ""))
            return _capped((until_s - (now_s if since_s is None else since_s)) * 1_000)
    return None


def _date_s(text: str) -> float | None:
    try:
        date = parsedate_to_datetime(text)
        # HTTP's dates are UTC, whether they say so or not.
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _capped(wait_ms: float) -> int:
    return round(min(max(wait_ms, 0), RETRY_AFTER_MS_MAX))


def short(text: str) -> str:
    """Return a text that fits a message."""
    text = mended(text)
    return text if len(text) <= MESSAGE_CHARACTERS_MAX else text[: MESSAGE_CHARACTERS_MAX - 1] + "…"


def _said(error: object, outer: Mapping[str, object]) -> Said:
    inner = mapping_of(error)
    message = text_of(error) or _message(inner)
    # A gateway quotes whom it asked, whose words say more than its own.
    raw = text_of(mapping_of(inner.get("metadata")).get("raw"))
    message = message or _message(outer) or json.dumps(error, ensure_ascii=False)
    if raw and raw not in message:
        message = f"{message}: {raw}"
    code = _code(inner) or _code(outer)
    words = (code, text_of(inner.get("type")), text_of(inner.get("status")), text_of(outer.get("type")))
    return Said(
        message=message,
        status=_status(words) or (429 if _RATE_WORDS.search(message) else None),
        code=_name_of_code(words),
        parameter=text_of(inner.get("param")),
        retry_after_ms=_wait_ms(message, inner),
    )


def _message(value: Mapping[str, object]) -> str:
    return next((text for name in _MESSAGES if (text := text_of(value.get(name)))), "")


def _code(value: Mapping[str, object]) -> str:
    """Return the code of a failure; '' where there is none, or it says that there was none."""
    code = next((value[name] for name in _CODES if name in value), None)
    if isinstance(code, int) and not isinstance(code, bool):
        code = str(code)
    return "" if code in _WELL else text_of(code)


def _name_of_code(words: tuple[str, ...]) -> str:
    names = [word.lower() for word in words if word and not word.isdigit()]
    known = [name for name in names if name in _QUOTA_CODES | _CONTEXT_CODES]
    return (known or names or [""])[0]


def _status(words: tuple[str, ...]) -> int | None:
    for word in words:
        if word.isdigit() and len(word) == 3 and 400 <= int(word) <= 599:
            return int(word)
    told = [word.lower() for word in words if word]
    return next((status for piece, status in _STATUS_BY_WORD if any(piece in word for word in told)), None)


def _wait_ms(message: str, error: Mapping[str, object]) -> int | None:
    for detail in list_of(error.get("details")):
        delay = text_of(mapping_of(detail).get("retryDelay"))
        if delay and (wait_ms := _duration_ms(delay, 1_000)) is not None:
            return wait_ms
    match = _WAIT.search(message)
    return (
        _duration_ms(match.group(1) + match.group(2)[:2].rstrip("e").replace("se", "s"), 1_000)
        if match
        else None
    )


def _duration_ms(text: str, factor: int) -> int | None:
    match = _DELAY.match(text.strip())
    if match is None:
        return None
    number, unit = float(match.group(1)), match.group(2)
    return _capped(number * {"ms": 1, "s": 1_000, "m": 60_000}.get(unit or "", factor))


def _plain(html: str) -> str:
    return " ".join(unescape(_TAG.sub(" ", html)).split())
