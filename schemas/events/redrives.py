"""Records that were put aside are tried again: the facts of `redrives`."""

from dataclasses import dataclass

from schemas.privacy import Impersonal, Personal


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroup:
    """Dead letters that were put aside for the same."""

    code: Impersonal
    topic: Impersonal
    """Of the records, without the configured prefix."""
    schema_id: int | None = None
    """That the values begin with; absent: they are not in the wire format."""
    reason: Personal
    """What the sentences have in common: ids, numbers and quoted texts are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveRequested:
    """An operator wants records that were put aside to be tried again.

    It enters by `operator.inputs` alone; the envelope's `user_id` is the operator. What is wanted is either
    some letters or a group of them, and of either what the operator may know of.
    """

    letters: tuple[Impersonal, ...] = ()
    """Event ids of dead letters."""
    group: LetterGroup | None = None
    put_aside_until_ms: int | None = None
    """Milliseconds since 1970; letters of later are left alone. Absent: all that there are."""
    tenant: Personal | None = None
    """Letters of this tenant alone; absent: of every one."""
    user: Personal | None = None
    """Letters of this user of the tenant alone; absent: of each."""
    records_per_s_max: int
    dry: bool = False
    """True: nothing is written, and what would be taken is told."""
    edit_json: Personal | None = None
    """A JSON object, merged into what each record says (RFC 7386); of `user.inputs` alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRedriven:
    """A record that was put aside stands on its topic again."""

    redrive_id: Impersonal
    letter_id: Impersonal
    topic: Impersonal
    partition: int
    offset: int
    """Where it stands now."""
    edited: bool = False
    """True: an edited copy, under a new id, which nobody is told is the record itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LettersKept:
    """Letters of a redrive that were not tried again, for one reason."""

    reason: Personal
    letters: int
    example_id: Impersonal
    """Event id of one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveEnded:
    """All letters that a redrive was about were dealt with."""

    redrive_id: Impersonal
    dry: bool = False
    redriven: int
    """Of a dry one: so many would be."""
    redriven_before: int
    """Were tried again earlier, by whatever redrive, and so not now."""
    kept: tuple[LettersKept, ...] = ()
    """The commonest reasons first."""
    kept_count: int = 0
    """Letters of all reasons."""
    more: bool = False
    """True: there are more letters than one redrive takes."""


RedriveFact = RedriveRequested | LetterRedriven | RedriveEnded
