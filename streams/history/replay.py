"""Replay: every step of a session decided again from its recording, and compared with what was recorded.

The last event of a step names the input that was applied, so the inputs that caused something have an
order. Those that caused nothing have one only within their topic; across topics their place between two
steps is searched. The digest of the next step's state decides: only an order that leaves the very state
that was recorded passes, whatever was guessed.

Only what this behaviour of the program decided can be checked (`processors/behaviour.py`). Steps of another
one are told as unchecked, not as diverged. They are decided again all the same: where that gives the same
facts, the state goes on, and the digest of the next step of this behaviour proves it; where it does not, the
rest is unchecked too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product, takewhile
from pathlib import Path
from typing import Final

from processors.behaviour import BEHAVIOUR, behaviour_of
from processors.session import SessionDecider
from processors.state import SessionState
from schemas.envelope import Envelope, Versions
from schemas.events.configurations import ConfigurationPublished
from schemas.frozen import replace
from schemas.references import RecordReference
from streams.history.configuration import configuration_of
from streams.history.differences import Difference, differences_of
from streams.history.recording import Recorded, Recording, read_recording
from streams.records.reference import tokens_of

ORDERS_MAX: Final = 4_096
"""Orders of silent inputs that are tried before a step counts as diverged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first step that was decided otherwise."""

    step: int
    """From 1."""
    source: str
    """Place of the input that was applied."""
    sequence: int
    """Of the step's first event as recorded; 0 when nothing was recorded."""
    reason: str
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchecked:
    """Steps in a row that this program cannot check."""

    behaviour: int
    """Number of the behaviour that decided them."""
    sequence: int
    """Of their first event."""
    event_id: str
    """Of their first event."""
    steps: int
    events: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay found."""

    session_id: str
    steps: int
    """Steps that were decided as recorded."""
    events: int
    """Events of those steps."""
    silent_inputs: int
    """Inputs that caused nothing."""
    divergence: Divergence | None
    unchecked: tuple[Unchecked, ...] = ()
    """What other behaviours decided, and what rests on it, in order; the counts above leave it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedStep:
    """One step, decided as it was recorded."""

    before: SessionState
    """With what came before and caused nothing."""
    source: Recorded
    """The input that was applied."""
    events: tuple[Envelope, ...]
    after: SessionState


class Undecidable(Exception):
    """Another behaviour of the program decided what comes next; the text tells which, and from where on."""

    def __init__(self, unchecked: Unchecked) -> None:
        """Say what cannot be decided again."""
        super().__init__(
            f"from event {unchecked.event_id} (number {unchecked.sequence}) on, {unchecked.reason}"
        )
        self.unchecked = unchecked


class Diverged(AssertionError):
    """A recording does not replay; the text tells where."""


def replay_recording(path: Path) -> Replayed:
    """Replay a file, as a test does; nothing but the file is read.

    Raises:
        Diverged: a step was decided otherwise.
        RecordingInvalid: the file is no recording.
        ConfigurationMissing: the recording lacks a part of the configuration that decided.
    """
    replayed = replay(read_recording(path))
    if replayed.divergence is not None:
        raise Diverged(f"{path}: {replayed.divergence}")
    return replayed


def replay(recording: Recording) -> Replayed:
    """Decide every step again and compare all fields of all events, digests included.

    Raises:
        ConfigurationMissing: the recording lacks a part of the configuration that decided.
    """
    work = _Replay(recording)
    for _ in work.decide():
        pass
    return Replayed(
        session_id=recording.session_id,
        steps=work.steps,
        events=work.events,
        silent_inputs=work.silent_inputs,
        divergence=work.divergence,
        unchecked=tuple(work.unchecked),
    )


def decided_steps(recording: Recording) -> Iterator[DecidedStep]:
    """Decide step by step, and yield each with the states around it.

    Raises:
        Undecidable: another behaviour decided the next step, or what it rests on.
        Diverged: the next step was decided otherwise.
        ConfigurationMissing: the recording lacks a part of the configuration that decided.
    """
    work = _Replay(recording)
    yield from work.decide()
    if work.unchecked:
        raise Undecidable(work.unchecked[-1])
    if work.divergence is not None:
        raise Diverged(str(work.divergence.reason))


class _Spoke(Exception):
    """An input that caused nothing when it was recorded causes something now."""

    def __init__(self, recorded: Recorded, events: Sequence[Envelope]) -> None:
        super().__init__(recorded.place)
        self.recorded = recorded
        self.events = events


