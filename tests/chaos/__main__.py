"""`python -m tests.chaos --faults N --seed S`: a campaign, its report, and exit code 1 for any violation."""

import argparse
import math
import random
import shutil
import signal
import sys
from pathlib import Path

from tests.chaos.arena import Arena
from tests.chaos.campaign import REST_S_MAX, run
from tests.chaos.faults import plan
from tests.chaos.report import report


def main() -> int:
    """Run a campaign as the arguments say; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=300, help="on processes; others come on top")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no fault after so long")
    parser.add_argument("--short", action="store_true", help="only what heals quickly")
    parser.add_argument("--report", type=Path, default=Path(".cartrita/chaos/report.md"))
    options = parser.parse_args()
    # So that the deployment is taken down, whoever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    folder: Path = options.report.parent
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / f"journal-{seed}.jsonl"
    journal.unlink(missing_ok=True)
    _say(f"seed {seed}; the journal is {journal}")

    def keep(one: Arena) -> None:
        kept = folder / f"deployment-{seed}"
        shutil.rmtree(kept, ignore_errors=True)
        # Kafka's log too: what a violation rests on can be read only there.
        shutil.copytree(
            one.deployment.directory, kept, ignore=shutil.ignore_patterns("artifacts", "postgres", "sandbox")
        )
        _say(f"what was left of the deployment is in {kept}")

    outcome = run(
        seed,
        plan(seed, options.faults, short=options.short),
        say=_say,
        journal_path=journal,
        seconds_max=60 * options.minutes,
        keep=keep,
    )
    text = report(outcome)
    options.report.write_text(text, encoding="utf-8")
    _say(text)
    late = outcome.rest_s is None or outcome.rest_s > REST_S_MAX
    return 1 if outcome.violations or late else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # it is a command


if __name__ == "__main__":
    sys.exit(main())
