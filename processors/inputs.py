"""What an input may say: the same rules for whatever takes inputs in."""

import json
import re
from collections.abc import Callable
from typing import Final, TypeVar

from processors import forking
from processors.approvals.binding import arguments_of
from processors.objections import EVERY_TENANT
from processors.open_outcomes import RESULT_CHARACTERS_MAX
from processors.redaction.redactor import PATTERNS_ALONE
from schemas.canonical import NotCanonical
from schemas.configuration import Limits
from schemas.envelope import Envelope
from schemas.events.inputs import (
    ApprovalEdited,
    ApprovalReceived,
    Attachment,
    FeedbackGiven,
    ForkRequested,
    InputFact,
    MessageReceived,
    OperatorFact,
    OutcomeTold,
    Rating,
    SentFact,
    SessionBudgetSet,
    SessionCancelled,
    SessionClosed,
    SessionForked,
    SessionOpened,
)
from schemas.events.restraints import EVERY_TOOL, RestraintAct
from schemas.frozen import replace
from schemas.ids import derived_id, is_uuid
from topics.catalog import OPERATOR_INPUTS

ATTACHMENTS_MAX: Final = 32
NAME_CHARACTERS_MAX: Final = 200
ACCOUNT_CHARACTERS_MAX: Final = 200
REASON_CHARACTERS_MAX: Final = 2_000
AGENT_CHARACTERS_MAX: Final = 200
TITLE_CHARACTERS_MAX: Final = 500
METADATA_BYTES_MAX: Final = 16_384
AMOUNT_MAX: Final = 2**53 - 1
"""Budgets beyond this are typing errors, and JavaScript could not show them."""

TOOLS_CHARACTERS_MAX: Final = 100
_TOOLS: Final = re.compile(rf"\*|[A-Za-z0-9_-]{{1,{TOOLS_CHARACTERS_MAX}}}")
_COMMANDS: Final[dict[type, str]] = {
    ApprovalReceived: "approvals approve",
    ApprovalEdited: "approvals edit",
    SessionBudgetSet: "budget",
    OutcomeTold: "settle",
}
"""By operator's act the command that writes it."""

Tokenizer = Callable[[str], int]


Said = TypeVar("Said", bound=SentFact | InputFact)


class InputInvalid(Exception):
    """An input is refused, with a sentence for the sender."""


def checked_input(
    event: Envelope,
    place: tuple[str, int, int],
    *,
    taken_at_ms: int,
    producer: str,
    tokenizer: Tokenizer,
    limits: Limits,
) -> Envelope:
    """Return an input as its session gets it: checked, counted, and with the ids that it lacks.

    Args:
        event: as it was sent.
        place: topic, partition and offset; the same place always gives the same ids.
        taken_at_ms: when Kafka took it; what the producer says of the time has no meaning.
        producer: who writes the event where it does not say so itself.
        tokenizer: counts the tokens of a text.
        limits: bounds on texts.

    Raises:
        InputInvalid: it cannot be used; the sentence is for the sender.
    """
    body = event.body
    assert isinstance(body, SentFact)
    if isinstance(body, OperatorFact) and place[0] != OPERATOR_INPUTS.name:
        raise InputInvalid(
            f"{type(body).__name__} is an operator's act: it enters by {OPERATOR_INPUTS.name}, where "
            f"`cartrita {_COMMANDS[type(body)]}` writes it, and not by a topic on which anybody may say who "
            "they are"
        )
    if isinstance(body, SessionForked):
        raise InputInvalid(
            "SessionForked says what another session was, which nobody is believed: ask for a fork by "
            "ForkRequested, which names the session and an event of it, as `cartrita fork` does"
        )
    if event.event_id and not is_uuid(event.event_id):
        raise InputInvalid(
            "event_id is not a UUID in canonical form: 36 characters, lower case, with hyphens"
        )
    event_id = event.event_id or derived_id(*map(str, place))
    if event.session_id and not is_uuid(event.session_id):
        raise InputInvalid(
            "session_id is not a UUID in canonical form: 36 characters, lower case, with hyphens"
        )
    if not event.session_id and not isinstance(body, SessionOpened | MessageReceived | ForkRequested):
        raise InputInvalid(f"{type(body).__name__} needs the session_id of the session it is about")
    return Envelope(
        event_id=event_id,
        type=type(body).__name__,
        # A message or a fork alone opens a session; the same one sent again finds the same one.
        session_id=event.session_id or derived_id(event_id, "session"),
        tenant_id=_account("tenant_id", event.tenant_id, "default"),
        user_id=_account("user_id", event.user_id, "anonymous"),
        correlation_id=event_id,
        occurred_at_ms=taken_at_ms,
        producer=event.producer or producer,
        traceparent=event.traceparent,
        body=_checked_body(cleaned(body), tokenizer, limits),
    )


