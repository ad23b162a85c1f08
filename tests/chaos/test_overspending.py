"""The arithmetic of overspending, on books that were made by hand."""

from dataclasses import replace

from schemas.events.models import ModelCallCompleted
from tests.chaos.doctored import sound_evidence
from tests.chaos.evidence import Evidence
from tests.chaos.overspending import Outcome, outcome_of


def outcome(evidence: Evidence) -> Outcome:
    return outcome_of(evidence, calls=3, kills=0, violations=0, seconds=1.0)


def test_a_run_within_its_budgets_has_no_overshoot() -> None:
    evidence = sound_evidence()

    found = outcome(evidence)

    answers = [r.event.body for r in evidence.records if r.event]
    used = sum(a.input_tokens + a.output_tokens for a in answers if isinstance(a, ModelCallCompleted))
    assert found.nanodollars.billed == found.nanodollars.charged > 0
    assert found.calls_made == len(evidence.model_ledger) > 0
    assert sum(e.prompt_tokens + e.completion_tokens for e in evidence.model_ledger) == used
    assert (found.tokens_overshoot, found.nanodollars_overshoot, found.calls_beyond) == (0, 0, 0)


def test_what_is_billed_beyond_the_most_that_was_told_is_shown_and_is_no_overshoot() -> None:
    evidence = sound_evidence()
    first = replace(evidence.model_ledger[0], completion_tokens=10**9)

    found = outcome(replace(evidence, model_ledger=(first, *evidence.model_ledger[1:])))

    assert found.calls_beyond == 1
    assert found.nanodollars.beyond > 10**9
    assert (found.tokens_overshoot, found.nanodollars_overshoot) == (0, 0)


def test_a_second_bill_for_one_call_counts_as_ours() -> None:
    evidence = sound_evidence()

    found = outcome(replace(evidence, model_ledger=evidence.model_ledger * 10_000))

    assert found.calls_beyond == 0
    assert found.tokens_overshoot > 0
