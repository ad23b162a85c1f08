"""The critic: scores a plan by what can be computed, and says what is missing."""

import json
import re
from collections.abc import Sequence
from itertools import combinations
from typing import Final

from connectors.local_model import intents
from connectors.local_model.prompts import critique_prompt
from connectors.text.words import content_words, sentences, stem, stems
from schemas.ports.chat import ChatMessage

COVERAGE_SHARE: Final = 0.6
"""What part of the score is the share of the request's words that some task has."""
DUPLICATE_PENALTY: Final = 0.15
ORDER_PENALTY: Final = 0.2
UNFIT_PENALTY: Final = 0.1
LIKENESS_MAX: Final = 0.8
MISSING_MIN: Final = 0.75
"""Below this coverage the missing words are named."""
WORDS_NAMED_MAX: Final = 8
REMARKS_MAX: Final = 4
"""Of one kind: a verdict must fit its limit of tokens."""
WORD_CHARACTERS_MAX: Final = 40

_ORDERED = re.compile(
    r"\b(?:then|after that|afterwards|finally|based on (?:that|this|these|those|the))\b", re.IGNORECASE
)


def critique(messages: Sequence[ChatMessage]) -> str:
    """Return score and remarks as JSON.

    The score is 0.6 × coverage + 0.4, less 0.15 for each repeated task, 0.2 when the request names an order
    and no task waits for another, and 0.1 for each task whose agent is made for other work; 0 to 1.
    """
    request, plan = critique_prompt(messages)
    try:
        listed = json.loads(plan)["tasks"]
        tasks = [(str(task["key"]), str(task["intent"]), str(task["agent"])) for task in listed]
        waits = any(task.get("edges") for task in listed)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _verdict(0.0, ["The plan cannot be read as JSON with tasks of key, intent and agent."])
    coverage, missing = _coverage(request, [intent for _, intent, _ in tasks])
    remarks = [f"No task covers: {', '.join(missing)}."] if missing and coverage < MISSING_MIN else []
    repeated = [
        (left[0], right[0])
        for left, right in combinations(tasks, 2)
        if left[2] == right[2] and _likeness(left[1], right[1]) >= LIKENESS_MAX
    ]
    remarks += [f"Tasks {left} and {right} repeat each other." for left, right in repeated[:REMARKS_MAX]]
    unordered = bool(_ORDERED.search(request)) and len(tasks) > 1 and not waits
    if unordered:
        remarks.append(f"Task {tasks[-1][0]} should wait for {tasks[-2][0]}.")
    unfit = [
        (key, kind, agent) for key, intent, agent in tasks if (kind := _better(intent, agent)) is not None
    ]
    remarks += [f"Task {key} suits {kind} better than {agent}." for key, kind, agent in unfit[:REMARKS_MAX]]
    score = COVERAGE_SHARE * coverage + (1 - COVERAGE_SHARE)
    score -= DUPLICATE_PENALTY * len(repeated) + ORDER_PENALTY * unordered + UNFIT_PENALTY * len(unfit)
    return _verdict(score if tasks else 0.0, remarks or [_praise(len(tasks), coverage)])


def _verdict(score: float, remarks: list[str]) -> str:
    return json.dumps(
        {"score": round(min(1.0, max(0.0, score)), 2), "remarks": " ".join(remarks)}, ensure_ascii=False
    )


def _praise(tasks: int, coverage: float) -> str:
    named = "The task has" if tasks == 1 else f"The {tasks} tasks have"
    return f"{named} {coverage:.0%} of the request's words; no repeats, no missing order, no unfit agent."


def _coverage(request: str, planned: list[str]) -> tuple[float, list[str]]:
    covered = {stem for intent in planned for stem in stems(intent)}
    wanted: dict[str, str] = {}
    for word in content_words("\n".join(sentences(request))):
        wanted.setdefault(stem(word), word)
    missing = [word for root, word in wanted.items() if root not in covered]
    coverage = 1 - len(missing) / len(wanted) if wanted else 1.0
    return coverage, [word[:WORD_CHARACTERS_MAX] for word in missing[:WORDS_NAMED_MAX]]


def _likeness(left: str, right: str) -> float:
    a, b = set(stems(left)), set(stems(right))
    return len(a & b) / len(a | b) if a | b else 1.0


def _better(intent: str, agent: str) -> str | None:
    """Return the kind of work that `intent` plainly asks for, when that is not the agent's; else None."""
    kind = intents.kind_of(intent, attached="attachment:" in intent)
    plain = {(intents.WRITING, intents.RESEARCH), (intents.ANALYSIS, intents.WRITING)}
    return kind if (kind, agent) in plain else None