def cleaned(body: Said) -> Said:
    """Return what is said without hidden text, and with credentials replaced by what kind they are of.

    Raises:
        InputInvalid: what is signed would not be what was signed any more.
    """
    told = PATTERNS_ALONE.fact(body)
    if isinstance(told, ApprovalEdited) and told.arguments_json != getattr(body, "arguments_json", ""):
        raise InputInvalid(
            "arguments_json holds a credential, and none goes on the log: name where the tool finds it"
        )
    return told


def checked_restraint(event: Envelope, *, taken_at_ms: int) -> Envelope:
    """Return an operator's stop, or what takes one back, as every worker gets it.

    Args:
        event: as it was sent to the topic of operators' acts.
        taken_at_ms: when Kafka took it.

    Raises:
        InputInvalid: it cannot be used; the sentence is for the sender.
    """
    body = event.body
    assert isinstance(body, RestraintAct)
    if not _TOOLS.fullmatch(body.name):
        raise InputInvalid(
            f"name is that of a tool or a server, or {EVERY_TOOL} for every tool; it has 1 to "
            f"{TOOLS_CHARACTERS_MAX} letters, digits and '_' or '-'"
        )
    _short("reason", body.reason, REASON_CHARACTERS_MAX)
    if event.tenant_id != EVERY_TENANT:
        raise InputInvalid(
            f"a stop of tools holds for all tenants: tenant_id is {EVERY_TENANT}, for an operator of each"
        )
    return Envelope(
        event_id=event.event_id,
        type=type(body).__name__,
        tenant_id=event.tenant_id,
        user_id=_account("user_id", event.user_id, "anonymous"),
        occurred_at_ms=taken_at_ms,
        producer=event.producer,
        traceparent=event.traceparent,
        body=body,
    )


def _checked_body(body: SentFact, tokenizer: Tokenizer, limits: Limits) -> SentFact:
    match body:
        case MessageReceived():
            return _checked_message(body, tokenizer, limits)
        case ForkRequested():
            return _checked_request(body, tokenizer, limits)
        case SessionOpened():
            _budgets(body)
            _metadata(body)
            _short("title", body.title, TITLE_CHARACTERS_MAX)
        case ApprovalReceived() | ApprovalEdited():
            if not is_uuid(body.approval_id):
                raise InputInvalid("approval_id is not a UUID in canonical form")
            _short("reason", body.reason, REASON_CHARACTERS_MAX)
            if isinstance(body, ApprovalEdited):
                _checked_arguments(body)
        case OutcomeTold():
            if not is_uuid(body.call_id):
                raise InputInvalid("call_id is not a UUID in canonical form")
            if body.result is not None and not body.carried_out:
                raise InputInvalid("result is what a call gave that was carried out; this one was not")
            _short("result", body.result, RESULT_CHARACTERS_MAX)
            _short("reason", body.reason, REASON_CHARACTERS_MAX)
        case SessionBudgetSet():
            _checked_budget(body)
        case FeedbackGiven():
            if not is_uuid(body.answer_id):
                raise InputInvalid("answer_id is not a UUID in canonical form")
            if body.rating not in tuple(Rating):
                raise InputInvalid(f"rating is one of {', '.join(Rating)}")
            _short("comment", body.comment, REASON_CHARACTERS_MAX)
        case SessionCancelled() | SessionClosed():
            _short("reason", body.reason, REASON_CHARACTERS_MAX)
        case SessionForked():
            raise AssertionError("it is refused before")
    return body


