"""Loading the configuration that decides: from the defaults, or a folder with files of the same names."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from schemas.configuration import (
    Configuration,
    DownshiftStep,
    Limits,
    Models,
    ToolSpec,
)
from schemas.envelope import Versions
from schemas.events.configurations import ConfigurationKind, ConfigurationPublished
from schemas.frozen import replace
from streams.configuration.agents import Source, agents_of, sources_of
from streams.configuration.approvers import load_approvers
from streams.configuration.checking import demand_usable
from streams.configuration.files import ConfigurationInvalid as ConfigurationInvalid
from streams.configuration.files import Strict, checked, own, own_or_shipped, shipped, toml
from streams.configuration.models import Profile, models_of, profiles_of
from streams.configuration.policies import policy_of
from streams.configuration.roles import session_limits, session_prompts

FILES: Final = ("models", "policy", "limits")
PROFILES: Final = "profiles"
PROMPTS: Final = "prompts"
PERSONA: Final = "persona"
"""Of one's own alone; none is shipped."""


class _PromptsFile(Strict):
    """Prompts of the session's own calls; each that is absent is that of its file in `agents/`."""

    planner: str | None = None
    critic: str | None = None
    synthesizer: str | None = None
    summarizer: str | None = None


class _PersonaFile(Strict):
    name: Annotated[str, Field(pattern=r"^[\w .-]{1,60}$")]
    text: Annotated[str, Field(min_length=1, max_length=8_000)]


def load_models(path: Path, directory: Path | None = None) -> Models:
    """Read models and prices from a file of the form of models.toml; profiles are those of `directory`.

    Raises:
        ConfigurationInvalid: the file cannot be used.
    """
    return models_of(toml(path, str(path)), load_profiles(directory), str(path))


def load_configuration(
    tools: Iterable[ToolSpec], directory: Path | None = None, approvers: Path | None = None
) -> Configuration:
    """Read the configuration; a file that `directory` lacks is taken from the defaults.

    Args:
        tools: those that there are; where none are given, agents have those alone that they name in full.
        directory: of files of one's own.
        approvers: file of those who may decide about tool calls; they are a part of the policy.

    Raises:
        ConfigurationInvalid: a file cannot be used; nothing is half taken over.
    """
    texts = {name: own_or_shipped(name, directory) for name in FILES}
    models = models_of(texts["models"], load_profiles(directory), "models")
    specs = {spec.name: spec for spec in tools}
    sources = sources_of(directory)
    agents = agents_of(sources, specs)
    prompts = _prompts(sources, directory)
    persona = _persona(directory)
    if persona is not None:
        prompts["synthesizer"] += (
            f"\n\nYou are {persona.name}, and answer in this manner:\n{persona.text.strip()}"
        )
    policy = replace(policy_of(texts["policy"], "policy"), approvers=load_approvers(approvers))
    limits = _limits(
        {
            **session_limits(sources, own=False),
            **texts["limits"],
            **session_limits(sources, own=True),
        }
    )
    configuration = Configuration(
        models=models,
        agents=agents,
        prompts=prompts,
        tools=specs,
        policy=policy,
        limits=limits,
        versions=Versions(
            agents=content_hash({name: asdict(agent) for name, agent in agents.items()}),
            prompts=content_hash(prompts),
            policy=content_hash(asdict(policy)),
            models=content_hash(asdict(models)),
            limits=content_hash(asdict(limits)),
            tools=content_hash({name: asdict(spec) for name, spec in specs.items()}),
            persona=None if persona is None else f"{persona.name}@{content_hash(persona.model_dump())}",
        ),
    )
    demand_usable(configuration, {name: source.place for name, source in sources.items()})
    return configuration


def _prompts(sources: Mapping[str, Source], directory: Path | None) -> dict[str, str]:
    """Return the prompts of the session's own calls, one's own before the shipped."""
    told = checked(_PromptsFile, own(PROMPTS, directory) or {}, PROMPTS).model_dump(exclude_none=True)
    given = {
        **session_prompts(sources, own=False),
        **{name: str(text).strip() for name, text in told.items()},
        **session_prompts(sources, own=True),
    }
    return dict(sorted(given.items()))


def _persona(directory: Path | None) -> _PersonaFile | None:
    """Read who answers; None where nobody in particular does."""
    plain = own(PERSONA, directory)
    return None if plain is None else checked(_PersonaFile, plain, PERSONA)


def load_profiles(directory: Path | None = None) -> dict[str, Profile]:
    """Read how models of each family are asked: the shipped profiles, and those of one's own over them.

    Raises:
        ConfigurationInvalid: a file cannot be used.
    """
    return profiles_of({**shipped(PROFILES), **(own(PROFILES, directory) or {})}, PROFILES)


def configuration_facts(configuration: Configuration) -> tuple[ConfigurationPublished, ...]:
    """Return what is put on the log, so that every decision's configuration can be found by its hash."""
    parts: dict[str, object] = {
        "agents": {name: asdict(agent) for name, agent in configuration.agents.items()},
        "limits": asdict(configuration.limits),
        "models": asdict(configuration.models),
        "policy": asdict(configuration.policy),
        "prompts": dict(configuration.prompts),
        "tools": {name: asdict(spec) for name, spec in configuration.tools.items()},
    }
    return tuple(
        ConfigurationPublished(
            kind=ConfigurationKind(kind), content_hash=content_hash(part), content_json=_canonical(part)
        )
        for kind, part in parts.items()
    )


def content_hash(content: object) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of `content` as canonical JSON."""
    return sha256(_canonical(content).encode()).hexdigest()[:16]


def _canonical(content: object) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _limits(plain: Mapping[str, object]) -> Limits:
    known = Limits.__dataclass_fields__
    unknown = sorted(set(plain) - set(known))
    if unknown:
        raise ConfigurationInvalid(f"limits: there is no limit named {', '.join(unknown)}")
    given = dict(plain)
    downshift = given.pop("downshift", None)
    for name, value in given.items():
        default = known[name].default
        if not _fits(value, default):
            raise ConfigurationInvalid(f"limits: {name} is {value!r}; it takes a value like {default!r}")
    if given.get("failure_policy", "prune") not in ("prune", "fail"):
        raise ConfigurationInvalid("limits: failure_policy is prune or fail")
    limits = Limits(**given)  # type: ignore[arg-type]  # checked above, name by name
    if downshift is None:
        return limits
    return Limits(**{**given, "downshift": _downshift(downshift)})  # type: ignore[arg-type]  # likewise


def _fits(value: object, default: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(default, str):
        return isinstance(value, str)
    if isinstance(value, int) or (isinstance(default, float) and isinstance(value, float)):
        return value >= 0
    return False


class _DownshiftFile(Strict):
    share_left: Annotated[float, Field(ge=0, le=1)]
    call_share_max: Annotated[float, Field(gt=0, le=1)]


def _downshift(plain: object) -> tuple[DownshiftStep, ...]:
    if not isinstance(plain, list):
        raise ConfigurationInvalid("limits: downshift is a list of steps")
    steps = [checked(_DownshiftFile, step, "limits: downshift") for step in plain]
    return tuple(
        DownshiftStep(share_left=step.share_left, call_share_max=step.call_share_max) for step in steps
    )
