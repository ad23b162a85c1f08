"""What people and programs ask for: the facts of the topics where inputs enter, and of `session.inputs`."""

from dataclasses import dataclass

from schemas.events.trust import Trust
from schemas.privacy import Impersonal, Personal
from schemas.words import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A text that came with a message, named so that tools can refer to it."""

    name: Personal
    """File name without a directory, unique within the message; at most 200 characters."""
    media_type: Personal = "text/plain"
    text: Personal
    tokens: int = 0
    """Tokens of `text`; whatever a producer says, the ingress shell counts anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened:
    """A session was opened with settings of its own; without one, the first message opens it."""

    title: Personal | None = None
    budget_tokens: int | None = None
    """Tokens that the session may use in all; absent: the configured default. At least 1."""
    budget_nanodollars: int | None = None
    """Money that the session may use in all, in 10⁻⁹ dollars; absent: the configured default."""
    metadata_json: Personal | None = None
    """A JSON object of the sender's own, kept as it is and read by nobody; at most 16,384 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    """A user said something; it starts a turn, which ends with an answer."""

    text: Personal
    """Not blank; at most the configured maximum of bytes, attachments included."""
    attachments: tuple[Attachment, ...] = ()
    tokens: int = 0
    """Tokens of `text`; whatever a producer says, the ingress shell counts anew."""
    budget_tokens: int | None = None
    """As in SessionOpened; counts only in the message that opens its session."""
    budget_nanodollars: int | None = None
    metadata_json: Personal | None = None
    """As in SessionOpened."""
    agent: Personal | None = None
    """The agent that does the work as one task; absent, or no agent that there is: a plan is made."""
    trust: Trust = Trust.UNKNOWN
    """Of a message that is not all the user's own word: document or claim. Any other value counts as user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalReceived:
    """An approver decided an approval request; it enters by `operator.inputs` alone, and signed.

    The envelope's `user_id` is the approver, and `tenant_id` the tenant for which the approver acts: `*` is
    every one. The signature covers both, and every field but the reason; an unsigned one is refused, and
    stands on logs from before decisions were signed.
    """

    approval_id: Impersonal
    approved: bool
    """For this one call, once: a standing permission is a rule of the policy."""
    reason: Personal | None = None
    digest: Impersonal = ""
    """Of the request that was decided, as its ApprovalRequested tells it."""
    expires_at_ms: int = 0
    """Until when the call may begin to run."""
    nonce: Impersonal = ""
    """Random, 16 to 64 characters; no two decisions have the same."""
    key: Impersonal = ""
    """SHA-256 of the public key whose private one signed, in hexadecimal digits."""
    signature: Impersonal = ""
    """Ed25519, in hexadecimal digits, over the statement that docs/approvals.md tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalEdited:
    """An approver wants a call to be made with other arguments; it enters as ApprovalReceived does.

    It approves nothing: the call is decided and asked for anew with these arguments.
    """

    approval_id: Impersonal
    arguments_json: Personal
    """In the place of those that were asked for; a JSON object."""
    reason: Personal | None = None
    digest: Impersonal
    """Of the request that is replaced."""
    expires_at_ms: int
    nonce: Impersonal
    key: Impersonal
    signature: Impersonal


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeTold:
    """An operator found out what became of a tool call; it enters by `operator.inputs` alone.

    The envelope names the operator as in ApprovalReceived. The agent that asked for the call goes on with it.
    """

    call_id: Impersonal
    """Of the OutcomeAsked that it answers."""
    carried_out: bool
    result: Personal | None = None
    """What the call gave, as far as the operator knows; at most 20,000 characters."""
    reason: Personal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBudgetSet:
    """An operator set what a session may use in all; it enters by `operator.inputs` alone.

    The envelope names the operator as in ApprovalReceived. What counts is what BudgetGranted then says: an
    account that is limited may have less to lend, and what is used and reserved already is the least that a
    budget can be.
    """

    tokens: int | None = None
    """Absent: as many as before. 0 and more."""
    nanodollars: int | None = None
    """In 10⁻⁹ dollars; absent: as much as before."""
    reason: Personal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCancelled:
    """Somebody stopped a session: its tasks and calls in flight are aborted, and it is closed."""

    reason: Personal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed:
    """Nobody will say more in this session: it ends when the turns in progress have ended."""

    reason: Personal | None = None


class Rating(Word):
    """What somebody thinks of an answer."""

    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackGiven:
    """Somebody said what they think of an answer; kept for whoever judges answers, and changes no session."""

    answer_id: Impersonal
    """The event AnswerGiven that it is about."""
    rating: Rating
    comment: Personal | None = None
    """At most 2,000 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkRequested:
    """Somebody wants a new session that goes on from a past point of another one of theirs.

    What the origin was at that point is no part of it: the fork shell reads it from the log.
    """

    origin_session_id: Impersonal
    origin_event_id: Impersonal
    """Where the sessions part: after an event that the origin decided, before one that it was given."""
    text: Personal | None = None
    """What stands in the place of what the origin had: a message, or with `call_id` a tool's result."""
    call_id: Impersonal | None = None
    """The tool call, open at that point, whose result is `text`."""
    tokens: int = 0
    """Tokens of `text`; whatever a producer says, the ingress shell counts anew."""
    model: Impersonal | None = None
    """The one chat model that the fork's calls use; absent: those that are configured."""
    policy_json: Personal | None = None
    """JSON of a Policy that the fork's tool calls have to pass beside the one that is configured."""
    budget_tokens: int | None = None
    """As in SessionOpened."""
    budget_nanodollars: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkRefused:
    """The fork that somebody wanted cannot begin; its session says so to whoever wanted it."""

    origin_session_id: Impersonal
    origin_event_id: Impersonal
    reason: Personal
    """A sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionForked:
    """A new session goes on from a past point of another one, with a budget of its own and no approvals.

    Calls that were in flight at that point are made anew; tasks that had ended keep their results. The fork
    shell writes it, for nobody else is believed what another session was.
    """

    origin_session_id: Impersonal
    origin_event_id: Impersonal
    """The event at which the sessions part; the direct cause of the fork."""
    origin_sequence: int
    """Events of the origin that the fork has in its past."""
    origin_digest: Impersonal
    """Digest of `state_json`; the origin's own event carries the same one."""
    state_json: Personal
    """The origin's state at that point, as its decider wrote it."""
    text: Personal | None = None
    """What stands in the place of what the origin had: a message, or with `call_id` a tool's result."""
    call_id: Impersonal | None = None
    """The tool call, open at that point, whose result is `text`."""
    tokens: int = 0
    """Tokens of `text`; whatever a producer says, the ingress shell counts anew."""
    model: Impersonal | None = None
    """The one chat model that the fork's calls use; absent: those that are configured."""
    policy_json: Personal | None = None
    """JSON of a Policy that the fork's tool calls have to pass beside the one that is configured."""
    budget_tokens: int | None = None
    """As in SessionOpened."""
    budget_nanodollars: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedText:
    """What a conversation of V1 had, by its place on `session.imports`."""

    role: Impersonal
    """As there: user, assistant, tool, system …"""
    partition: int
    offset: int
    event_id: Impersonal
    """Of its MessageImported."""
    tokens: int
    """Of its text; of a long one an upper bound."""
    characters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionImported:
    """A conversation that came over from V1 is gone on with: what V1 says of it is the session's past.

    The ingress shell writes it before the first message, for nobody else is believed what a session was. The
    texts stay where they stand, and no model takes anything in them for an instruction.
    """

    origin: Impersonal
    """Name of the source."""
    title: Personal = ""
    messages: int
    """How many it had there."""
    told: tuple[ImportedText, ...] = ()
    """The latest that users and answers said, oldest first; at most 32."""


OperatorFact = ApprovalReceived | SessionBudgetSet | OutcomeTold | ApprovalEdited
"""Acts of operators: on `user.inputs` they are refused, for there anybody may say who they are."""
SignedFact = ApprovalReceived | ApprovalEdited
"""Acts that approvers sign."""
SentFact = (
    SessionOpened
    | MessageReceived
    | ApprovalReceived
    | SessionCancelled
    | SessionClosed
    | SessionForked
    | SessionBudgetSet
    | ForkRequested
    | FeedbackGiven
    | OutcomeTold
    | ApprovalEdited
)
"""What is read from `user.inputs`; some of it is refused there, and stands on logs from before it was."""
CommandFact = (
    SessionOpened
    | MessageReceived
    | ApprovalReceived
    | SessionCancelled
    | SessionClosed
    | SessionForked
    | SessionBudgetSet
    | ForkRefused
    | OutcomeTold
    | ApprovalEdited
    | SessionImported
)
"""What people and programs tell a session to do."""
InputFact = CommandFact | FeedbackGiven
"""What a session is told by people and programs."""
