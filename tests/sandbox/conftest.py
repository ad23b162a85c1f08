"""One prepared state directory for all sandbox tests, and a sandbox per tier that this machine has."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from connectors.sandbox.attacks.attack import Outcome
from connectors.sandbox.child import landlock
from connectors.sandbox.child.syscalls import TABLES
from connectors.sandbox.execution import Executor
from connectors.sandbox.interpreter import find_bubblewrap
from connectors.sandbox.probe import Probe, probe
from connectors.sandbox.sandbox import Sandbox, SandboxConfig, open_executor, with_wasm
from connectors.sandbox.tier import Tier, TierDemand

TIERS = (Tier.NS, Tier.LSM, Tier.WASM)
NATIVE_TIERS = (Tier.NS, Tier.LSM)


@pytest.fixture(scope="session")
def state_path() -> Iterator[Path]:
    """A directory that the runs' users may pass through; pytest's own is closed to them."""
    path = Path(tempfile.mkdtemp(prefix="cartrita-sandbox-tests-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def executor(state_path: Path) -> Iterator[Executor]:
    """Everything for running in any tier, the guest of tier wasm included where it is installed."""
    config = SandboxConfig(state_path=state_path)
    prepared = open_executor(config)
    if can_run(Tier.WASM):
        prepared = with_wasm(prepared, config, lambda _: None)
    yield prepared
    prepared.close()


@pytest.fixture(scope="session")
def probes(executor: Executor) -> dict[Tier, Probe]:
    """What the canary attack says of each tier on this machine."""
    return {tier: probe(executor, tier) for tier in TIERS}


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, probes: dict[Tier, Probe]) -> Tier:
    """Each tier; one that does not hold here is skipped, with the reason."""
    return available(request.param, probes)


@pytest.fixture(params=NATIVE_TIERS)
def native_tier(request: pytest.FixtureRequest, probes: dict[Tier, Probe]) -> Tier:
    """Each tier that runs the machine's own interpreter."""
    return available(request.param, probes)


@pytest_asyncio.fixture
async def sandbox(tier: Tier, state_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox in each tier."""
    opened = await Sandbox.open(SandboxConfig(state_path=state_path, demand=TierDemand(tier.value)))
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def native_sandbox(native_tier: Tier, state_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox in each native tier."""
    opened = await Sandbox.open(SandboxConfig(state_path=state_path, demand=TierDemand(native_tier.value)))
    yield opened
    await opened.close()


def available(tier: Tier, probes: dict[Tier, Probe]) -> Tier:
    """Return `tier`; skip loudly where this machine can't run it, and fail where an attack passed."""
    if can_run(tier) and not probes[tier].holds:
        pytest.fail(f"this machine has what tier {tier} needs, but: {probes[tier].reason}")
    require(tier, probes[tier].holds, probes[tier].reason, probes[tier].outcomes)
    return tier


def require(tier: Tier, holds: bool, reason: str, outcomes: Iterable[Outcome]) -> None:
    """Skip if nothing could be run in `tier` here; a tier that runs but does not hold is a failure."""
    if holds:
        return
    if any(outcome.stopped for outcome in outcomes):
        pytest.fail(f"tier {tier} runs on this machine but does not hold: {reason}")
    pytest.skip(f"NOT TESTED HERE: tier {tier} can't run on this machine: {reason}")


@functools.cache
def can_run(tier: Tier) -> bool:
    """Tell whether this machine has what `tier` needs, without using any of the sandbox's own launching."""
    if tier is Tier.LSM:
        return landlock.version() > 0 and os.uname().machine in TABLES
    if tier is Tier.WASM:
        return importlib.util.find_spec("wasmtime") is not None
    bubblewrap = find_bubblewrap()
    if bubblewrap is None:
        return False
    command = [bubblewrap, "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "true"]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
