"""The checker finds nothing in a sound run, and in a doctored one what was broken."""

import pytest

from tests.chaos.checker import INVARIANTS, NOT_APPLICABLE, check
from tests.chaos.doctored import DOCTORS, sound_evidence


def test_a_sound_run_has_no_violation() -> None:
    assert check(sound_evidence()) == ()


@pytest.mark.parametrize("name", DOCTORS)
def test_a_broken_promise_is_found(name: str) -> None:
    invariant, doctor = DOCTORS[name]

    found = {violation.invariant for violation in check(doctor(sound_evidence()))}

    assert invariant in found


def test_every_promise_that_applies_was_broken_once() -> None:
    broken = {invariant for invariant, _ in DOCTORS.values()}

    assert broken == INVARIANTS.keys() - NOT_APPLICABLE.keys()
