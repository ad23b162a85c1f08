"""The doctor says what holds on this machine, and does not call ill what is only absent."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from connectors.sandbox import wasm_runtime
from connectors.sandbox.attacks.attack import Outcome
from connectors.sandbox.doctor import DoctorReport, TierReport, render, run_doctor
from connectors.sandbox.sandbox import SandboxConfig
from connectors.sandbox.tier import Tier

STOPPED = Outcome(name="read", group="read", stopped=True, detail="PermissionError")
NOT_RUN = Outcome(
    name="write", group="read", stopped=False, detail="the child did not start", carried_out=False
)
PASSED = Outcome(name="write", group="write", stopped=False, detail="wrote /etc/passwd")


def report(*tiers: TierReport) -> DoctorReport:
    return DoctorReport(kernel="6.1", machine="x86_64", user_id=0, chosen=Tier.LSM, tiers=tiers)


def tier_report(tier: Tier, available: bool, *outcomes: Outcome) -> TierReport:
    return TierReport(tier=tier, available=available, reason="a reason", outcomes=outcomes)


@pytest.mark.parametrize(
    ("tiers", "healthy"),
    [
        ((tier_report(Tier.NS, True, STOPPED),), True),
        ((tier_report(Tier.NS, True, STOPPED, PASSED),), False),
        ((tier_report(Tier.NS, False), tier_report(Tier.LSM, True, STOPPED)), True),
        ((tier_report(Tier.NS, False), tier_report(Tier.LSM, False)), False),
        ((), False),
    ],
)
def test_a_machine_is_healthy_if_some_tier_holds_and_no_usable_one_fails(
    tiers: tuple[TierReport, ...], healthy: bool
) -> None:
    assert report(*tiers).healthy is healthy


def test_the_report_names_what_got_through() -> None:
    text = render(report(tier_report(Tier.NS, True, STOPPED, PASSED)))

    assert "wrote /etc/passwd" in text
    assert "NOT HEALTHY" in text


def test_what_could_not_be_carried_out_is_not_said_to_have_got_through() -> None:
    text = render(report(tier_report(Tier.NS, True, STOPPED, NOT_RUN)))

    assert "NOT RUN read" in text
    assert "PASSED" not in text
    assert "NOT HEALTHY" in text


def test_why_nothing_can_be_run_is_told_in_the_words_of_what_starts_the_child(tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    program.chmod(0o755)

    found = run_doctor(SandboxConfig(state_path=tmp_path / "state", bubblewrap_path=program), [Tier.NS])

    assert "No permissions to create new namespace" in found.tiers[0].reason


def test_a_guest_whose_compiling_takes_too_long_makes_its_tier_unusable_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("wasmtime") is None:
        pytest.skip("NOT TESTED HERE: wasmtime is not installed")
    monkeypatch.setattr(wasm_runtime, "COMPILE_S_MAX", 0)

    found = run_doctor(SandboxConfig(state_path=tmp_path / "state"), [Tier.WASM])

    assert not found.tiers[0].available
    assert "compiling was not finished" in found.tiers[0].reason


def test_a_tier_that_can_not_run_is_reported_with_its_reason(state_path: Path) -> None:
    config = SandboxConfig(state_path=state_path, bubblewrap_path=Path("/bin/false"))
    said: list[str] = []

    found = run_doctor(config, [Tier.NS], said.append)

    assert not found.healthy
    assert found.chosen is Tier.REFUSE
    assert "nothing can be run in it" in found.tiers[0].reason
    assert said
