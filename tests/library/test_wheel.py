"""What programs of others import: one name, in an environment that has nothing of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP_LEVEL = ("connectors", "processors", "schemas", "sinks", "streams", "topics")
TIMEOUT_S = 240


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built as an installer builds it but for the isolation, which would need the network."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_console_is_in_it(wheel: Path) -> None:
    folder = ROOT / "streams" / "gateway" / "console"
    ours = {path.relative_to(ROOT).as_posix() for path in folder.rglob("*") if path.is_file()}

    with zipfile.ZipFile(wheel) as archive:
        assert ours <= set(archive.namelist())
    assert "streams/gateway/console/index.html" in ours


@pytest.fixture(scope="module")
def foreign(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and what it depends on, and without the repository."""
    folder = tmp_path_factory.mktemp("foreign")
    venv.create(folder, with_pip=False, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(folder)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # A path of a .pth file is not searched for .pth files, so the repository's own does not count.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin" / "python"


def run(python: Path, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder of its own."""
    program = folder / "program.py"
    program.write_text(textwrap.dedent(code), encoding="utf-8")
    return subprocess.run(
        [str(python), program.name],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    )


def test_the_name_holds_the_project_s_own_objects(foreign: Path, tmp_path: Path) -> None:
    ended = run(
        foreign,
        """
        import json
        import cartrita
        import schemas.configuration, schemas.envelope, schemas.events.inputs, schemas.ports.tool
        import streams.client.client, streams.client.conversation, topics.catalog
        from cartrita import Tool, events

        assert cartrita.Tool is Tool is schemas.ports.tool.Tool
        assert cartrita.ToolSpec is schemas.configuration.ToolSpec
        assert cartrita.ToolError is schemas.ports.tool.ToolError
        assert cartrita.Client is streams.client.client.Client
        assert cartrita.ask is streams.client.conversation.ask
        assert cartrita.topics is topics.catalog
        assert events.Envelope is schemas.envelope.Envelope
        assert events.MessageReceived is schemas.events.inputs.MessageReceived
        assert all(hasattr(cartrita, name) for name in cartrita.__all__)
        print(json.dumps([cartrita.__file__, schemas.__file__, sorted(events.__all__)]))
        """,
        tmp_path,
    )

    assert ended.returncode == 0, ended.stderr
    where, of_schemas, names = json.loads(ended.stdout)
    assert Path(where).is_relative_to(foreign.parents[1])
    assert Path(of_schemas).is_relative_to(foreign.parents[1])
    assert facts() <= set(names)


def facts() -> set[str]:
    """The names of all bodies that any topic carries."""
    from topics.catalog import TOPICS

    return {fact.__name__ for topic in TOPICS for fact in topic.facts}


def test_the_examples_of_the_guide_run(foreign: Path, tmp_path: Path) -> None:
    tool, message = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), re.DOTALL)

    ended = run(
        foreign,
        f"""
{tool}
{message}
import asyncio
context = ToolContext(
    session_id="s",
    tenant_id="t",
    user_id="u",
    call_id="c",
    idempotency_key="c",
    tokens_max=0,
    nanodollars_max=0,
)
print(asyncio.run(tool.run({{"text": "three words here"}}, context)).result["words"], answer_to.__name__)
""",
        tmp_path,
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "3 answer_to\n"


@pytest.mark.parametrize("name", ["schemas/__init__.py", "schemas.py", "streams.py", "topics/__init__.py"])
def test_a_program_with_such_a_package_of_its_own_is_told_so(
    foreign: Path, tmp_path: Path, name: str
) -> None:
    own = tmp_path / name
    package = name.partition("/")[0].removesuffix(".py")
    own.parent.mkdir(exist_ok=True)
    own.write_text("MINE = 1\n", encoding="utf-8")

    ended = run(foreign, f"import {package}\nassert {package}.MINE\nimport cartrita\n", tmp_path)

    assert ended.returncode == 1
    assert f"cartrita needs its own top-level package '{package}'" in ended.stderr
    assert str(own) in ended.stderr


def test_what_is_missing_for_another_reason_is_named_as_it_is(foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "aiokafka.py").write_text(
        "raise ModuleNotFoundError('gone', name='gone')\n", encoding="utf-8"
    )

    ended = run(foreign, "import cartrita\n", tmp_path)

    assert "ModuleNotFoundError: gone" in ended.stderr
    assert "top-level package" not in ended.stderr


def test_the_repository_itself_has_no_such_package(wheel: Path) -> None:
    assert not (ROOT / "cartrita").exists()
    assert shutil.which("cartrita", path=str(Path(sys.executable).parent))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.partition("/")[0] for name in names if "dist-info" not in name}
    assert top == {*TOP_LEVEL, "cartrita"}
    assert {name for name in names if name.startswith("cartrita/")} == {
        "cartrita/__init__.py",
        "cartrita/events.py",
        "cartrita/py.typed",
    }
