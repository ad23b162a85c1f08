"""`replay`, `record`: a session decided again, from the log or from one file."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.output import AsJson
from streams.cli.recordings import recording_of
from streams.client.client import Client
from streams.history.configuration import ConfigurationMissing
from streams.history.recording import Recording, RecordingInvalid, read_recording, write_recording
from streams.history.replay import Divergence, Replayed
from streams.history.replay import replay as decide_again

_DIFFERENCES_SHOWN = 12
_CHARACTERS_SHOWN = 300


@command
async def replay(
    session: Annotated[str, typer.Argument(help="UUID of a session, or a file that `record` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Decide every step of a session again, without model, tool or clock, and show the first divergence."""
    recording = _from_file(session) or await _from_log(session)
    try:
        replayed = decide_again(recording)
    except ConfigurationMissing as error:
        fail(Code.NOT_FOUND, str(error), "Without what decided, nothing can be decided again.")
    if as_json:
        output.emit_json(replayed)
    else:
        _show(replayed)
    if replayed.divergence is not None:
        raise typer.Exit(Code.FAILED)


@command
async def record(
    session: Annotated[str, typer.Argument(help="UUID of the session.")],
    file: Annotated[Path, typer.Argument(help="Where to write it; what stands there is replaced.")],
    as_json: AsJson = False,
) -> None:
    """Write a session with all that decided it into one file, which `replay` takes anywhere."""
    recording = await _from_log(session)
    try:
        write_recording(recording, file)
    except OSError as error:
        fail(Code.USAGE, f"{file} cannot be written: {error.strerror}")
    counts = {
        "inputs": len(recording.inputs),
        "outputs": len(recording.outputs),
        "configuration": len(recording.configuration),
    }
    if as_json:
        output.emit_json({"session_id": recording.session_id, "file": file, **counts})
    else:
        output.say("{file}: {inputs} inputs, {outputs} outputs", file=str(file), **counts)


def _from_file(name: str) -> Recording | None:
    path = Path(name)
    if not path.is_file():
        return None
    try:
        return read_recording(path)
    except (RecordingInvalid, OSError) as error:
        fail(Code.USAGE, str(error))


async def _from_log(session: str) -> Recording:
    try:
        session_id = str(UUID(session))
    except ValueError:
        fail(Code.USAGE, f"{session!r} is neither a UUID nor a file")
    async with Client(settings()) as client:
        return await recording_of(client, session_id)


def _show(replayed: Replayed) -> None:
    told = f"{replayed.steps} steps, {replayed.events} events, {replayed.silent_inputs} inputs without events"
    for unchecked in replayed.unchecked:
        output.say(
            "[yellow]not checked[/]: {steps} steps, {events} events from [dim]#{sequence}[/] {event} on: "
            "{reason}",
            steps=unchecked.steps,
            events=unchecked.events,
            sequence=unchecked.sequence,
            event=unchecked.event_id,
            reason=unchecked.reason,
        )
    if replayed.divergence is None:
        output.say("[green]decided as recorded[/]: {told}", told=told)
        return
    output.say("[red]diverges[/] after {told}", told=told)
    _show_divergence(replayed.divergence)


def _show_divergence(divergence: Divergence) -> None:
    output.say(
        "step {step} [dim]#{sequence}[/] {source}: {reason}",
        step=divergence.step,
        sequence=divergence.sequence,
        source=divergence.source,
        reason=divergence.reason,
    )
    for difference in divergence.differences[:_DIFFERENCES_SHOWN]:
        output.say("  event {event}, [bold]{field}[/]", event=difference.event, field=difference.field)
        output.say("    recorded {value}", value=_shortened(difference.recorded))
        output.say("    decided  {value}", value=_shortened(difference.decided))
    more = len(divergence.differences) - _DIFFERENCES_SHOWN
    if more > 0:
        output.say("  and {count} more", count=more)


def _shortened(value: object) -> str:
    text = "nothing" if value is None else str(output.plain(value))
    return text if len(text) <= _CHARACTERS_SHOWN else text[:_CHARACTERS_SHOWN] + "…"