@dataclass
class _Replay:
    """A replay on its way."""

    recording: Recording
    steps: int = 0
    events: int = 0
    silent_inputs: int = 0
    divergence: Divergence | None = None
    unchecked: list[Unchecked] = field(default_factory=list)
    _proven: bool = True
    """False from a step of another behaviour until a digest proves the state that it left."""
    _deciders: dict[Versions, SessionDecider] = field(default_factory=dict)

    def decide(self) -> Iterator[DecidedStep]:
        """Decide step by step up to the first divergence, which is kept, and yield what is checked."""
        outputs = list({one.event.event_id: one.event for one in self.recording.outputs}.values())
        outputs.sort(key=lambda event: event.sequence)
        inputs = {one.place: one for one in self.recording.inputs}
        steps = _steps(outputs)
        self._untold = {event.event_id for event in outputs}
        speaking = {step[-1].source for step in steps}
        self._speaking: dict[str, list[int]] = {}
        for place in speaking & inputs.keys():
            assert place is not None
            self._speaking.setdefault(inputs[place].topic, []).append(inputs[place].offset)
        # By topic, in order: what caused nothing and is not applied yet.
        self._pending: dict[str, list[Recorded]] = {}
        for one in sorted(inputs.values(), key=lambda one: one.offset):
            if one.place not in speaking:
                self._pending.setdefault(one.topic, []).append(one)
        self._repeats = self.recording.repeats()
        state = SessionState(session_id=self.recording.session_id)
        decider = None
        for number, step in enumerate(steps):
            source = step[-1].source
            if source is None:
                reason = "the recorded step has no end: its last event is missing"
                self.divergence = self._diverged(step, "", reason)
                return
            if source not in inputs:
                reason = "the input that was applied is not in the recording"
                self.divergence = self._diverged(step, source, reason)
                return
            decider = self._decider(step[-1].versions)
            foreign = behaviour_of(step[-1].versions) != BEHAVIOUR
            found = self._step(decider, state, step, inputs[source], lenient=foreign)
            if isinstance(found, Divergence) and (foreign or not self._proven):
                self._leave_unchecked(steps[number:])
                return
            if isinstance(found, Divergence):
                self.divergence = found
                return
            if foreign:
                self._proven = False
                self._leave_unchecked([step])
            else:
                self._proven = True
                self.steps += 1
                self.events += len(step)
                yield found
            state = found.after
            self._untold.difference_update(event.event_id for event in step)
        rest = self._rest(decider, state)
        # Without a proven state nothing can be said of inputs that come after the last step.
        self.divergence = rest if self._proven else None

    def _leave_unchecked(self, steps: Sequence[Sequence[Envelope]]) -> None:
        for step in steps:
            behaviour = behaviour_of(step[-1].versions)
            last = self.unchecked[-1] if self.unchecked else None
            if last and last.behaviour == behaviour and last.sequence + last.events == step[0].sequence:
                self.unchecked[-1] = replace(last, steps=last.steps + 1, events=last.events + len(step))
                continue
            reason = f"behaviour {behaviour} decided, and this program is behaviour {BEHAVIOUR}"
            if behaviour == BEHAVIOUR:
                reason = "this behaviour decided on a state that another one left, which it cannot make again"
            self.unchecked.append(
                Unchecked(
                    behaviour=behaviour,
                    sequence=step[0].sequence,
                    event_id=step[0].event_id,
                    steps=1,
                    events=len(step),
                    reason=reason,
                )
            )

    def _step(
        self,
        decider: SessionDecider,
        state: SessionState,
        step: list[Envelope],
        source: Recorded,
        *,
        lenient: bool,
    ) -> DecidedStep | Divergence:
        """Decide one step; `lenient` compares what another behaviour decided but for its mark on it."""
        first: Divergence | None = None
        for counts in islice(self._orders(source), ORDERS_MAX):
            silent = self._chosen(counts)
            try:
                before = self._silently(decider, state, silent)
                decided = decider.advance(before, source.event, _reference(source))
            except _Spoke as spoke:
                reason = f"{spoke.recorded.place} caused nothing when it was recorded"
                differences = differences_of([], spoke.events)
                first = first or self._diverged(step, spoke.recorded.place, reason, differences)
                continue
            except Exception as error:
                # Whatever a decider raises on what was tampered with is a divergence, and is told as one.
                reason = f"the decider raised {type(error).__name__}: {error}"
                first = first or self._diverged(step, source.place, reason)
                continue
            if list(decided.events) == (_marked(step, decided.events) if lenient else step):
                for topic, count in counts.items():
                    del self._pending[topic][:count]
                self.silent_inputs += len(silent)
                self._speaking[source.topic].remove(source.offset)
                return DecidedStep(before=before, source=source, events=tuple(step), after=decided.state)
            differences = differences_of(step, decided.events)
            first = first or self._diverged(step, source.place, "decided otherwise", differences)
        assert first is not None
        return first

    def _orders(self, source: Recorded) -> Iterator[Mapping[str, int]]:
        """Yield how many silent inputs of each topic come before `source`: the likely first, by time."""
        topics, choices, likely = [], [], []
        for topic, pending in self._pending.items():
            if topic == source.topic:
                certain = sum(one.offset < source.offset for one in pending)
                topics.append(topic)
                choices.append(range(certain, certain + 1))
                likely.append(certain)
                continue
            bound = min(self._speaking.get(topic, ()), default=None)
            possible = [one for one in pending if bound is None or one.offset < bound]
            possible = list(takewhile(self._can_have_come, possible))
            time_ms = source.event.occurred_at_ms
            topics.append(topic)
            choices.append(range(len(possible) + 1))
            likely.append(sum(one.event.occurred_at_ms <= time_ms for one in possible))
        for counts in sorted(
            islice(product(*choices), 16 * ORDERS_MAX),
            key=lambda counts: sum(abs(a - b) for a, b in zip(counts, likely, strict=True)),
        ):
            yield dict(zip(topics, counts, strict=True))

    def _can_have_come(self, one: Recorded) -> bool:
        """Tell whether what the input answers was decided by now: clocks differ, but calls come first."""
        return one.event.causation_id not in self._untold

    def _chosen(self, counts: Mapping[str, int]) -> list[Recorded]:
        chosen: list[tuple[int, Recorded]] = []
        for topic, count in counts.items():
            latest_ms = 0
            for one in self._pending[topic][:count]:
                # A topic's own order holds, whatever the times say.
                latest_ms = max(latest_ms, one.event.occurred_at_ms)
                chosen.append((latest_ms, one))
        chosen.sort(key=lambda pair: pair[0])
        return [one for _, one in chosen]

    def _silently(
        self, decider: SessionDecider, state: SessionState, silent: Sequence[Recorded]
    ) -> SessionState:
        for one in silent:
            if one.place in self._repeats and decider.mark(state, one.event) is not None:
                continue  # the shell knew it, where the state had let go of it
            step = decider.advance(state, one.event, _reference(one))
            if step.events:
                raise _Spoke(one, step.events)
            state = step.state
        return state

    def _rest(self, decider: SessionDecider | None, state: SessionState) -> Divergence | None:
        silent = self._chosen({topic: len(pending) for topic, pending in self._pending.items()})
        if decider is None:
            reason = "nothing was decided about this input" if silent else "the recording is empty"
            return self._diverged([], silent[0].place if silent else "", reason)
        try:
            self._silently(decider, state, silent)
        except _Spoke as spoke:
            reason = "nothing is recorded of what this input causes: not applied yet, or lost"
            return self._diverged([], spoke.recorded.place, reason, differences_of([], spoke.events))
        self.silent_inputs += len(silent)
        return None

    def _decider(self, versions: Versions) -> SessionDecider:
        if versions not in self._deciders:
            parts = [one.event.body for one in self.recording.configuration]
            published = [part for part in parts if isinstance(part, ConfigurationPublished)]
            self._deciders[versions] = SessionDecider(configuration_of(versions, published), objects=False)
        return self._deciders[versions]

    def _diverged(
        self, step: Sequence[Envelope], source: str, reason: str, differences: tuple[Difference, ...] = ()
    ) -> Divergence:
        return Divergence(
            step=self.steps + 1,
            source=source,
            sequence=step[0].sequence if step else 0,
            reason=reason,
            differences=differences,
        )


def _marked(step: Sequence[Envelope], decided: Sequence[Envelope]) -> list[Envelope]:
    """Return the events of another behaviour with this one's number, and the digest of the state now."""
    ours = [replace(one, versions=replace(one.versions, behaviour=BEHAVIOUR)) for one in step]
    if decided:
        ours[-1] = replace(ours[-1], state_digest=decided[-1].state_digest)
    return ours


def _steps(outputs: Sequence[Envelope]) -> list[list[Envelope]]:
    steps: list[list[Envelope]] = []
    current: list[Envelope] = []
    for event in outputs:
        current.append(event)
        if event.source is not None:
            steps.append(current)
            current = []
    return [*steps, current] if current else steps


def _reference(recorded: Recorded) -> RecordReference:
    return RecordReference(
        topic=recorded.topic,
        partition=recorded.partition,
        offset=recorded.offset,
        event_id=recorded.event.event_id,
        tokens=tokens_of(recorded.event),
    )
