"""compose.yaml and the Dockerfile: valid, closed to the outside, and in step with the rest of the project."""

import json
import re
import subprocess
import sys
from importlib import resources
from typing import Final

import pytest
from jsonschema import Draft202012Validator
from psycopg.conninfo import conninfo_to_dict

from connectors.embedded.kafka import BROKER_SETTINGS
from connectors.embedded.lock import read_lock
from streams.process.settings import PREFIX, Settings
from tests.containers.composition import (
    COMPOSE_PATH,
    ROOT,
    VariableMissing,
    document,
    image_environment,
    instructions,
    interpolated,
    mapping,
    service,
    services,
    strings,
)

NAMES: Final = frozenset(
    {"kafka", "postgres", "registry", "setup", "model", "worker", "sink", "gateway", "prometheus"}
)
OURS: Final = ("setup", "model", "worker", "sink", "gateway")
DURABLE: Final = {"kafka": "kafka-data", "postgres": "postgres-data", "prometheus": "prometheus-data"}
ONE_SHOT: Final = "setup"
EMBEDDED_ALONE: Final = frozenset(
    {
        # Names, places and the start of one process on loopback, which a container has otherwise.
        "process.roles",
        "node.id",
        "listener.security.protocol.map",
        "inter.broker.listener.name",
        "controller.listener.names",
        # Sizes for a machine that runs everything, and the tests, on two cores.
        "offsets.topic.num.partitions",
        "transaction.state.log.num.partitions",
        "share.coordinator.state.topic.num.partitions",
        "log.cleaner.dedupe.buffer.size",
        "num.network.threads",
        "num.io.threads",
        "num.recovery.threads.per.data.dir",
    }
)


def schema() -> dict[str, object]:
    folder = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    return mapping(json.loads((folder / "compose-spec.json").read_text(encoding="utf-8")))


def test_the_file_follows_the_compose_specification() -> None:
    validator = Draft202012Validator(schema())

    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document())] == []


def test_the_specification_refuses_a_file_with_an_unknown_key() -> None:
    wrong = document()
    mapping(mapping(wrong["services"])["worker"])["replicas"] = 2

    assert not Draft202012Validator(schema()).is_valid(wrong)


def test_every_service_is_there_and_is_limited_and_its_logs_are_too() -> None:
    assert set(services()) == NAMES
    for name, raw in services().items():
        limits = mapping(mapping(mapping(raw["deploy"])["resources"])["limits"])
        assert {"cpus", "memory"} <= set(limits), name
        assert "max-size" in mapping(mapping(raw["logging"])["options"]), name


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_service_tells_its_health_restarts_and_is_given_time_to_end(name: str) -> None:
    raw = services()[name]

    if name == ONE_SHOT:
        assert service(name).health is None
        assert raw["restart"] == "no"
    else:
        health = service(name).health
        assert health is not None
        assert health.deadline_s > health.timeout_s
        assert raw["restart"] == "unless-stopped"
        assert "stop_grace_period" in raw


def test_whoever_depends_on_a_service_waits_for_its_health_or_its_end() -> None:
    for name, raw in services().items():
        for needed, condition in mapping(raw.get("depends_on") or {}).items():
            wanted = "service_completed_successfully" if needed == ONE_SHOT else "service_healthy"
            assert mapping(condition)["condition"] == wanted, f"{name} on {needed}"


def test_what_works_waits_for_the_setup_and_the_setup_for_its_servers() -> None:
    needs = {name: set(mapping(raw.get("depends_on") or {})) for name, raw in services().items()}

    assert needs["setup"] == {"kafka", "registry", "postgres"}
    assert "setup" in needs["worker"]
    assert "setup" in needs["sink"]
    assert "setup" in needs["gateway"]
    assert needs["registry"] == {"postgres"}


def test_ports_are_published_on_loopback_alone() -> None:
    ports = {name: strings(raw.get("ports") or []) for name, raw in services().items()}

    assert {name for name, published in ports.items() if published} == {
        "kafka",
        "registry",
        "postgres",
        "prometheus",
        "gateway",
    }
    for published in ports.values():
        for port in published:
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


