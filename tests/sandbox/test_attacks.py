"""Every attack of the suite, in every tier that this machine has, by root and by another user.

The suite runs once per tier and user; each attack is then a test of its own that reads its outcome.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.sandbox.attacks import harness, suite
from connectors.sandbox.attacks.attack import IsolationAttack, Outcome
from connectors.sandbox.attacks.witness import witness
from connectors.sandbox.execution import Executor
from connectors.sandbox.interpreter import find_interpreter
from connectors.sandbox.probe import Probe
from connectors.sandbox.tier import Tier
from tests.sandbox.conftest import TIERS, available, require
from tests.sandbox.other_user import obstacle, start_as_other_user

# The first test of each user waits for the whole suite, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(900)

OTHERS = ("leave_for_the_next_run", "leave_files_on_the_host")
NAMES = (
    *(attack.name for attack in suite.ISOLATION),
    *(attack.name for attack in suite.EXHAUSTION),
    *(attack.name for attack in suite.DECEPTION),
    *OTHERS,
)
RUNS = tuple(
    # The guest of WebAssembly asks no user's rights of the host, and its attacks take longer than all others.
    pytest.param(tier, user, marks=[pytest.mark.slow] if tier is Tier.WASM and is_beside else [])
    for tier in TIERS
    for user, is_beside in (("root", False), ("other", os.geteuid() == 0))
)
Outcomes = dict[str, list[Outcome]]


OtherReports = dict[Tier, tuple[str, Outcomes]]


@dataclass(frozen=True, slots=True)
class OtherUser:
    """The doctor, at work as another user."""

    process: subprocess.Popen[str]
    place: Path


@pytest.fixture(scope="session")
def other_user(request: pytest.FixtureRequest) -> Iterator[OtherUser | None]:
    """Starts before this process's own attacks, so that both go on together; None if it can't be started."""
    if obstacle():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="cartrita-other-user-") as name:
        place = Path(name)
        place.chmod(0o755)
        asked = {
            item.callspec.params["tier_name"]
            for item in request.session.items
            if isinstance(item, pytest.Function) and getattr(item, "callspec", None)
            if item.callspec.params.get("user") == "other"
        }
        tiers = [word for tier in TIERS if tier in asked for word in ("--tier", tier.value)]
        arguments = ["-m", "connectors.sandbox.doctor", "--json", "--parallel", "2", *tiers]
        process = start_as_other_user(arguments, place)
        yield OtherUser(process, place)
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def own_outcomes(
    executor: Executor, probes: dict[Tier, Probe], other_user: OtherUser | None
) -> dict[Tier, Outcomes]:
    """What became of the suite when this process attacks, by tier, as far as tiers hold here."""
    return {
        tier: by_name(suite.run_suite(executor, tier, lambda _: None, parallel=2))
        for tier in TIERS
        if probes[tier].holds
    }


@pytest.fixture(scope="session")
def other_reports(other_user: OtherUser | None) -> OtherReports:
    """What the doctor says to another user: by tier, why it can't be used there if so, and the outcomes."""
    if other_user is None:
        pytest.skip(f"NOT TESTED HERE as another user: {obstacle()}")
    other_user.process.wait(600)
    text = (other_user.place / "out").read_text()
    assert text, (other_user.place / "err").read_text()[-2000:]
    report = json.loads(text)
    assert report["user_id"] != 0
    return {
        Tier(tier["tier"]): (
            "" if tier["available"] else tier["reason"],
            by_name(Outcome(**outcome) for outcome in tier["outcomes"]),
        )
        for tier in report["tiers"]
    }


@pytest.fixture
def outcomes(request: pytest.FixtureRequest, tier_name: Tier, user: str) -> Outcomes:
    """The outcomes in one tier for one user; skipped, loudly, where this machine can't say."""
    is_root = os.geteuid() == 0
    if user == "other" and is_root:
        reports: OtherReports = request.getfixturevalue("other_reports")
        reason, found = reports[tier_name]
        every = [outcome for same in found.values() for outcome in same]
        require(tier_name, not reason, f"as another user: {reason}", every)
        return found
    if user == "root" and not is_root:
        pytest.skip("NOT TESTED HERE as root: this process is not")
    available(tier_name, request.getfixturevalue("probes"))
    own: dict[Tier, Outcomes] = request.getfixturevalue("own_outcomes")
    return own[tier_name]


@pytest.mark.parametrize(("tier_name", "user"), RUNS)
@pytest.mark.parametrize("name", NAMES)
def test_the_attack_is_stopped(name: str, outcomes: Outcomes) -> None:
    assert name in outcomes, "the attack was not carried out"

    for outcome in outcomes[name]:
        assert outcome.stopped, outcome.detail


@pytest.mark.parametrize(("tier_name", "user"), RUNS)
def test_the_host_saw_no_damage(outcomes: Outcomes) -> None:
    assert outcomes.get("witness", []) == []


def test_no_two_attacks_have_one_name() -> None:
    assert len(set(NAMES)) == len(NAMES)


OUTSIDE = [attack for attack in suite.ISOLATION if attack.succeeds_outside]


@pytest.mark.parametrize("attack", OUTSIDE, ids=lambda attack: attack.name)
def test_the_attack_succeeds_without_a_sandbox(attack: IsolationAttack, tmp_path: Path) -> None:
    with witness() as bait:
        program = harness.program([attack], bait.target) + "\nprint(json.dumps(outcomes))"
        command = [find_interpreter().executable, "-I", "-S", "-c", program]
        finished = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=30, check=True)

        stopped, detail = json.loads(finished.stdout)[attack.name]

    assert not stopped, f"this attack can't bite, so that stopping it proves nothing: {detail}"


def test_the_witness_sees_what_is_done_to_the_host() -> None:
    with witness() as bait:
        secret = Path(str(bait.target["secret"]))
        assert bait.damage() == ()

        secret.chmod(0o600)
        assert len(bait.damage()) >= 1
        secret.write_text("changed")
        (secret.parent / "new").touch()

        details = " ".join(outcome.detail for outcome in bait.damage())
        assert "secret of the bait" in details
        assert "names of the bait" in details
        assert bait.damage() == ()


def by_name(outcomes: Iterable[Outcome]) -> Outcomes:
    found: Outcomes = {}
    for outcome in outcomes:
        found.setdefault(outcome.name, []).append(outcome)
    return found
