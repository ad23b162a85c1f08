"""The map of the folders: who may import whom, and what a decider may never touch."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("connectors", "processors", "schemas", "sinks", "streams", "topics")
MAY_IMPORT = {
    "connectors": {"connectors", "schemas", "topics"},
    "processors": {"processors", "schemas", "topics"},
    "schemas": {"schemas"},
    "sinks": {"sinks", "processors", "schemas", "topics"},
    "streams": set(PACKAGES),
    "topics": {"schemas", "topics"},
}
# Which room may know which, within the packages that have rooms; a room knows itself.
ROOMS = {
    "streams": {
        "process": set(),
        "records": {"process"},
        "configuration": {"process"},
        "stateful": {"records", "process"},
        "effects": {"records", "process"},
        "engine": {"records", "process"},
        "history": {"records", "process", "configuration"},
        "client": {"records", "process"},
        "imports": {"process"},
        "gateway": {"client", "configuration", "records", "process"},
        "shells": {"stateful", "effects", "engine", "history", "records", "process"},
        "worker": {"shells", "stateful", "effects", "engine", "configuration", "records", "process"},
    },
    "connectors": {
        "calendar": set(),
        "text": set(),
        "models": set(),
        "sandbox": set(),
        "ui_analyzer": set(),
        "retrieval": {"models", "text"},
        "embedded": {"models"},
        "local_model": {"models", "text"},
        "version_one": set(),
        "tools": {"models", "retrieval", "sandbox", "text", "ui_analyzer"},
        "mcp": {"sandbox", "tools"},
    },
}
PROJECTIONS = "processors/projections"
# Deciders have no clock, no randomness, no I/O and no engine.
IMPURE = {
    "aiohttp",
    "aiokafka",
    "asyncio",
    "datetime",
    "faust",
    "httpx",
    "io",
    "logging",
    "os",
    "pathlib",
    "psycopg",
    "random",
    "secrets",
    "shutil",
    "socket",
    "sqlite3",
    "structlog",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib",
}
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "uuid4", "uuid1"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{path}: relative imports hide the map"
            yield node.module


def modules_imported(path: Path) -> Iterator[str]:
    """Name what `path` imports, and of `from room import thing` the thing too: it may be a module."""
    yield from imports_of(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def foreign_imports(source: str) -> set[str]:
    tree = ast.parse(source)
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def impurities(source: str) -> set[str]:
    """Name what a decider's source must not use."""
    calls = {
        node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
    }
    return (foreign_imports(source) & IMPURE) | (calls & IMPURE_CALLS)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_the_map_allows(package: str) -> None:
    for path in modules(package):
        for name in imports_of(path):
            top = name.partition(".")[0]
            if top in PACKAGES:
                assert top in MAY_IMPORT[package], f"{path.relative_to(ROOT)} must not import {name}"


@pytest.mark.parametrize(
    ("package", "room"), [(package, room) for package, rooms in ROOMS.items() for room in rooms]
)
def test_a_room_knows_only_the_rooms_that_the_map_allows(package: str, room: str) -> None:
    allowed = ROOMS[package][room] | {room}
    for path in modules(f"{package}/{room}"):
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == package and len(parts) > 1:
                assert parts[1] in allowed, f"{path.relative_to(ROOT)} must not import {name}"


def test_every_room_is_on_the_map() -> None:
    for package, rooms in ROOMS.items():
        found = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        assert found - {"cli"} == set(rooms)


def test_no_modules_import_one_another_in_a_circle() -> None:
    arrows = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): set(modules_imported(path))
        for package in PACKAGES
        for path in modules(package)
    }
    while arrows:
        ends = [module for module, targets in arrows.items() if not targets & arrows.keys()]
        assert ends, f"these import one another in a circle: {', '.join(sorted(arrows))}"
        for module in ends:
            del arrows[module]


def test_deciders_are_pure() -> None:
    for path in modules("processors"):
        if PROJECTIONS in path.as_posix():
            continue
        found = impurities(path.read_text(encoding="utf-8"))
        assert not found, f"{path.relative_to(ROOT)} uses {', '.join(sorted(found))}"


@pytest.mark.parametrize("source", ["import time", "from random import random", "open('x')", "uuid.uuid4()"])
def test_an_impure_decider_would_be_found(source: str) -> None:
    assert impurities(source)


def test_there_is_no_seventh_package() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert found == set(PACKAGES)


def test_nothing_that_is_installed_shadows_a_package() -> None:
    owners = importlib.metadata.packages_distributions()
    for package in PACKAGES:
        assert set(owners.get(package, ["cartrita"])) <= {"cartrita"}, f"{package} is also {owners[package]}"


def test_only_the_settings_read_the_environment() -> None:
    for package in PACKAGES:
        for path in modules(package):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            reads = [
                node
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
            ]
            if reads and path.relative_to(ROOT).as_posix() not in ENVIRONMENT_READERS:
                pytest.fail(f"{path.relative_to(ROOT)}:{reads[0].lineno} reads the environment")


# Each with its reason: where a library takes a setting from nowhere else, or a child's environment is built.
ENVIRONMENT_READERS = {
    "streams/process/settings.py",
    "streams/cli/context.py",  # hands the environment to the settings, once
    "streams/configuration/secrets.py",  # looks up the one variable that a reference names
    "connectors/models/tokens.py",  # tiktoken takes its cache folder from the environment alone
    "connectors/sandbox/attacks/reading.py",  # runs inside the sandbox, and looks whether anything leaked
}


KAFKA_CLIENTS = ("AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient", "AIOKafkaClient")


def test_kafka_clients_are_made_in_one_place() -> None:
    for package in PACKAGES:
        for path in modules(package):
            name = path.relative_to(ROOT).as_posix()
            if name == "topics/clients.py" or name.startswith("streams/engine/"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    assert node.func.id not in KAFKA_CLIENTS, f"{name}:{node.lineno} makes a Kafka client"


def test_inits_hold_a_docstring_only() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("__init__.py"):
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) == 1, f"{path.relative_to(ROOT)} holds more than a docstring"
            assert isinstance(body[0], ast.Expr)


LINES_MAX = 400


def test_modules_and_functions_are_small_enough_to_read_at_once() -> None:
    for package in PACKAGES:
        for path in modules(package):
            text = path.read_text(encoding="utf-8")
            name = path.relative_to(ROOT).as_posix()
            assert text.count("\n") <= LINES_MAX, f"{name} has more than {LINES_MAX} lines"
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                    lines = node.end_lineno - node.lineno + 1
                    assert lines <= 70, f"{path.relative_to(ROOT)}: {node.name} has {lines} lines"


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    for package in PACKAGES:
        for path in modules(package):
            assert path.stem not in ("utils", "util", "common", "helpers", "manager", "misc")


def test_requirement_files_name_no_host() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "://" not in line, f"{path.name} names a host: {line}"


def test_what_the_code_imports_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = project["dependencies"] + [
        name for group in project.get("optional-dependencies", {}).values() for name in group
    ]
    names = {re.split(r"[;=\[<>~ ]", name)[0].lower().replace("-", "_") for name in declared}
    owners = importlib.metadata.packages_distributions()
    used: set[str] = set()
    for package in PACKAGES:
        for path in modules(package):
            if "sandbox/attacks" in path.as_posix():
                continue  # they run inside the sandbox, and try what is not there
            used |= {name.partition(".")[0] for name in imports_of(path)}
    for name in sorted(used - set(PACKAGES) - set(sys.stdlib_module_names)):
        distributions = {owner.lower().replace("-", "_") for owner in owners.get(name, [])}
        assert distributions & names, f"{name} is not declared in pyproject.toml"
