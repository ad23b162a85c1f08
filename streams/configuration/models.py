"""Models, prices, and how each is asked: models.toml, and the profiles of families that it names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, StringConstraints, field_validator

from processors.amounts import NANODOLLARS
from schemas.configuration import (
    VECTOR_DIMENSIONS,
    ChatModel,
    EmbeddingModel,
    EmbeddingParameters,
    Models,
    RequestParameters,
)
from schemas.frozen import replace
from streams.configuration.files import ConfigurationInvalid, Strict, checked

PROFILE_DEFAULT: Final = "openai"
_OWN_FIELDS: Final = frozenset(
    {"model", "messages", "input", "tools", "n", "max_tokens", "max_completion_tokens", "stream"}
)
"""What this program decides with every request; an extra body that said otherwise would break a budget."""
_SECRET_HEADERS: Final = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"})
_HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
_HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\t\x20-\x7e]{0,1000}$")]
_FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,60}$")]


class _AnyParametersFile(Strict):
    """What stands in a file is given; what does not is left to the profile."""

    key_header: _HeaderName | None = None
    extra_body: dict[str, object] | None = None
    extra_headers: dict[_HeaderName, _HeaderValue] | None = None

    @field_validator("extra_body")
    @classmethod
    def _leaves_alone(cls, value: dict[str, object] | None) -> dict[str, object] | None:
        own = sorted(_OWN_FIELDS & set(value or {}))
        if own:
            raise ValueError(f"{', '.join(own)} cannot be set here")
        return value

    @field_validator("extra_headers")
    @classmethod
    def _holds_no_key(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        secret = sorted(name for name in value or {} if name.lower() in _SECRET_HEADERS)
        if secret:
            raise ValueError(
                f"{', '.join(secret)}: the configuration is published, so a key belongs in the environment; "
                "key_header says in which header it goes"
            )
        return value

    def given(self) -> dict[str, object]:
        """Return the fields of the record that the file sets."""
        found = self.model_dump(exclude_none=True)
        for name in ("extra_body", "call_state_default"):
            if name in found:
                found[f"{name}_json"] = json.dumps(found.pop(name), sort_keys=True)
        if self.extra_headers is not None:
            found["extra_headers"] = tuple(sorted(self.extra_headers.items()))
        return found


class _ParametersFile(_AnyParametersFile):
    tokens_max_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    temperature: bool | None = None
    stream: bool | None = None
    stream_usage: bool | None = None
    response_format: Literal["json_object", "json_schema", "none"] | None = None
    tool_choice: Literal["", "auto", "required", "any"] | None = None
    parallel_tool_calls: bool | None = None
    system_role: Literal["system", "developer", "user"] | None = None
    alternate_roles: bool | None = None
    state_fields: tuple[_FieldName, ...] | None = None
    state_always: bool | None = None
    call_state: bool | None = None
    call_state_default: dict[str, object] | None = None


class _EmbeddingParametersFile(_AnyParametersFile):
    dimensions_field: Literal["", "dimensions", "output_dimension"] | None = None
    encoding_format: Literal["", "float"] | None = None
    texts_max: Annotated[int, Field(ge=1, le=100_000)] | None = None
    tokens_max: Annotated[int, Field(ge=1)] | None = None


class _ProfileFile(Strict):
    says: str
    hosts: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    chat: _ParametersFile = _ParametersFile()
    embedding: _EmbeddingParametersFile = _EmbeddingParametersFile()


class _ChatFile(Strict):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    tier: Literal["premium", "standard", "fallback"]
    input_dollars_per_1000: str
    output_dollars_per_1000: str
    context_tokens: Annotated[int, Field(ge=1_000)]
    encoding: str
    calls_tools: bool = True
    profile: str = PROFILE_DEFAULT
    parameters: _ParametersFile = _ParametersFile()


class _EmbeddingFile(Strict):
    name: str
    input_dollars_per_1000: str = "0"
    dimensions: Annotated[int, Field(ge=1, le=VECTOR_DIMENSIONS)] = VECTOR_DIMENSIONS
    input_tokens_max: Annotated[int, Field(ge=1)] = 8_191
    encoding: str = "cl100k_base"
    profile: str = PROFILE_DEFAULT
    parameters: _EmbeddingParametersFile = _EmbeddingParametersFile()


class _ModelsFile(Strict):
    dated: str
    chat: Annotated[list[_ChatFile], Field(min_length=1)]
    embedding: _EmbeddingFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How the models of one family are asked, unless a model's own entry says otherwise."""

    says: str
    """Which servers it is for, in a sentence."""
    hosts: tuple[str, ...]
    """Ends of the names of its servers."""
    owners: tuple[str, ...]
    """Who owns models, as its servers' list of models has it."""
    chat: RequestParameters
    embedding: EmbeddingParameters


