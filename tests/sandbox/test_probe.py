"""The canary attack finds out each layer that is missing, whatever the child claims of itself."""

from __future__ import annotations

import dataclasses
import marshal
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.sandbox import bundle, launch
from connectors.sandbox.execution import Executor
from connectors.sandbox.probe import CANARY, Probe, probe
from connectors.sandbox.tier import Tier
from tests.sandbox.conftest import available

CHILD = "connectors.sandbox.child."
# One rule more, before all others, that allows System V shared memory.
LEAK = "\n    program += block({'x86_64': 29, 'aarch64': 194}[machine], [answer(ALLOW)])"


def weaken(monkeypatch: pytest.MonkeyPatch, module: str, sound: str, broken: str) -> None:
    """Send the child a version of one of its modules in which `sound` reads `broken`."""
    original = bundle.module_source(CHILD + module)
    assert sound in original

    def modules() -> bytes:
        sources = {name: bundle.module_source(name) for name in bundle._MODULES}
        sources[CHILD + module] = original.replace(sound, broken)
        return marshal.dumps([(name, compile(source, name, "exec")) for name, source in sources.items()])

    monkeypatch.setattr(bundle, "_modules", modules)


def test_a_sound_tier_withstands_the_canary(executor: Executor, tier: Tier) -> None:
    found = probe(executor, tier)

    assert found.holds
    assert len(found.outcomes) == len(CANARY)
    assert found.canary_id


def test_each_canary_attack_has_its_own_name() -> None:
    assert len({attack.name for attack in CANARY}) == len(CANARY)


def test_a_filter_that_was_never_installed_is_found_out(
    executor: Executor, native_tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken(monkeypatch, "confinement", "    seccomp.install(", "    len(")

    found = probe(executor, native_tier)

    assert not found.holds
    passed = {outcome.name for outcome in found.outcomes if not outcome.stopped}
    assert {"start_process", "call_io_uring_setup", "call_shmget"} <= passed


def test_a_filter_that_lets_one_family_through_is_found_out(
    executor: Executor, native_tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken(
        monkeypatch, "seccomp", "X32_BIT), answer(KILL_PROCESS)]", "X32_BIT), answer(KILL_PROCESS)]" + LEAK
    )

    found = probe(executor, native_tier)

    assert not found.holds
    assert [outcome.name for outcome in found.outcomes if not outcome.stopped] == ["call_shmget"]


def test_landlock_that_was_never_put_in_force_is_found_out(
    executor: Executor, probes: dict[Tier, Probe], monkeypatch: pytest.MonkeyPatch
) -> None:
    available(Tier.LSM, probes)
    weaken(monkeypatch, "landlock", '_checked("restrict_self", _RESTRICT_SELF, ruleset, 0)', "pass")

    found = probe(executor, Tier.LSM)
    watched = dataclasses.replace(executor, host=dataclasses.replace(executor.host, mounts=False))
    found_where_all_is_writable = probe(watched, Tier.LSM)

    assert not found.holds
    assert "read_secret_of_host" in {outcome.name for outcome in found.outcomes if not outcome.stopped}
    assert not found_where_all_is_writable.holds
    passed = {outcome.name for outcome in found_where_all_is_writable.outcomes if not outcome.stopped}
    assert {"read_secret_of_host", "overwrite_file_of_host", "witness"} <= passed


def test_a_run_that_stays_the_parents_user_is_not_begun(
    executor: Executor, probes: dict[Tier, Probe], monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED HERE: this process is not root, so that its runs keep its user")
    available(Tier.LSM, probes)
    weaken(monkeypatch, "confinement", '    become(plan["user_id"])', "    pass")

    found = probe(executor, Tier.LSM)

    assert not found.holds
    assert "runs as user 0" in found.reason


def test_an_environment_that_leaks_is_found_out(
    executor: Executor, native_tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound: Callable[[str], dict[str, str]] = launch._environment
    monkeypatch.setattr(launch, "_environment", lambda scratch: {**sound(scratch), "SECRET": "x"})

    found = probe(executor, native_tier)

    assert [outcome.name for outcome in found.outcomes if not outcome.stopped] == ["read_environment"]


def test_a_mount_that_shows_the_host_is_found_out_where_landlock_is_missing(
    executor: Executor, probes: dict[Tier, Probe], monkeypatch: pytest.MonkeyPatch
) -> None:
    available(Tier.NS, probes)
    weaken(monkeypatch, "landlock", '_checked("restrict_self", _RESTRICT_SELF, ruleset, 0)', "pass")
    assert probe(executor, Tier.NS).holds, "namespaces alone hide the host's files"

    sound = launch._bubblewrap_command

    def showing_the_host(*arguments: object) -> list[str]:
        command = sound(*arguments)  # type: ignore[arg-type]  # passed on as they came
        last = command.index("--remount-ro", command.index(launch.SCRATCH_IN_NAMESPACE))
        return [*command[:last], "--bind", "/tmp", "/tmp", *command[last:]]

    monkeypatch.setattr(launch, "_bubblewrap_command", showing_the_host)

    found = probe(executor, Tier.NS)

    assert not found.holds
    assert "witness" in {outcome.name for outcome in found.outcomes if not outcome.stopped}


def test_a_canary_that_can_not_be_carried_out_is_no_success(executor: Executor, state_path: Path) -> None:
    without = dataclasses.replace(executor, host=dataclasses.replace(executor.host, bubblewrap=None))

    found = probe(without, Tier.NS)

    assert not found.holds
    assert "bwrap is not installed" in found.reason
