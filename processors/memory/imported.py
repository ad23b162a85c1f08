"""What a session takes over of a conversation that was held in V1: its past before the first turn.

What V1 says of it are claims of another system, so it comes to models as material under the user's role,
never as a rule and never as the model's own words. It gets what the session's own turns leave of the bound
that is theirs, until a summary has taken it in.
"""

from typing import Final

from processors.memory.state import ImportedMessage, ImportedPast
from processors.state import SessionState, SessionStatus
from processors.transition import Transition
from schemas.envelope import Envelope
from schemas.events.inputs import ImportedText, SessionImported
from schemas.frozen import replace
from schemas.references import RecordReference
from topics.catalog import SESSION_IMPORTS

TOLD_MAX: Final = 32
"""So many messages of it a session knows one by one, by reference; the others can be looked for."""
_SPEAKERS: Final = ("user", "assistant")


def session_imported(transition: Transition, body: SessionImported) -> None:
    """Keep what came over; the first that comes counts, and none for a session that has ended."""
    state = transition.state
    if state.imported is not None or state.status is SessionStatus.ENDED:
        return
    event = transition.event
    past = ImportedPast(
        event_id=event.event_id,
        tenant_id=event.tenant_id,
        user_id=event.user_id,
        origin=body.origin,
        messages=body.messages,
        told=tuple(_message(text) for text in body.told if text.role in _SPEAKERS)[-TOLD_MAX:],
    )
    transition.state = replace(state, imported=past)


def kept_for(state: SessionState, opens: Envelope) -> ImportedPast | None:
    """Return what came over, if it is that of whoever opens the session now."""
    past = state.imported
    if past is None or (past.tenant_id, past.user_id) != (opens.tenant_id, opens.user_id):
        return None
    return past


def told_by(state: SessionState) -> tuple[str, ...]:
    """Return the event that told of what came over: evidence of all that is asked of models since."""
    return () if state.imported is None else (state.imported.event_id,)


def _message(text: ImportedText) -> ImportedMessage:
    reference = RecordReference(
        topic=SESSION_IMPORTS.name,
        partition=text.partition,
        offset=text.offset,
        event_id=text.event_id,
        tokens=text.tokens,
    )
    return ImportedMessage(
        is_users=text.role == _SPEAKERS[0], reference=reference, characters=text.characters
    )
