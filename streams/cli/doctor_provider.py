"""`doctor provider`: what the configured provider can do, and which profile fits it."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import openai
import typer

from connectors.models.client import listed_models
from connectors.models.examination import Examination, Finding, Grade, examine, examine_embeddings
from schemas.configuration import ChatModel
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.configuration.loading import load_configuration, load_profiles
from streams.configuration.models import Profile
from streams.process.settings import Settings
from streams.worker.providers import chat_model, embedding_model, use_vocabularies

LIST_MS: Final = 10_000
_MARKS: Final = {
    Grade.WORKS: output.styled("  [green]works[/]"),
    Grade.WEAK: output.styled("  [yellow]weak [/]"),
    Grade.FAILS: output.styled("  [red]FAILS[/]"),
}


@command
async def run_examination(models: list[str] | None, as_json: bool) -> None:
    """Examine the chosen models, or all, and show what was found; ends with the exit code."""
    given = settings()
    use_vocabularies(given)
    configured = load_configuration((), given.configuration_directory).models
    profiles = load_profiles(given.configuration_directory)
    asked = _chosen(configured.chat, models)
    told = await _told_by_server(given, profiles)
    examinations = []
    for chat in asked:
        examinations.append(
            await examine(
                partial(chat_model, given, (chat,)),
                chat,
                {name: profile.chat for name, profile in profiles.items()},
                told,
            )
        )
        if not as_json:
            _show(examinations[-1], chat)
    embedder = embedding_model(given, configured)
    try:
        vectors = await examine_embeddings(embedder)
    finally:
        await embedder.close()
    if as_json:
        output.emit_json({"models": examinations, "embeddings": vectors, "told_by_server": told})
    else:
        output.say("[bold]{name}[/]", name=configured.embedding.name or "no embedding model")
        _show_finding(vectors)
    if not any(examination.findings[0].grade is not Grade.FAILS for examination in examinations):
        raise typer.Exit(Code.AWAY)
    if vectors.grade is Grade.FAILS or not all(examination.healthy for examination in examinations):
        raise typer.Exit(Code.FAILED)


def parameters_toml(learnt: Sequence[tuple[str, object]]) -> list[str]:
    """Return parameters as lines of a model's entry in models.toml."""
    return [f"{name} = {json.dumps(value)}" for name, value in learnt]


def _chosen(chats: Sequence[ChatModel], names: Sequence[str] | None) -> Sequence[ChatModel]:
    known = [chat.name for chat in chats]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        fail(Code.USAGE, f"models.toml has no model {unknown[0]!r}", f"It has {', '.join(known)}.")
    return [chat for chat in chats if not names or chat.name in names]


async def _told_by_server(given: Settings, profiles: Mapping[str, Profile]) -> list[str]:
    """Return the families that the server's address speaks for, and then those of its models' owners."""
    base_url = given.model_url
    host = urlsplit(base_url).hostname or ""
    by_host = [name for name, profile in profiles.items() if any(host.endswith(end) for end in profile.hosts)]
    try:
        owners = set((await listed_models(base_url, given.model_api_key, LIST_MS)).values())
    except openai.OpenAIError:
        owners = set()  # many servers have no such list; the questions tell what is to be known
    by_owner = [name for name, profile in profiles.items() if owners & set(profile.owners)]
    return list(dict.fromkeys([*by_host, *by_owner]))


def _show(examination: Examination, chat: ChatModel) -> None:
    output.say(
        "[bold]{name}[/] [dim]asked by the profile {profile}[/]", name=examination.model, profile=chat.profile
    )
    for finding in examination.findings:
        _show_finding(finding)
    if examination.fits == chat.profile and not examination.learnt:
        output.say("  [dim]the profile fits; {tokens} tokens were used[/]", tokens=examination.tokens)
        return
    if examination.fits is not None:
        output.say("  the profile that fits; write into its entry:")
        output.say('    profile = "{profile}"', profile=examination.fits)
    if examination.learnt:
        output.say("  or what was refused alone:" if examination.fits else "  write into its entry:")
        for line in ("[chat.parameters]", *parameters_toml(examination.learnt)):
            output.say("    {line}", line=line)
    output.say("  [dim]{tokens} tokens were used[/]", tokens=examination.tokens)


def _show_finding(finding: Finding) -> None:
    line = _MARKS[finding.grade].copy()
    output.show(
        line.append_text(
            output.styled(" {question:<15} {detail}", question=finding.question, detail=finding.detail)
        )
    )
