"""models.toml and profiles.toml: how each model is asked is data, and what cannot work is refused by name."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from schemas.configuration import EmbeddingParameters, RequestParameters
from streams.configuration.loading import ConfigurationInvalid, load_configuration, load_profiles

CHAT = """
[[chat]]
name = "a-model"
tier = "standard"
input_dollars_per_1000 = "0.001"
output_dollars_per_1000 = "0.002"
context_tokens = 32_000
encoding = "o200k_base"
"""
DOCS = Path(__file__).parents[2] / "docs"
EMBEDDING = """
[embedding]
name = "a-vector-model"
input_dollars_per_1000 = "0.0001"
dimensions = 768
input_tokens_max = 2_048
encoding = "cl100k_base"
"""


def written(directory: Path, chat: str = CHAT, embedding: str = EMBEDDING, profiles: str = "") -> Path:
    """Write a configuration of one's own."""
    (directory / "models.toml").write_text(f'dated = "2026-01-01"\n{chat}{embedding}', encoding="utf-8")
    if profiles:
        (directory / "profiles.toml").write_text(profiles, encoding="utf-8")
    return directory


def refused(directory: Path) -> str:
    with pytest.raises(ConfigurationInvalid) as caught:
        load_configuration((), directory)
    return str(caught.value)


@pytest.mark.parametrize(
    "family",
    ["openai", "openai-reasoning", "azure", "gemini", "mistral", "deepseek", "vllm", "ollama", "llama.cpp"],
)
def test_every_known_family_has_a_profile_that_a_model_can_name(tmp_path: Path, family: str) -> None:
    profile = load_profiles()[family]

    models = load_configuration((), written(tmp_path, f'{CHAT}profile = "{family}"\n')).models

    assert profile.says
    assert (models.chat[0].profile, models.chat[0].parameters) == (family, profile.chat)


def test_a_models_own_parameters_go_before_those_of_its_profile(tmp_path: Path) -> None:
    own = """profile = "openai-reasoning"
[chat.parameters]
temperature = true
extra_body = { reasoning_effort = "low" }
extra_headers = { "X-Team" = "support" }
"""

    parameters = load_configuration((), written(tmp_path, CHAT + own)).models.chat[0].parameters

    assert parameters.tokens_max_field == "max_completion_tokens"
    assert parameters.temperature
    assert json.loads(parameters.extra_body_json) == {"reasoning_effort": "low"}
    assert parameters.extra_headers == (("X-Team", "support"),)


def test_a_profile_of_ones_own_stands_beside_the_shipped_ones(tmp_path: Path) -> None:
    profiles = """[house]
says = "ours"
[house.chat]
stream = false
[house.embedding]
texts_max = 16
"""
    directory = written(tmp_path, f'{CHAT}profile = "house"\n', f'{EMBEDDING}profile = "house"\n', profiles)

    models = load_configuration((), directory).models

    assert not models.chat[0].parameters.stream
    assert (models.embedding.dimensions, models.embedding.parameters.texts_max) == (768, 16)
    assert "mistral" in load_profiles(directory)


def test_there_may_be_no_embedding_model(tmp_path: Path) -> None:
    models = load_configuration((), written(tmp_path, embedding='[embedding]\nname = ""\n')).models

    assert models.embedding.name == ""


@pytest.mark.parametrize(
    ("chat", "told"),
    [
        (f'{CHAT}profile = "opneai"\n', "no profile named 'opneai'"),
        (f"{CHAT}[chat.parameters]\ntempreature = false\n", "tempreature"),
        (f'{CHAT}[chat.parameters]\ntokens_max_field = "limit"\n', "tokens_max_field"),
        (f"{CHAT}[chat.parameters]\nextra_body = {{ max_tokens = 9 }}\n", "max_tokens cannot be set here"),
        (f"{CHAT}[chat.parameters]\nextra_body = {{ model = 'x' }}\n", "model cannot be set here"),
        (f'{CHAT}[chat.parameters]\nextra_headers = {{ "API-Key" = "k" }}\n', "API-Key"),
        (f'{CHAT}[chat.parameters]\nextra_headers = {{ "a b" = "k" }}\n', "extra_headers"),
        (f'{CHAT}[chat.parameters]\nextra_headers = {{ "X-A" = "k\\nX-B: c" }}\n', "extra_headers"),
        (CHAT + CHAT, "a-model stands there twice"),
        (CHAT.replace("0.001", "free"), "'free' is not a price"),
        (CHAT.replace("0.001", "Infinity"), "'Infinity'"),
        (CHAT.replace("0.001", "NaN"), "'NaN'"),
    ],
)
def test_what_cannot_work_is_refused_by_name(tmp_path: Path, chat: str, told: str) -> None:
    assert told in refused(written(tmp_path, chat))


@pytest.mark.parametrize("dimensions", ["0", "1_537", '"many"'])
def test_vectors_longer_than_the_column_are_refused(tmp_path: Path, dimensions: str) -> None:
    embedding = EMBEDDING.replace("768", dimensions)

    assert "embedding.dimensions" in refused(written(tmp_path, embedding=embedding))


def test_an_empty_file_of_ones_own_is_not_the_default(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text("", encoding="utf-8")

    assert "models: dated" in refused(tmp_path)


def test_the_example_in_the_guide_can_be_used(tmp_path: Path) -> None:
    guide = (DOCS / "providers.md").read_text(encoding="utf-8")
    example = guide.split("```toml\n")[1].split("```")[0]
    (tmp_path / "models.toml").write_text(example, encoding="utf-8")

    models = load_configuration((), tmp_path).models

    assert [model.profile for model in models.chat] == ["mistral", "mistral"]
    assert not models.chat[1].parameters.temperature


def test_the_guide_names_every_profile_and_every_parameter() -> None:
    guide = (DOCS / "providers.md").read_text(encoding="utf-8")
    parameters = {field.name for kind in (RequestParameters, EmbeddingParameters) for field in fields(kind)}
    named = {name.removesuffix("_json") for name in parameters}

    assert [name for name in (*load_profiles(), *sorted(named)) if f"`{name}`" not in guide] == []
