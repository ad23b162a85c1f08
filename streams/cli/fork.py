"""`fork`: a new session that goes on from a past point of another one."""

import uuid
from pathlib import Path
from typing import Annotated

import orjson
import typer

from schemas.envelope import Envelope
from schemas.plain import to_plain
from streams.cli import output
from streams.cli.command import Code, command, fail, given_place, given_uuid
from streams.cli.context import settings
from streams.cli.messages import PRODUCER, nanodollars_of, post_or_follow
from streams.cli.output import AsJson
from streams.cli.recordings import recording_of
from streams.client.client import Client
from streams.configuration.loading import ConfigurationInvalid
from streams.configuration.policies import load_policy
from streams.history.configuration import ConfigurationMissing
from streams.history.fork import ForkImpossible, ForkPoint, fork_point
from streams.history.replay import Diverged


@command
async def fork(
    session: Annotated[str, typer.Argument(help="UUID of the session to fork.")],
    at: Annotated[
        str,
        typer.Option(
            help="An event of it: its UUID, or its place as topic/partition/offset. One that it decided: the "
            "fork goes on after it. A message or a result that it was given: as if that had not come."
        ),
    ],
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="Ask this, in the place of what was in progress.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Use this chat model for everything.")] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="Allow only tool calls that this file, of the form of policy.toml, allows too."),
    ] = None,
    tool_result: Annotated[
        str | None, typer.Option(help="Give the tool call at --at this result instead; JSON or text.")
    ] = None,
    budget_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens that the fork may use.")] = None,
    budget_dollars: Annotated[
        float | None, typer.Option(min=0.000000001, help="Money that the fork may use.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for the answer and show the way.")] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds to wait with --follow.")
    ] = 600,
    as_json: AsJson = False,
) -> None:
    """Start a new session from any past point of another one, which stays as it is.

    It has a budget of its own and no approvals. Tasks that had ended keep their results;
    calls that were in flight are made again. With --follow, exit codes are those of `send`.

    Examples: cartrita fork SESSION --at EVENT --model gpt-4o-mini --follow
    cartrita fork SESSION --at EVENT --message "And in French?" --follow
    """
    if message is not None and tool_result is not None:
        fail(Code.USAGE, "--message and --tool-result exclude each other: a message begins a turn of its own")
    if message is not None and not message.strip():
        fail(Code.USAGE, "the message is empty")
    origin = str(given_uuid(session))
    async with Client(settings()) as client:
        point = await _point(client, origin, at)
        try:
            body = point.requested(
                message=message,
                tool_result=tool_result,
                model=model,
                policy_json=None if policy is None else orjson.dumps(to_plain(load_policy(policy))).decode(),
                budget_tokens=budget_tokens,
                budget_nanodollars=nanodollars_of(budget_dollars),
            )
        except (ForkImpossible, ConfigurationInvalid) as error:
            fail(Code.USAGE, str(error))
        forked = Envelope(
            event_id=str(uuid.uuid4()),
            session_id=str(uuid.uuid4()),
            tenant_id=point.state.tenant_id,
            user_id=point.state.user_id,
            producer=PRODUCER,
            body=body,
        )
        if not as_json:
            told = f"{point.state.sequence} events ({point.event.type} {point.event.event_id})"
            output.note("[dim]forked from session {origin} after {told}[/]", origin=origin, told=told)
        await post_or_follow(client, forked, follow=follow, timeout_s=timeout_s, as_json=as_json)


async def _point(client: Client, session_id: str, at: str) -> ForkPoint:
    at = at if given_place(at) else str(given_uuid(at))
    recording = await recording_of(client, session_id)
    try:
        return fork_point(recording, at)
    except ForkImpossible as error:
        fail(Code.NOT_FOUND, str(error), f"Its events: cartrita tail --from-beginning --session {session_id}")
    except ConfigurationMissing as error:
        fail(Code.NOT_FOUND, str(error), "Without what decided, its past cannot be decided again.")
    except Diverged as error:
        fail(
            Code.FAILED,
            f"the session cannot be decided again up to there: {error}",
            f"See where with: cartrita replay {session_id}",
        )
