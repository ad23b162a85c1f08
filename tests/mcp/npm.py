"""Servers from npm, installed in pinned versions into a folder of their own; without npm the tests say so."""

import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node") or ""
TEMPLATE = Path(__file__).parents[2] / "docs" / "mcp-tool"
_NPM = ("npm", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def install(folder: Path, *packages: str) -> None:
    """Install packages into a folder; skips the test where npm or the registry is missing."""
    if not NODE or shutil.which("npm") is None:
        pytest.skip("there is no Node.js with npm on this machine: servers from npm were NOT tried")
    done = subprocess.run(
        [*_NPM, "install", *packages], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"npm could not install {' '.join(packages) or 'the template'}: {done.stderr[-300:]}")


def built_template(folder: Path) -> Path:
    """Copy the template of a tool in TypeScript, install what it needs and build it; return its program."""
    shutil.copytree(TEMPLATE, folder, dirs_exist_ok=True)
    install(folder)
    subprocess.run(["npm", "run", "build"], cwd=folder, capture_output=True, timeout=120, check=True)
    return folder / "dist" / "server.js"