def test_what_must_last_lies_in_named_volumes() -> None:
    volumes = mapping(document()["volumes"])

    assert set(volumes) == set(DURABLE.values())
    for name, volume in DURABLE.items():
        mounts = strings(services()[name]["volumes"])
        assert any(mount.startswith(f"{volume}:") for mount in mounts), name
    data = service("kafka").environment["KAFKA_LOG_DIRS"]
    assert f"kafka-data:{data}" in strings(services()["kafka"]["volumes"])
    assert service("postgres").environment["PGDATA"].startswith("/var/lib/postgresql/")


def test_what_is_mounted_from_the_project_exists_and_cannot_be_written() -> None:
    for raw in services().values():
        for mount in strings(raw.get("volumes") or []):
            if mount.startswith("."):
                source, _, rest = mount.partition(":")
                assert (ROOT / source).is_dir(), mount
                assert rest.endswith(":ro"), mount


@pytest.mark.parametrize("name", OURS)
def test_our_image_runs_without_rights_on_a_root_that_it_cannot_write(name: str) -> None:
    raw = services()[name]

    assert raw["read_only"] is True
    assert raw["user"] == "10001:10001"
    assert raw["cap_drop"] == ["ALL"]
    assert raw["security_opt"] == ["no-new-privileges:true"]
    writable = {mount.partition(":")[0] for mount in strings(raw["tmpfs"])}
    sandbox = image_environment()["CARTRITA_SANDBOX_DIRECTORY"]
    assert writable == {"/tmp", image_environment()["CARTRITA_HOME"], sandbox}
    # Its parent is mounted with the right owner; a deeper one would be made by root.
    assert sandbox.rpartition("/")[0] == image_environment()["CARTRITA_HOME"]
    assert image_environment()["CARTRITA_DATA_DIRECTORY"].startswith(image_environment()["CARTRITA_HOME"])


def test_any_number_of_workers_may_run() -> None:
    raw = services({"WORKERS": "3"})["worker"]

    assert str(mapping(raw["deploy"])["replicas"]) == "3"
    assert not {"ports", "volumes", "container_name", "hostname"} & set(raw)
    assert "CARTRITA_IDENTITY" not in service("worker").environment


def test_the_password_of_development_is_named_so_and_yields_to_one_of_the_operators() -> None:
    text = COMPOSE_PATH.read_text(encoding="utf-8")
    secret = "it's: $own #1"  # a made-up password with characters that need care

    assert set(re.findall(r"POSTGRES_PASSWORD:-([^}]*)}", text)) == {"for-development-only"}
    given = {"POSTGRES_PASSWORD": secret, "GATEWAY_POSTGRES_PASSWORD": f"{secret}!"}
    for name, variable in (
        ("postgres", "POSTGRES_PASSWORD"),
        ("registry", "REGISTRY_DATASOURCE_PASSWORD"),
        ("setup", "PGPASSWORD"),
        ("worker", "PGPASSWORD"),
        ("sink", "PGPASSWORD"),
    ):
        assert service(name, given).environment[variable] == secret
    for name in ("setup", "gateway"):
        settings = Settings.from_environment(service(name, given).environment)
        assert conninfo_to_dict(settings.gateway_dsn)["password"] == f"{secret}!"
    assert not {"PGPASSWORD", "CARTRITA_POSTGRES_DSN"} & set(service("gateway", given).environment)
    assert "for-development-only" not in json.dumps(document(given))
    assert not re.search(r"(?m)^\s*\w*(PASSWORD|SECRET|KEY|TOKEN)\w*:\s+(?!\$\{)", text)


def test_the_local_model_answers_unless_another_is_named() -> None:
    environment = service("worker").environment
    assert environment["OPENAI_BASE_URL"] == "http://model:8000/v1"
    assert environment["OPENAI_API_KEY"] == ""

    named = {"OPENAI_BASE_URL": "https://models.example/v1", "OPENAI_API_KEY": "key"}
    assert {key: service("worker", named).environment[key] for key in named} == named


def test_a_key_without_an_address_is_refused_in_words() -> None:
    with pytest.raises(VariableMissing, match="set OPENAI_BASE_URL too"):
        document({"OPENAI_API_KEY": "key"})


