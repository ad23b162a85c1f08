"""What messages would cost, learnt from other sessions of the shipped workload, and what they did cost."""

import statistics
import sys

from processors.foretelling import Use, uses_of
from schemas.frozen import replace
from sinks.uses import Said
from streams.configuration.foresight import beside, errors, foretold
from tests.connectors.conftest import Local
from tests.connectors.test_estimates import REQUESTS, Session, shipped_tools, simulated_code

MEDIAN_ERROR_MAX = 0.25
"""Of what a turn used, once other sessions were seen."""


async def run_workload(local: Local) -> tuple[list[Said], list[Use], Session]:
    """Run each request in a session of its own."""
    said, used = [], []
    session = None
    for number, (text, attached) in enumerate(REQUESTS):
        session = Session(shipped_tools(local), [simulated_code()])
        if attached is not None:
            session.attach(attached)
        await session.say(text)
        uses = [replace(use, session_id=str(number)) for use in uses_of(session.events)]
        used += uses
        names = [attached.name] if attached else []
        tokens = len(attached.read_bytes()) // 4 if attached else 0
        said.append(
            Said(
                session_id=str(number),
                turn=1,
                text=text,
                agent=None,
                tokens=len(text) // 4,
                attached_tokens=tokens,
                attachments=names,
            )
        )
    assert session is not None
    return said, used, session


async def test_estimates_learnt_from_other_sessions_are_off_by_at_most_a_quarter_in_the_median(
    local: Local,
) -> None:
    said, used, session = await run_workload(local)

    compared = beside(said, used, session.configuration)
    tokens = errors(compared)
    money = errors(compared, lambda one: one.nanodollars)
    unlearnt = [
        abs(foretold(one, {}, session.configuration).tokens - spent) / spent
        for one in said
        if (spent := sum(use.tokens for use in used if use.session_id == one.session_id))
    ]

    sys.stdout.write(
        f"\ntokens: off by {statistics.median(tokens):.0%} in the median, at most {max(tokens):.0%}; "
        f"money: {statistics.median(money):.0%}, at most {max(money):.0%}; "
        f"nothing learnt: tokens {statistics.median(unlearnt):.0%}, at most {max(unlearnt):.0%}\n"
    )
    assert len(tokens) == len(REQUESTS)
    assert statistics.median(tokens) <= MEDIAN_ERROR_MAX
    assert statistics.median(money) <= MEDIAN_ERROR_MAX
    # Tools that use tokens themselves have a line of their own.
    told = foretold(said[1], {}, session.configuration)
    assert any("/analyze_document" in line.what for line in told.lines)
