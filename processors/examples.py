"""Tells what a model wrote from what it copied: small models repeat the example of their instructions.

The example is whatever JSON of the right form stands in the prompt, whoever wrote that.
"""

from collections.abc import Iterable
from functools import lru_cache

from processors.outputs import CritiqueOutput, PlanOutput, read_critique, read_plan
from schemas.events.plans import PlannedTask

_PROMPTS_REMEMBERED = 16


def copied_tasks(tasks: Iterable[PlannedTask], prompt: str) -> tuple[str, ...]:
    """Return the keys of the tasks whose intent is one of the example's.

    Args:
        tasks: of a plan.
        prompt: of the planner.
    """
    intents = _intents(prompt)
    return tuple(task.key for task in tasks if _bare(task.intent) in intents)


def is_copied(critique: CritiqueOutput, prompt: str) -> bool:
    """Tell whether a critique's remarks are the example's, word by word."""
    remarks = _bare(critique.remarks)
    return bool(remarks) and remarks == _remarks(prompt)


@lru_cache(maxsize=_PROMPTS_REMEMBERED)
def _intents(prompt: str) -> frozenset[str]:
    example = read_plan(prompt)
    return (
        frozenset(_bare(task.intent) for task in example.tasks)
        if isinstance(example, PlanOutput)
        else frozenset()
    )


@lru_cache(maxsize=_PROMPTS_REMEMBERED)
def _remarks(prompt: str) -> str:
    example = read_critique(prompt)
    return _bare(example.remarks) if isinstance(example, CritiqueOutput) else ""


def _bare(text: str) -> str:
    return " ".join(text.split()).rstrip(".!").casefold()