def _checked_message(body: MessageReceived, tokenizer: Tokenizer, limits: Limits) -> MessageReceived:
    if not body.text.strip():
        raise InputInvalid("text is empty")
    _short("agent", body.agent, AGENT_CHARACTERS_MAX)
    _budgets(body)
    _metadata(body)
    if len(body.attachments) > ATTACHMENTS_MAX:
        raise InputInvalid(f"there are {len(body.attachments)} attachments; the most is {ATTACHMENTS_MAX}")
    names = [_attachment_name(attachment) for attachment in body.attachments]
    if len(set(names)) != len(names):
        raise InputInvalid("two attachments have the same name")
    size_bytes = sum(len(text.encode()) for text in (body.text, *(one.text for one in body.attachments)))
    if size_bytes > limits.text_bytes_max:
        raise InputInvalid(
            f"text and attachments have {size_bytes:,} bytes; the most is {limits.text_bytes_max:,}"
        )
    return replace(
        body,
        tokens=tokenizer(body.text),
        attachments=tuple(
            replace(attachment, tokens=tokenizer(attachment.text)) for attachment in body.attachments
        ),
    )


def _checked_request(body: ForkRequested, tokenizer: Tokenizer, limits: Limits) -> ForkRequested:
    _budgets(body)
    for name in ("origin_session_id", "origin_event_id", "call_id"):
        value = getattr(body, name)
        if value is not None and not is_uuid(value):
            raise InputInvalid(f"{name} is not a UUID in canonical form")
    _short("model", body.model, NAME_CHARACTERS_MAX)
    if body.text is None and body.call_id is not None:
        raise InputInvalid("call_id needs the result that is put in its place, as text")
    if body.text is not None and body.call_id is None and not body.text.strip():
        raise InputInvalid("text is empty")
    text = body.text or ""
    size_bytes = len(text.encode()) + len((body.policy_json or "").encode())
    if size_bytes > limits.text_bytes_max:
        raise InputInvalid(
            f"text and policy have {size_bytes:,} bytes; the most is {limits.text_bytes_max:,}"
        )
    try:
        forking.policy_of(body.policy_json)
    except forking.ForkInvalid as error:
        raise InputInvalid(str(error)) from error
    return replace(body, tokens=tokenizer(text))


def _checked_arguments(body: ApprovalEdited) -> None:
    try:
        arguments_of(body.arguments_json)
    except NotCanonical as error:
        raise InputInvalid(f"arguments_json: {error}") from error


def _checked_budget(body: SessionBudgetSet) -> None:
    if body.tokens is None and body.nanodollars is None:
        raise InputInvalid("neither tokens nor nanodollars are set")
    for field, amount in (("tokens", body.tokens), ("nanodollars", body.nanodollars)):
        if amount is not None and not 0 <= amount <= AMOUNT_MAX:
            raise InputInvalid(f"{field} is {amount}; it is 0 to {AMOUNT_MAX}")
    _short("reason", body.reason, REASON_CHARACTERS_MAX)


def _account(field: str, text: str, default: str) -> str:
    _short(field, text, ACCOUNT_CHARACTERS_MAX)
    if any(ord(character) < ord(" ") for character in text):
        raise InputInvalid(f"{field} has control characters")
    return text.strip() or default


def _short(field: str, text: str | None, characters_max: int) -> None:
    if text is not None and len(text) > characters_max:
        raise InputInvalid(f"{field} has {len(text):,} characters; the most is {characters_max:,}")


def _budgets(body: MessageReceived | SessionOpened | ForkRequested) -> None:
    for field, amount in (
        ("budget_tokens", body.budget_tokens),
        ("budget_nanodollars", body.budget_nanodollars),
    ):
        if amount is not None and not 1 <= amount <= AMOUNT_MAX:
            raise InputInvalid(f"{field} is {amount}; it is 1 to {AMOUNT_MAX}")


def _metadata(body: MessageReceived | SessionOpened) -> None:
    if body.metadata_json is None:
        return
    if len(body.metadata_json.encode()) > METADATA_BYTES_MAX:
        raise InputInvalid(f"metadata_json has more than {METADATA_BYTES_MAX:,} bytes")
    try:
        metadata = json.loads(body.metadata_json)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise InputInvalid("metadata_json is not a JSON object")


def _attachment_name(attachment: Attachment) -> str:
    name = attachment.name
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX:
        raise InputInvalid(f"an attachment's name has 1 to {NAME_CHARACTERS_MAX} characters")
    if name in (".", "..") or "/" in name or "\\" in name or any(ord(one) < ord(" ") for one in name):
        raise InputInvalid(f"the attachment's name {name[:50]!r} is not a plain file name")
    return name
