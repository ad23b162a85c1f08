"""One input on its way through the deciders: the state so far, and the facts that it has caused."""

from hashlib import blake2b
from typing import Final, TypeVar

from processors.decider import Step
from processors.lifecycles import BEGINS, ENDS, SESSION, TASK, TOOL_CALL, TURN
from processors.state import Budget, Overrides, SessionState, SessionStatus, Task, Turn
from schemas.configuration import Configuration
from schemas.envelope import Envelope, Fact
from schemas.events.outputs import ErrorCode, ErrorReported
from schemas.frozen import replace
from schemas.ids import EventId, derived_id, event_id_of
from schemas.plain import encoded
from schemas.references import RecordReference

PRODUCER: Final = "session-shell"

FactT = TypeVar("FactT")


class Transition:
    """What the deciders work on while one input is applied; it never outlives the call of `advance`.

    The parts are frozen; deciders replace them. All ids follow from the input's event id and the order
    in which they were asked for, so that applying the input again gives the same.
    """

    def __init__(
        self, state: SessionState, event: Envelope, source: RecordReference, configuration: Configuration
    ) -> None:
        """Begin with the state before the input."""
        self.event = event
        self.source = source
        self._configured = configuration
        self.configuration = overridden(configuration, state.overrides)
        self._state = replace(state, now_ms=max(state.now_ms, event.occurred_at_ms))
        # Message ids are the producers': two sessions may have been given the same one. And one event may
        # stand on the log twice: a timer that is told again finds other things due than it did before.
        place = f"{source.topic}/{source.partition}/{source.offset}"
        self._cause = derived_id(state.session_id, event.event_id, place)
        self._facts: list[tuple[EventId, Fact, tuple[str, ...], str | None]] = []
        self.about: str | None = None
        """Event id of the client's call to which the facts that follow belong; None: all is one turn's."""
        self._ids = 0
        self.let_go: tuple[str, ...] = ()
        """Marks of inputs that the state no longer knows."""
        self._correlation_id = state.turn.message.input_id if state.turn else None

    @property
    def now_ms(self) -> int:
        """The time of the input; it never goes back within a session."""
        return self.state.now_ms

    @property
    def state(self) -> SessionState:
        """The state so far; setting it demands that statuses move as `processors/lifecycles.py` allows."""
        return self._state

    @state.setter
    def state(self, state: SessionState) -> None:
        if state.status is not self._state.status:
            SESSION.move(self._state.status, state.status)
        if state.turn is not self._state.turn:
            _move_turn(self._state.turn, state.turn)
        self._state = state

    @property
    def turn(self) -> Turn:
        """The turn in progress; only asked for where there is one."""
        assert self.state.turn is not None
        return self.state.turn

    @turn.setter
    def turn(self, turn: Turn) -> None:
        self.state = replace(self.state, turn=turn)

    @property
    def budget(self) -> Budget:
        """The session's budget."""
        return self.state.budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self.state = replace(self.state, budget=budget)

    def override(self, overrides: Overrides) -> None:
        """From here on, `overrides` decide in this session in place of what is configured."""
        self.state = replace(self.state, overrides=overrides)
        self.configuration = overridden(self._configured, overrides)

    def reference(self, tokens: int) -> RecordReference:
        """Name the input's text, which has so many tokens, by its place on the log."""
        return replace(self.source, event_id=self.event.event_id, tokens=tokens)

    def put(self, task: Task) -> None:
        """Store a task of the turn in progress."""
        _move_task(self.turn.tasks.get(task.task_id), task)
        self.turn = replace(self.turn, tasks={**self.turn.tasks, task.task_id: task})

    def correlate(self, input_id: str) -> None:
        """From here on, facts belong to the turn that the input `input_id` began."""
        self._correlation_id = input_id

    def new_id(self, kind: str) -> str:
        """Make an id that follows from the input."""
        self._ids += 1
        return derived_id(self._cause, kind, str(self._ids))

    def emit(self, fact: Fact, evidence: tuple[str, ...] = ()) -> str:
        """Cause a fact, resting on the events `evidence` beside the input; returns its event id."""
        event_id = event_id_of(self._cause, len(self._facts))
        self._facts.append((event_id, fact, tuple(dict.fromkeys(evidence)), self.about))
        return event_id

    def caused(self, kind: type[FactT]) -> tuple[FactT, ...]:
        """Return the facts of a kind that the input has caused so far."""
        return tuple(fact for _, fact, _, _ in self._facts if isinstance(fact, kind))

    def refuse(self, code: ErrorCode, message: str) -> None:
        """Tell the user that the input could not be acted on."""
        self.emit(ErrorReported(code=code, message=message, input_id=self.event.event_id))

    def finish(self) -> Step[SessionState]:
        """Give every fact its envelope, and the last one the digest of the state that the step leaves."""
        first = self.state.sequence + 1
        state = replace(self.state, sequence=self.state.sequence + len(self._facts))
        correlations = self._correlation_id or self.event.correlation_id or self.event.event_id
        traceparent = self.event.traceparent or (state.turn.message.traceparent if state.turn else None)
        # Of a session that nobody has opened, whoever sent the input is told.
        owner = self.event if state.status is SessionStatus.NEW else state
        events = [
            Envelope(
                event_id=event_id,
                type=type(fact).__name__,
                session_id=state.session_id,
                tenant_id=owner.tenant_id,
                user_id=owner.user_id,
                sequence=first + index,
                causation_id=self.event.event_id,
                correlation_id=about or correlations,
                evidence_ids=evidence,
                occurred_at_ms=state.now_ms,
                producer=PRODUCER,
                versions=self.configuration.versions,
                traceparent=traceparent,
                body=fact,
            )
            for index, (event_id, fact, evidence, about) in enumerate(self._facts)
        ]
        written = encode_state(state)
        if events:
            place = f"{self.source.topic}/{self.source.partition}/{self.source.offset}"
            events[-1] = replace(events[-1], source=place, state_digest=digest(written))
        return Step(state=state, events=tuple(events), encoded=written, let_go=self.let_go)


def _move_turn(before: Turn | None, after: Turn | None) -> None:
    begun = BEGINS if before is None else before.phase
    reached = ENDS if after is None else after.phase
    if begun != reached:
        TURN.move(begun, reached)


def _move_task(before: Task | None, after: Task) -> None:
    if before is None or before.status is not after.status:
        TASK.move(BEGINS if before is None else before.status, after.status)
    if before is not None and before.tool_calls is after.tool_calls:
        return
    earlier = {} if before is None else {call.call_id: call.status for call in before.tool_calls}
    for call in after.tool_calls:
        begun = earlier.pop(call.call_id, BEGINS)
        if begun != call.status:
            TOOL_CALL.move(begun, call.status)
    for status in earlier.values():
        TOOL_CALL.move(status, ENDS)


def overridden(configuration: Configuration, overrides: Overrides) -> Configuration:
    """Return what decides in a session that has overrides of its own.

    `versions` go on to name what is configured; the overrides stand in the input that brought them.
    """
    if overrides.model is not None:
        chat = tuple(model for model in configuration.models.chat if model.name == overrides.model)
        # A model that is no longer configured cannot be called; the session goes on with those that are.
        if chat:
            configuration = replace(configuration, models=replace(configuration.models, chat=chat))
    return configuration


def encode_state(state: SessionState) -> bytes:
    """Write a state as JSON, without what is as it is by default."""
    return encoded(state)


def digest(state: bytes) -> str:
    """Return 16 hexadecimal digits that tell encoded states apart."""
    return blake2b(state, digest_size=8).hexdigest()