@pytest.mark.parametrize(
    ("text", "environ", "filled"),
    [
        ("plain", {}, "plain"),
        ("${A}", {}, ""),
        ("<${A}>", {"A": "1"}, "<1>"),
        ("${A:-two}/${B:-three}", {"B": "b"}, "two/b"),
        ("${A:-${B:-deep}}", {}, "deep"),
        ("${A:+${B:-then}}!", {"A": "1"}, "then!"),
        ("${A:+${B:-then}}!", {}, "!"),
        ("${A:+${B:?why}}", {}, ""),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, environ: dict[str, str], filled: str) -> None:
    assert interpolated(text, environ) == filled


@pytest.mark.parametrize("name", ["setup", "worker", "sink", "gateway"])
def test_a_process_of_ours_accepts_its_settings(name: str) -> None:
    environment = service(name).environment

    settings = Settings.from_environment(environment)

    assert settings.kafka_bootstrap == "kafka:19092"
    assert settings.metrics_port == 9464
    assert all(key.startswith((PREFIX, "OPENAI_", "PG", "PYTHON", "PATH")) for key in environment)


def test_the_servers_are_the_versions_that_the_embedded_stack_runs() -> None:
    lock = read_lock()
    images = {name: str(raw["image"]) for name, raw in services().items()}
    kafka = next(artifact.version for artifact in lock.kafka if artifact.name.startswith("kafka_"))

    assert images["kafka"] == f"apache/kafka:{kafka}"
    assert images["registry"] == f"apicurio/apicurio-registry-sql:{lock.registry.version}"
    assert not [image for image in images.values() if image.endswith(":latest") or ":" not in image]


def test_kafka_is_set_up_as_the_embedded_one() -> None:
    environment = service("kafka").environment
    wanted = {
        f"KAFKA_{setting.upper().replace('.', '_')}": value
        for setting, value in BROKER_SETTINGS.items()
        if setting not in EMBEDDED_ALONE
    }

    assert {key: environment.get(key) for key in wanted} == wanted


def test_kafka_is_found_by_the_names_under_which_it_tells_clients_to_come_back() -> None:
    environment = service("kafka", {"KAFKA_PORT": "19999"}).environment
    told = dict(entry.split("://") for entry in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))

    assert told["INTERNAL"] == service("worker").environment["CARTRITA_KAFKA_BOOTSTRAP"]
    assert told["HOST"] == "127.0.0.1:19999"
    assert "127.0.0.1:19999:9092" in strings(services({"KAFKA_PORT": "19999"})["kafka"]["ports"])


def test_every_package_of_the_image_is_held_to_its_hash() -> None:
    installs = [rest for keyword, rest in instructions() if keyword == "RUN" and "pip install" in rest]

    assert installs
    assert all("--require-hashes" in rest and "--only-binary=:all:" in rest for rest in installs)
    text = (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    assert text.count("==") <= text.count("--hash=sha256:")


def test_the_image_runs_as_nobody_in_particular_and_tells_its_health() -> None:
    last = instructions()
    keywords = [keyword for keyword, _ in last]

    assert keywords.count("FROM") == 2
    assert ("USER", "10001:10001") in last
    assert "HEALTHCHECK" in keywords
    assert keywords.index("USER") > max(place for place, keyword in enumerate(keywords) if keyword == "RUN")


def test_the_image_takes_from_the_project_what_exists_and_nothing_else_is_sent_to_its_build() -> None:
    copied = [
        source
        for keyword, rest in instructions()
        if keyword == "COPY" and "--from" not in rest
        for source in [part for part in rest.split() if not part.startswith("--")][:-1]
    ]
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = [line.removeprefix("!") for line in ignore if line.startswith("!")]

    assert "*" in ignore
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(source == entry or source.startswith(f"{entry}/") for entry in let_in), source
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= set(copied)


def test_commands_start_without_the_packages_that_the_image_drops() -> None:
    (dropped,) = (
        rest.partition("--yes ")[2].split()
        for keyword, rest in instructions()
        if keyword == "RUN" and "pip uninstall" in rest
    )
    modules = [name.replace("-", "_") for name in dropped]
    assert modules
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n"
        "import streams.main, connectors.local_model.__main__"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 0, ended.stderr