def profiles_of(plain: Mapping[str, object], name: str) -> dict[str, Profile]:
    """Read a file of profiles.

    Raises:
        ConfigurationInvalid: one cannot be used.
    """
    files = {family: checked(_ProfileFile, one, f"{name}: {family}") for family, one in plain.items()}
    return {
        family: Profile(
            says=file.says.strip(),
            hosts=file.hosts,
            owners=file.owners,
            chat=RequestParameters(**file.chat.given()),  # type: ignore[arg-type]  # checked field by field
            embedding=EmbeddingParameters(**file.embedding.given()),  # type: ignore[arg-type]  # likewise
        )
        for family, file in files.items()
    }


def models_of(plain: Mapping[str, object], profiles: Mapping[str, Profile], name: str) -> Models:
    """Read the models, each with the parameters of its profile and its own.

    Raises:
        ConfigurationInvalid: a model cannot be used.
    """
    file = checked(_ModelsFile, plain, name)
    names = [model.name for model in file.chat]
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        raise ConfigurationInvalid(f"{name}: chat: {', '.join(twice)} stands there twice")
    try:
        return Models(
            dated=file.dated,
            chat=tuple(_chat_model(model, profiles) for model in file.chat),
            embedding=_embedding_model(file.embedding, profiles),
        )
    except ValueError as error:
        raise ConfigurationInvalid(f"{name}: {error}") from error


def nanodollars_per_token(dollars_per_1000: str) -> int:
    """Turn a price as people write it into 10⁻⁹ dollars a token: "0.0025" is 2,500.

    Raises:
        ValueError: it is no number, negative, or finer than a nanodollar a token.
    """
    try:
        price = Decimal(dollars_per_1000) * NANODOLLARS / 1_000
    except InvalidOperation as error:
        raise ValueError(f"{dollars_per_1000!r} is not a price") from error
    if not price.is_finite() or price < 0 or price != price.to_integral_value():
        raise ValueError(f"{dollars_per_1000!r} is not a whole number of nanodollars a token")
    return int(price)


def _chat_model(file: _ChatFile, profiles: Mapping[str, Profile]) -> ChatModel:
    profile = _profile(file.profile, profiles)
    return ChatModel(
        name=file.name,
        tier=file.tier,
        input_nanodollars=nanodollars_per_token(file.input_dollars_per_1000),
        output_nanodollars=nanodollars_per_token(file.output_dollars_per_1000),
        context_tokens=file.context_tokens,
        encoding=file.encoding,
        calls_tools=file.calls_tools,
        profile=file.profile,
        parameters=_with(profile.chat, file.parameters),
    )


def _embedding_model(file: _EmbeddingFile, profiles: Mapping[str, Profile]) -> EmbeddingModel:
    profile = _profile(file.profile, profiles)
    return EmbeddingModel(
        name=file.name,
        input_nanodollars=nanodollars_per_token(file.input_dollars_per_1000),
        dimensions=file.dimensions,
        input_tokens_max=file.input_tokens_max,
        encoding=file.encoding,
        profile=file.profile,
        parameters=_with(profile.embedding, file.parameters),
    )


def _profile(name: str, profiles: Mapping[str, Profile]) -> Profile:
    if name not in profiles:
        raise ValueError(f"there is no profile named {name!r}; there are {', '.join(sorted(profiles))}")
    return profiles[name]


_ParametersT = TypeVar("_ParametersT", RequestParameters, EmbeddingParameters)


def _with(parameters: _ParametersT, file: _AnyParametersFile) -> _ParametersT:
    return replace(parameters, **file.given())  # type: ignore[arg-type]  # checked field by field
