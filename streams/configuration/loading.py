"""Loading the configuration that decides: from the defaults, or a folder with files of the same names."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.configuration import (
    Agent,
    ChatModel,
    Configuration,
    DownshiftStep,
    EmbeddingModel,
    Limits,
    Models,
    Policy,
    PolicyRule,
    ToolSpec,
)
from schemas.envelope import Versions
from schemas.events.configurations import ConfigurationKind, ConfigurationPublished

FILES: Final = ("models", "agents", "prompts", "policy", "limits")
NANODOLLARS: Final = 1_000_000_000


class ConfigurationInvalid(Exception):
    """A file of the configuration says something that cannot be; the text names the file and the place."""


_FileT = TypeVar("_FileT", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _ChatFile(_Strict):
    name: str
    tier: Literal["premium", "standard", "fallback"]
    input_dollars_per_1000: str
    output_dollars_per_1000: str
    context_tokens: Annotated[int, Field(ge=1_000)]
    encoding: str


class _EmbeddingFile(_Strict):
    name: str
    input_dollars_per_1000: str
    dimensions: Literal[1536]
    input_tokens_max: Annotated[int, Field(ge=1)]
    encoding: str


class _ModelsFile(_Strict):
    dated: str
    chat: Annotated[list[_ChatFile], Field(min_length=1)]
    embedding: _EmbeddingFile


class _AgentFile(_Strict):
    purpose: str
    tier: Literal["premium", "standard", "fallback"]
    tools: list[str]
    output_tokens_max: Annotated[int, Field(ge=64)]
    prompt: str
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    answers_with: Literal["text", "tool"] = "text"


class _PromptsFile(_Strict):
    planner: str
    critic: str
    synthesizer: str


class _RuleFile(_Strict):
    name: Annotated[str, Field(max_length=100)]
    decision: Literal["allow", "deny", "throttle", "escalate", "audit"]
    reason: str
    agents: list[str] = []
    tools: list[str] = []
    safety_levels: list[Literal["safe", "caution", "restricted"]] = []
    unless_listed: bool = False
    share_left_below: float | None = None
    calls_above: int | None = None


class _PolicyFile(_Strict):
    rules: list[_RuleFile]


def load_configuration(tools: Iterable[ToolSpec], directory: Path | None = None) -> Configuration:
    """Read the configuration; a file that `directory` lacks is taken from the defaults.

    Raises:
        ConfigurationInvalid: a file cannot be used; nothing is half taken over.
    """
    texts = {name: _text(name, directory) for name in FILES}
    models = _models(_checked(_ModelsFile, texts["models"], "models"))
    agents = {
        name: _agent(name, _checked(_AgentFile, plain, f"agents: {name}"))
        for name, plain in texts["agents"].items()
    }
    given = _checked(_PromptsFile, texts["prompts"], "prompts").model_dump()
    prompts = {name: str(text).strip() for name, text in given.items()}
    policy = _policy(texts["policy"], "policy")
    limits = _limits(texts["limits"])
    specs = {spec.name: spec for spec in tools}
    return Configuration(
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
        ),
    )


def load_policy(path: Path) -> Policy:
    """Read one file of rules, of the form of policy.toml.

    Raises:
        ConfigurationInvalid: it cannot be read, or is no policy.
    """
    return _policy(_toml(path, str(path)), str(path))


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


def nanodollars_per_token(dollars_per_1000: str) -> int:
    """Turn a price as people write it into 10⁻⁹ dollars a token: "0.0025" is 2,500.

    Raises:
        ValueError: it is no number, negative, or finer than a nanodollar a token.
    """
    try:
        price = Decimal(dollars_per_1000) * NANODOLLARS / 1_000
    except InvalidOperation as error:
        raise ValueError(f"{dollars_per_1000!r} is not a price") from error
    if price < 0 or price != price.to_integral_value():
        raise ValueError(f"{dollars_per_1000!r} is not a whole number of nanodollars a token")
    return int(price)


def _canonical(content: object) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _text(name: str, directory: Path | None) -> Mapping[str, object]:
    path = directory / f"{name}.toml" if directory is not None else None
    if path is not None and path.exists():
        return _toml(path, f"{name}.toml")
    shipped = resources.files("streams.configuration").joinpath("defaults", f"{name}.toml")
    return _toml(shipped, f"{name}.toml")


def _toml(file: Path | Traversable, name: str) -> Mapping[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationInvalid(f"{name} cannot be read: {error}") from error


def _checked(file: type[_FileT], plain: object, name: str) -> _FileT:
    try:
        return file.model_validate(plain)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
        )
        raise ConfigurationInvalid(f"{name}: {faults}") from error


def _models(file: _ModelsFile) -> Models:
    try:
        return Models(
            dated=file.dated,
            chat=tuple(
                ChatModel(
                    name=model.name,
                    tier=model.tier,
                    input_nanodollars=nanodollars_per_token(model.input_dollars_per_1000),
                    output_nanodollars=nanodollars_per_token(model.output_dollars_per_1000),
                    context_tokens=model.context_tokens,
                    encoding=model.encoding,
                )
                for model in file.chat
            ),
            embedding=EmbeddingModel(
                name=file.embedding.name,
                input_nanodollars=nanodollars_per_token(file.embedding.input_dollars_per_1000),
                dimensions=file.embedding.dimensions,
                input_tokens_max=file.embedding.input_tokens_max,
                encoding=file.embedding.encoding,
            ),
        )
    except ValueError as error:
        raise ConfigurationInvalid(f"models: {error}") from error


def _agent(name: str, file: _AgentFile) -> Agent:
    return Agent(
        name=name,
        purpose=file.purpose,
        tier=file.tier,
        tools=tuple(file.tools),
        prompt=file.prompt.strip(),
        output_tokens_max=file.output_tokens_max,
        temperature=file.temperature,
        answers_with=file.answers_with,
    )


def _policy(plain: Mapping[str, object], name: str) -> Policy:
    return Policy(rules=tuple(_rule(rule) for rule in _checked(_PolicyFile, plain, name).rules))


def _rule(file: _RuleFile) -> PolicyRule:
    return PolicyRule(
        name=file.name,
        decision=file.decision,
        reason=file.reason,
        agents=tuple(file.agents),
        tools=tuple(file.tools),
        safety_levels=tuple(file.safety_levels),
        unless_listed=file.unless_listed,
        share_left_below=file.share_left_below,
        calls_above=file.calls_above,
    )


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


class _DownshiftFile(_Strict):
    share_left: Annotated[float, Field(ge=0, le=1)]
    call_share_max: Annotated[float, Field(gt=0, le=1)]


def _downshift(plain: object) -> tuple[DownshiftStep, ...]:
    if not isinstance(plain, list):
        raise ConfigurationInvalid("limits: downshift is a list of steps")
    steps = [_checked(_DownshiftFile, step, "limits: downshift") for step in plain]
    return tuple(
        DownshiftStep(share_left=step.share_left, call_share_max=step.call_share_max) for step in steps
    )
