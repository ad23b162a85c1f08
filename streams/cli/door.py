"""The front door of this machine: where it is, what opens it, and how to knock."""

import asyncio
import json
import shlex
from pathlib import Path
from typing import Final

from connectors.embedded.files import write_atomically
from schemas.events.access import Scope
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import deployment, environment, home
from streams.cli.tokens import read_tokens, write_token
from streams.gateway.access import Purpose, mint
from streams.process.settings import Settings
from streams.worker.deployment import Deployment

LOCAL_NAME: Final = "this machine"
QUESTION: Final = "Calculate 17 * 23 with code."


@command
async def env() -> None:
    """Print what OpenAI's clients need to use this machine's front door; for `eval "$(cartrita env)"`."""
    path = token_path()
    if not path.exists():
        fail(Code.NOT_FOUND, "there is no token of this machine yet", "`cartrita up` makes one.")
    for line in exports(address_of(deployment().settings()), _kept(path)):
        output.say("{line}", line=line)


@command
async def login() -> None:
    """Print a link that opens the console in a browser; good once, for ten minutes.

    The browser may then do what this machine's token may.
    """
    path = token_path()
    if not path.exists():
        fail(Code.NOT_FOUND, "there is no token of this machine yet", "`cartrita up` makes one.")
    here = deployment()
    link = await _login_link(
        Settings.from_environment(environment()), address_of(here.settings()), _kept(path)
    )
    output.say("{link}", link=link)


async def _login_link(local: Settings, address: str, token: str) -> str:
    book = await read_tokens(local)
    bearer = book.bearer(token)
    if bearer is None:
        fail(Code.FAILED, "this machine's token is good no more", "`cartrita up` makes another.")
    return f"{address}/login/{book.issue(Purpose.LOGIN, bearer.token_id)}"


async def tell_door(here: Deployment) -> None:
    """Tell how to come in by the front door: the address, the token, two exports, and a line to try."""
    local = Settings.from_environment({**environment(), **here.settings()})
    token = await local_token(local, token_path())
    address = address_of(here.settings())
    output.say(
        "The front door is [bold]{address}[/]; its token is in {path}.", address=address, path=token_path()
    )
    output.say("For OpenAI's clients:")
    for line in exports(address, token):
        output.say("  {line}", line=line)
    output.say(
        "The console opens in a browser with {link} (good once)",
        link=await _login_link(local, address, token),
    )
    output.say("Or ask by HTTP:")
    output.say("  {line}", line=curl_line(address, token_path()))


def exports(address: str, token: str) -> tuple[str, str]:
    """Return the lines that tell OpenAI's clients where the front door is, and what opens it."""
    return f"export OPENAI_BASE_URL={address}/v1", f"export OPENAI_API_KEY={token}"


def curl_line(address: str, path: Path) -> str:
    """Return a line for a shell, in whatever folder, that asks by HTTP and is answered.

    The token is read from its file, for what stands in a line can be seen by others of the machine.
    """
    body = {"model": "cartrita", "messages": [{"role": "user", "content": QUESTION}]}
    bearer = f'"Authorization: Bearer $(cat {shlex.quote(str(path.absolute()))})"'
    return (
        f"curl -s {address}/v1/chat/completions -H {bearer} "
        f"-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"
    )


def token_path() -> Path:
    """Return where the token of this machine stands; its owner alone may read it."""
    return home() / "token"


def address_of(recorded: dict[str, str]) -> str:
    """Return the address of the local front door."""
    return f"http://127.0.0.1:{recorded.get('PORT', '3000')}"


async def local_token(local: Settings, path: Path) -> str:
    """Return the token of this machine, which may do all for the default tenant; make it if there is none."""
    book = await read_tokens(local)
    kept = await asyncio.to_thread(_kept, path)
    bearer = book.bearer(kept) if kept else None
    # One that an earlier version made may lack what there is now.
    if bearer is not None and bearer.scopes >= set(Scope):
        return kept
    token, created = mint(name=LOCAL_NAME, scopes=tuple(Scope), tenant="default", user=None, lifetime_s=None)
    await write_token(local, created)
    await asyncio.to_thread(write_atomically, path, token + "\n")
    return token


def _kept(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""
