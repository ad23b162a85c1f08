"""Settings: the only place that reads the environment, once, into a frozen object."""

# ruff: noqa: RUF009  # _setting makes the fields, as dataclasses.field does

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from streams.process import failpoints

PREFIX: Final = "CARTRITA_"
OPENAI_URL: Final = "https://api.openai.com/v1"
LOCAL_MODEL_KEY: Final = "local"
"""As OPENAI_API_KEY: the deterministic local model answers, which asks for none."""
SESSION_MS_MIN: Final = 3_000
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off")


class SettingsInvalid(Exception):
    """Settings are wrong; `faults` holds a sentence for each, all of them at once."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        """Note every fault."""
        super().__init__("; ".join(faults))
        self.faults = faults


def _setting(
    default: Any,  # Any: each field has a type of its own
    text: str,
    *,
    variable: str | None = None,
    least: int | None = None,
    most: int | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    metadata = {
        "text": text,
        "variable": variable,
        "least": least,
        "most": most,
        "choices": choices,
        "secret": secret,
    }
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a process is told from outside."""

    kafka_bootstrap: str = _setting("127.0.0.1:9092", "Kafka's addresses, host:port, several by commas.")
    registry_url: str = _setting(
        "http://127.0.0.1:8081/apis/ccompat/v7",
        "The schema registry, up to where the paths /subjects and /schemas begin.",
    )
    postgres_dsn: str = _setting(
        "postgresql://127.0.0.1:5432/cartrita",
        "Postgres, as libpq takes it; may hold a password.",
        secret=True,
    )
    gateway_postgres_dsn: str = _setting(
        "", "Postgres by the gateway's own login, which `migrate` makes; empty: as all others.", secret=True
    )
    gateway_postgres_password: str = _setting(
        "", "Password of the gateway's login, where that address has none.", secret=True
    )
    version_one_tables: Path | None = _setting(
        None,
        "File of TOML that says how V1's tables are written where they have another form than V2's; "
        "`cartrita doctor` tells what to write there.",
    )
    version_one_dsn: str = _setting(
        "",
        "V1's Postgres, as libpq takes it, for `cartrita backfill`; may hold a password. Empty: what "
        "DATABASE_URL says, or else V2's own.",
        secret=True,
    )
    database_url: str = _setting(
        "", "The same, as V1's own programs are told it.", variable="DATABASE_URL", secret=True
    )
    topic_prefix: str = _setting("", "Put before the name of every topic, subject and consumer group.")
    app_id: str = _setting("cartrita", "Name of the deployment; consumer groups are this and a shell's name.")
    partitions: int = _setting(
        8, "Partitions of every topic that is keyed by session; never changes.", least=1, most=10_000
    )
    replication: int = _setting(1, "Copies of each topic; 3 where there are three brokers.", least=1, most=9)
    session_timeout_ms: int = _setting(
        8_000,
        "A worker that gives no sign of life for so long is replaced.",
        least=SESSION_MS_MIN,
        most=300_000,
    )
    rebalance_timeout_ms: int = _setting(
        30_000, "How long a group waits for a member when partitions are shared out anew.", least=5_000
    )
    produce_timeout_ms: int = _setting(
        60_000, "How long Kafka may be away before a process that writes gives up and ends.", least=1_000
    )
    commit_interval_ms: int = _setting(1_000, "How often offsets are committed.", least=100, most=60_000)
    startup_timeout_ms: int = _setting(
        120_000, "How long a process waits at its start for Kafka, registry and Postgres.", least=0
    )
    clock_skew_max_ms: int = _setting(
        1_000, "A worker whose clock is further from Kafka's does not start.", least=1
    )
    identity: str = _setting(
        "",
        "Static identity of the worker, unique in its deployment. A lock in the data directory proves the "
        "predecessor gone, so that a restart takes over at once; empty: none.",
    )
    table_store: str = _setting(
        "memory",
        "Where a worker keeps its tables: in memory, or with rocksdb in the data directory, for more "
        "sessions than fit in memory and for starts that read only what is new; rocksdb needs an identity.",
        choices=("memory", "rocksdb"),
    )
    calls_in_flight_max: int = _setting(
        64, "Model calls, and tool calls, that one process runs at once.", least=1, most=10_000
    )
    reader_cache_bytes: int = _setting(67_108_864, "Memory for texts that calls refer to.", least=1_048_576)
    model_base_url: str = _setting(
        "", "OpenAI-compatible API; empty: OpenAI's own.", variable="OPENAI_BASE_URL"
    )
    model_api_key: str = _setting(
        "", "Key for it; empty: none is sent.", variable="OPENAI_API_KEY", secret=True
    )
    embedding_base_url: str = _setting(
        "",
        "OpenAI-compatible API that makes vectors, where it is another one; empty: that of the chat models.",
    )
    embedding_api_key: str = _setting(
        "", "Key for it; where the API is another one and this is empty, none is sent.", secret=True
    )
    sandbox: str = _setting(
        "auto",
        "Isolation that foreign code must have; auto: the strongest that withstands an attack at the start. "
        "What is demanded and does not hold is refused, never weakened.",
        choices=("auto", "ns", "lsm", "wasm", "refuse"),
    )
    ui_root: Path = _setting(
        Path("."), "Folder below which the tool analyze_ui may read front-ends; by default the working one."
    )
    configuration_directory: Path | None = _setting(
        None,
        "Folder with files of one's own: agents/NAME.toml, models.toml, profiles.toml, prompts.toml, "
        "persona.toml, policy.toml or limits.toml.",
    )
    approvers: Path | None = _setting(
        None,
        "File that names who may decide about tool calls, with their public keys (docs/approvals.md); "
        "absent: nobody can approve anything.",
    )
    approver_key: Path | None = _setting(
        None, "Key file with which the command line signs decisions about tool calls."
    )
    gateway_approver_key: Path | None = _setting(
        None,
        "Key file with which a gateway signs what tokens with the scope approve decide; absent: it takes no "
        "decisions.",
    )
    webhook_url: str = _setting(
        "",
        "Where a gateway tells that a person is asked (docs/approvals.md); empty: nobody is told.",
    )
    webhook_secret: str = _setting(
        "", "With which it signs that: whsec_ and base64 of at least 24 bytes.", secret=True
    )
    gateway_url: str = _setting(
        "", "The gateway's address as people reach it, for links that it sends; empty: its own."
    )
    mcp_servers: Path | None = _setting(
        None,
        "File that names MCP servers whose tools agents may call (docs/mcp.md); what a person accepted of "
        "them stands beside it.",
    )
    tools_directory: Path | None = _setting(
        None, "Folder with tools of one's own, each a file of Python (docs/adding-a-tool.md); absent: none."
    )
    tool_entry_points: str = _setting(
        "",
        "Tools that installed packages offer, by their names in the group cartrita.tools; several by commas.",
    )
    tiktoken_cache_directory: Path | None = _setting(
        None, "Folder with tiktoken's vocabularies; absent: tiktoken downloads them."
    )
    data_directory: Path = _setting(Path(".cartrita/worker"), "Folder for locks and local state.")
    sandbox_directory: Path | None = _setting(
        None,
        "Folder for what foreign code writes while it runs; by default one in the data folder. On a file "
        "system of its own it can't fill that of the worker's state.",
    )
    metrics_host: str = _setting("127.0.0.1", "Address of /metrics and /healthz.")
    metrics_port: int = _setting(
        0, "Port of /metrics and /healthz; 0 takes a free one.", least=0, most=65_535
    )
    gateway_host: str = _setting(
        "127.0.0.1",
        "Address of the gateway; one that others can reach needs a certificate, or "
        "CARTRITA_GATEWAY_INSECURE.",
    )
    gateway_port: int = _setting(
        3_000, "Port of the gateway; 0 takes a free one.", variable="PORT", least=0, most=65_535
    )
    gateway_socket_port: int = _setting(
        0,
        "A second port of the gateway, for WebSockets; 0: one port serves both.",
        variable="WS_PORT",
        least=0,
        most=65_535,
    )
    gateway_hosts: str = _setting(
        "", "Names by which the gateway is called, beside those of the loopback interface; several by commas."
    )
    gateway_origins: str = _setting(
        "", "Pages that may ask from a browser, such as https://console.example; several by commas."
    )
    gateway_certificate: Path | None = _setting(None, "The gateway's TLS certificate, a PEM file.")
    gateway_certificate_key: Path | None = _setting(None, "Its private key, a PEM file.")
    gateway_insecure: bool = _setting(
        False, "Serve tokens without TLS on an address that others can reach; logged at each start."
    )
    gateway_token_requests_per_s: int = _setting(
        250,
        "Requests and WebSocket messages a second of one token at one gateway; four times as many at once.",
        least=1,
    )
    gateway_tenant_requests_per_s: int = _setting(
        1_000, "Likewise of all tokens of a tenant together.", least=1
    )
    gateway_open_max: int = _setting(
        4_000, "Requests under way and WebSockets that one gateway serves; beyond them, 503.", least=1
    )
    gateway_token_open_max: int = _setting(
        1_500, "How many of them one token may have; beyond them, 429.", least=1
    )
    log_format: str = _setting("console", "How logs look.", choices=("console", "json"))
    log_level: str = _setting(
        "info", "Least level that is logged.", choices=("debug", "info", "warning", "error")
    )
    failpoint: str = _setting(
        "", "For tests alone: NAME:NTH[:kill|stop] ends or stops the process at that step of the protocol."
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read settings from environment variables; variables that are empty count as absent.

        Raises:
            SettingsInvalid: with all faults together.
        """
        faults: list[str] = []
        given: dict[str, object] = {}
        known = {variable_of(one) for one in fields(cls)}
        for one in fields(cls):
            text = environ.get(variable_of(one), "")
            if text.strip():
                value = _read(one, text.strip(), faults)
                if value is not None:
                    given[one.name] = value
        faults += [
            f"{name} is no setting; see docs/configuration.md"
            for name in sorted(environ)
            if name.startswith(PREFIX) and name not in known and name not in _ELSEWHERE
        ]
        settings = cls(**given)  # type: ignore[arg-type]  # each read by its field's type
        faults += settings._faults(given)
        if faults:
            raise SettingsInvalid(tuple(faults))
        return settings

    @property
    def heartbeat_interval_ms(self) -> int:
        """Return how often a member gives a sign of life: eight times in a session timeout."""
        return self.session_timeout_ms // 8

    @property
    def gateway_dsn(self) -> str:
        """Return how the gateway connects to Postgres; as all others where nothing is said of it."""
        if not self.gateway_postgres_dsn:
            return self.postgres_dsn
        # It takes a third of a second to import, which no command that needs no Postgres should wait for.
        from psycopg.conninfo import make_conninfo

        password = self.gateway_postgres_password
        return make_conninfo(self.gateway_postgres_dsn, **({"password": password} if password else {}))

    @property
    def model_url(self) -> str:
        """Return where the chat models are: the address that was given, else OpenAI's own."""
        return self.model_base_url or OPENAI_URL

    def _faults(self, given: Mapping[str, object]) -> list[str]:
        faults = []
        for name in ("registry_url", "model_base_url", "embedding_base_url", "webhook_url", "gateway_url"):
            url = getattr(self, name)
            parts = urlsplit(url)
            if url and (parts.scheme not in ("http", "https") or not parts.hostname):
                faults.append(f"{_variable(name)} is {url!r}; it takes a URL such as http://127.0.0.1:8081")
        for address in self.kafka_bootstrap.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65_536:
                faults.append(f"{_variable('kafka_bootstrap')}: {address.strip()!r} is not host:port")
        if not set(self.topic_prefix) <= _NAME_CHARACTERS or len(self.topic_prefix) > 100:
            faults.append(f"{_variable('topic_prefix')} takes letters, digits, '.', '_' and '-', at most 100")
        if not self.app_id or not set(self.app_id) <= _NAME_CHARACTERS:
            faults.append(f"{_variable('app_id')} takes letters, digits, '.', '_' and '-'")
        if self.table_store == "rocksdb" and not self.identity:
            faults.append(f"{_variable('table_store')}: rocksdb needs {_variable('identity')}")
        if not set(self.identity) <= _NAME_CHARACTERS:
            faults.append(f"{_variable('identity')} takes letters, digits, '.', '_' and '-'")
        directory = self.configuration_directory
        if directory is not None and not directory.is_dir():
            faults.append(f"{_variable('configuration_directory')}: there is no folder {directory}")
        directory = self.tools_directory
        if directory is not None and not directory.is_dir():
            faults.append(f"{_variable('tools_directory')}: there is no folder {directory}")
        for name in ("mcp_servers", "approvers", "approver_key", "gateway_approver_key"):
            file = getattr(self, name)
            if file is not None and not file.is_file():
                faults.append(f"{_variable(name)}: there is no file {file}")
        if "failpoint" in given:
            try:
                failpoints.parse(self.failpoint)
            except ValueError as error:
                faults.append(f"{_variable('failpoint')}: {error}")
        return faults


_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_ELSEWHERE: Final = frozenset({"CARTRITA_HOME"})
"""Read by the command line before there are settings."""


def variable_of(one: "Field[Any]") -> str:  # Any: fields have types of their own
    """Return the environment variable of a field of Settings."""
    return cast("str | None", one.metadata["variable"]) or PREFIX + one.name.upper()


def table() -> str:
    """Return the table of docs/configuration.md."""
    lines = ["| variable | default | what it says |", "|---|---|---|"]
    for one in fields(Settings):
        assert one.default is not MISSING
        default = "" if one.default in (None, "") else f"`{one.default}`"
        lines.append(f"| `{variable_of(one)}` | {default} | {one.metadata['text']}{_bounds(one)} |")
    return "\n".join(lines) + "\n"


def _bounds(one: "Field[Any]") -> str:
    least, most, choices = (one.metadata[name] for name in ("least", "most", "choices"))
    if choices:
        return f" One of {', '.join(choices)}."
    if least is not None and most is not None:
        return f" {least} to {most}."
    if least is not None:
        return f" At least {least}."
    return ""


def _variable(name: str) -> str:
    return variable_of(Settings.__dataclass_fields__[name])


def _read(one: "Field[Any]", text: str, faults: list[str]) -> object | None:
    shown = "what was given" if one.metadata["secret"] else repr(text)
    if one.type is int:
        return _read_int(one, text, shown, faults)
    if one.type is bool:
        if text.lower() in (*_TRUE, *_FALSE):
            return text.lower() in _TRUE
        faults.append(f"{variable_of(one)} is {shown}; it takes true or false")
        return None
    if one.type is Path or one.type == Path | None:
        return Path(text)
    choices = cast("tuple[str, ...]", one.metadata["choices"])
    if choices and text not in choices:
        faults.append(f"{variable_of(one)} is {shown}; it takes {', '.join(choices)}")
        return None
    return text


def _read_int(one: "Field[Any]", text: str, shown: str, faults: list[str]) -> int | None:
    try:
        number = int(text)
    except ValueError:
        faults.append(f"{variable_of(one)} is {shown}; it takes a whole number")
        return None
    least, most = one.metadata["least"], one.metadata["most"]
    if least is not None and number < least:
        faults.append(f"{variable_of(one)} is {number}; the least is {least}")
        return None
    if most is not None and number > most:
        faults.append(f"{variable_of(one)} is {number}; the most is {most}")
        return None
    return number
