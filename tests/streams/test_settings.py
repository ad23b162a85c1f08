"""Settings: read once, all faults at once, secrets never shown."""

from pathlib import Path

import pytest

from streams.process import metrics, settings
from streams.process.settings import Settings, SettingsInvalid

DOCS = Path(__file__).parents[2] / "docs"


def faults_of(**environ: str) -> str:
    with pytest.raises(SettingsInvalid) as invalid:
        Settings.from_environment(environ)
    return "\n".join(invalid.value.faults)


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()


def test_variables_are_read_by_the_type_of_their_setting() -> None:
    read = Settings.from_environment(
        {
            "CARTRITA_PARTITIONS": "12",
            "CARTRITA_DATA_DIRECTORY": "/var/lib/cartrita",
            "CARTRITA_LOG_FORMAT": "json",
            "OPENAI_BASE_URL": "http://127.0.0.1:1234/v1",
            "OPENAI_API_KEY": "secret",
            "PATH": "/bin",
        }
    )

    assert (read.partitions, read.data_directory, read.log_format) == (12, Path("/var/lib/cartrita"), "json")
    assert (read.model_base_url, read.model_api_key) == ("http://127.0.0.1:1234/v1", "secret")


def test_an_empty_variable_counts_as_absent() -> None:
    assert Settings.from_environment({"CARTRITA_PARTITIONS": " "}).partitions == Settings().partitions


def test_all_faults_are_told_together() -> None:
    told = faults_of(
        CARTRITA_PARTITIONS="many",
        CARTRITA_SESSION_TIMEOUT_MS="1",
        CARTRITA_LOG_FORMAT="pretty",
        CARTRITA_KAFKA_BOOTSTRAP="nowhere",
        CARTRITA_REGISTRY_URL="registry",
        CARTRITA_CONFIGURATION_DIRECTORY="/does/not/exist",
        CARTRITA_TOPIC_PREFIX="a b",
        CARTRITA_FAILPOINT="somewhere:1",
        CARTRITA_PARTITONS="8",
    )

    for text in (
        "CARTRITA_PARTITIONS is 'many'; it takes a whole number",
        "CARTRITA_SESSION_TIMEOUT_MS is 1; the least is 3000",
        "CARTRITA_LOG_FORMAT is 'pretty'; it takes console, json",
        "'nowhere' is not host:port",
        "CARTRITA_REGISTRY_URL is 'registry'",
        "there is no folder /does/not/exist",
        "CARTRITA_TOPIC_PREFIX takes letters",
        "CARTRITA_FAILPOINT: a failpoint is",
        "CARTRITA_PARTITONS is no setting",
    ):
        assert text in told


def test_secrets_are_in_no_repr() -> None:
    read = Settings.from_environment(
        {"OPENAI_API_KEY": "hunter2", "CARTRITA_POSTGRES_DSN": "postgresql://u:hunter2@127.0.0.1/db"}
    )

    assert "hunter2" not in repr(read)


@pytest.mark.parametrize(
    ("document", "table"),
    [("configuration.md", settings.table()), ("metrics.md", metrics.table())],
)
def test_the_documentation_lists_what_the_code_declares(document: str, table: str) -> None:
    assert table in (DOCS / document).read_text(encoding="utf-8")
