"""Where a fork parts from its origin: a session's state at one of its events, decided again."""

from dataclasses import dataclass

from processors import forking
from processors.state import SessionState
from processors.transition import digest, encode_state
from schemas.envelope import Envelope
from schemas.events.inputs import ForkRequested, SessionForked
from streams.history.recording import Recording
from streams.history.replay import Undecidable, decided_steps


class ForkImpossible(Exception):
    """There is no such point to fork from; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkPoint:
    """One point of a session's past."""

    event: Envelope
    state: SessionState

    def open_calls(self) -> dict[str, str]:
        """Return the tools of the calls that have no result at this point, by call id."""
        return {
            call_id: call.proposed.name for call_id, (_, call) in forking.open_calls(self.state.turn).items()
        }

    def call_at(self) -> str:
        """Return the id of the tool call that the event is about, or of the only one that is open.

        Raises:
            ForkImpossible: there is none, or it is not clear which.
        """
        calls = self.open_calls()
        named = getattr(self.event.body, "call_id", None)
        if named in calls:
            return str(named)
        if len(calls) == 1:
            return next(iter(calls))
        if not calls:
            raise ForkImpossible("no tool call was open at that point")
        listed = ", ".join(f"{tool} {call_id}" for call_id, tool in calls.items())
        raise ForkImpossible(f"several tool calls were open; fork at the ToolCallRequested of one: {listed}")

    def requested(
        self,
        *,
        message: str | None = None,
        tool_result: str | None = None,
        model: str | None = None,
        policy_json: str | None = None,
        budget_tokens: int | None = None,
        budget_nanodollars: int | None = None,
    ) -> ForkRequested:
        """Return what asks for a fork at this point; at most one of `message` and `tool_result` is given.

        Raises:
            ForkImpossible: nothing can go on from here.
        """
        if self.state.turn is None and message is None:
            raise ForkImpossible("nothing was in progress at that point: give a message to go on with")
        return ForkRequested(
            origin_session_id=self.state.session_id,
            origin_event_id=self.event.event_id,
            text=message if tool_result is None else tool_result,
            call_id=None if tool_result is None else self.call_at(),
            model=model,
            policy_json=policy_json,
            budget_tokens=budget_tokens,
            budget_nanodollars=budget_nanodollars,
        )

    def forked(self, request: ForkRequested) -> SessionForked:
        """Return the input that begins the fork that was asked for at this point."""
        state = encode_state(self.state)
        return SessionForked(
            origin_session_id=self.state.session_id,
            origin_event_id=self.event.event_id,
            origin_sequence=self.state.sequence,
            origin_digest=digest(state),
            state_json=state.decode(),
            text=request.text,
            call_id=request.call_id,
            tokens=request.tokens,
            model=request.model,
            policy_json=request.policy_json,
            budget_tokens=request.budget_tokens,
            budget_nanodollars=request.budget_nanodollars,
        )


def fork_point(recording: Recording, at: str) -> ForkPoint:
    """Find an event in a session's past, by its id or its place.

    At an event that the session decided, the point is after the step that decided it. At one that it was
    given, a message or a result, the point is before it was applied: as if it had not come.

    Raises:
        ForkImpossible: the session has no such event, it caused nothing, or another behaviour of the program
            decided it.
        Diverged: the session cannot be decided again up to there.
        ConfigurationMissing: a part of the configuration that decided is not on the log.
    """
    records = (*recording.inputs, *recording.outputs)
    event_id = next((one.event.event_id for one in records if one.place == at), at)
    try:
        for step in decided_steps(recording):
            if step.source.event.event_id == event_id:
                return ForkPoint(event=step.source.event, state=step.before)
            for event in step.events:
                if event.event_id == event_id:
                    return ForkPoint(event=event, state=step.after)
    except Undecidable as error:
        if any(one.event.event_id == event_id for one in records):
            raise ForkImpossible(f"this point cannot be folded: {error}") from error
    raise ForkImpossible(f"session {recording.session_id} has no event {at} that decided anything")


def fork_wanted(recording: Recording, wanted: Envelope) -> SessionForked:
    """Return the input that begins a fork for whoever asked for it.

    Args:
        recording: of the session that the request names.
        wanted: a ForkRequested.

    Raises:
        ForkImpossible: there is no such point in a session of theirs; the text is for the sender.
        Diverged: the session cannot be decided again up to there.
        ConfigurationMissing: a part of the configuration that decided is not on the log.
    """
    request = wanted.body
    assert isinstance(request, ForkRequested)
    asks = (wanted.tenant_id, wanted.user_id)
    # Nothing else of the session is told to strangers, nor decided again for them.
    if asks not in {(one.event.tenant_id, one.event.user_id) for one in recording.outputs}:
        raise ForkImpossible(no_session_of(wanted, request.origin_session_id))
    point = fork_point(recording, request.origin_event_id)
    if (point.state.tenant_id, point.state.user_id) != asks:
        raise ForkImpossible(no_session_of(wanted, request.origin_session_id))
    return point.forked(request)


def no_session_of(wanted: Envelope, session_id: str) -> str:
    """Say that somebody has no such session, be it another's or nobody's."""
    return f"the user {wanted.user_id} of the tenant {wanted.tenant_id} has no session {session_id}"
