"""The planner: a request becomes a plan by rules, and a critic's remarks are acted on."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from connectors.local_model import intents
from connectors.local_model.prompts import OfferedAgent, PlanningPrompt, planning_prompt
from connectors.local_model.splitting import Piece, split_request
from connectors.text.words import stems
from schemas.ports.chat import ChatMessage

MISSING = re.compile(r"No task covers: ([^.\n]*)\.")
REPEATED = re.compile(r"Tasks (\S+) and (\S+) repeat each other\.")
UNORDERED = re.compile(r"Task (\S+) should wait for (\S+)\.")
UNFIT = re.compile(r"Task (\S+) suits (\w+) better than [\w-]+\.")
"""How the critic words its remarks, and the planner finds them; any other remark changes nothing."""

PRIORITY_FIRST: Final = 8
PURPOSE_WORDS_MIN: Final = 2
"""Words that a task must share with the purpose of an agent that this model has no rules for."""
INTENT_CHARACTERS: Final = (2_000, 600, 300, 150, 80, 40)
"""To how many characters intents are cut, step by step, when a plan is too long."""
_URGENT = re.compile(r"\b(?:urgent(?:ly)?|asap|immediately|important|above all|most of all)\b", re.IGNORECASE)
_TOOL_OF_KIND: Final = {
    intents.RESEARCH: "search_documents",
    intents.ANALYSIS: "analyze_document",
    intents.CODING: "execute_python",
    intents.AUDITING: "analyze_ui",
    intents.RECALLING: "recall_conversation",
}
_FALLBACKS: Final = {
    intents.CODING: (intents.WRITING, intents.ANALYSIS),
    intents.REVIEWING: (intents.ANALYSIS, intents.WRITING),
    intents.AUDITING: (intents.REVIEWING, intents.ANALYSIS),
    intents.WRITING: (intents.ANALYSIS, intents.RESEARCH),
    intents.ANALYSIS: (intents.RESEARCH, intents.WRITING),
    intents.RESEARCH: (intents.ANALYSIS, intents.WRITING),
    intents.RECALLING: (intents.RESEARCH, intents.ANALYSIS, intents.WRITING),
}


@dataclass(slots=True, kw_only=True)
class DraftTask:
    """One task while the plan is made."""

    key: str
    intent: str
    agent: str
    priority: int
    parent: str | None = None
    edges: list[tuple[str, str, float]] = field(default_factory=list)
    """Relation, key of the other task, weight."""

    def plain(self) -> dict[str, object]:
        """Return the task as the plan's JSON has it."""
        edges = [
            {"relation": relation, "task": task, "weight": weight} for relation, task, weight in self.edges
        ]
        return {
            "key": self.key,
            "intent": self.intent,
            "agent": self.agent,
            "priority": self.priority,
            "parent": self.parent,
            "edges": edges,
        }


def plan(messages: Sequence[ChatMessage], fits: Callable[[str], bool] = lambda _text: True) -> str:
    """Return the plan, as JSON, that `messages` ask for: a first one, a repaired or a revised one.

    Args:
        fits: tells whether a text is within the request's limit; intents are cut until the plan is, since a
            plan that breaks off in the middle is worth nothing.
    """
    prompt = planning_prompt(messages)
    last = messages[-1].text if messages else ""
    tasks = _first_plan(prompt)
    if last.startswith("A critic scored your plan"):
        tasks = _revise(_previous(messages, prompt) or tasks, last, prompt)
    elif last.startswith("Your plan was rejected:"):
        tasks = _repair(tasks, last)
    text = ""
    for characters_max in INTENT_CHARACTERS:
        for task in tasks:
            if len(task.intent) > characters_max:
                task.intent = task.intent[: characters_max - 1].rstrip() + "…"
        text = json.dumps({"tasks": [task.plain() for task in tasks]}, ensure_ascii=False)
        if fits(text):
            break
    return text


def _first_plan(prompt: PlanningPrompt) -> list[DraftTask]:
    pieces = split_request(_named(prompt))
    tasks = [_task(place, piece, prompt) for place, piece in enumerate(pieces)]
    depths = [0] * len(tasks)
    for place, piece in enumerate(pieces):
        waits = (*piece.after, *(other for other in range(place) if place in pieces[other].blocks))
        depths[place] = 1 + max((depths[other] for other in waits), default=-1)
        tasks[place].priority = max(1, min(10, tasks[place].priority - depths[place]))
    return tasks


def _task(place: int, piece: Piece, prompt: PlanningPrompt) -> DraftTask:
    kind = intents.kind_of(piece.intent, attached=bool(prompt.attachments))
    edges = [("depends_on", f"t{other + 1}", 0.5 if piece.optional else 1.0) for other in piece.after]
    if piece.refines is not None:
        edges.append(("refines", f"t{piece.refines + 1}", 0.8))
    edges += [("blocks", f"t{other + 1}", 1.0) for other in piece.blocks]
    intent = _with_attachment(piece, kind, prompt)
    return DraftTask(
        key=f"t{place + 1}",
        intent=intent,
        agent=agent_for(intent, kind, prompt.agents),
        priority=PRIORITY_FIRST + 2 * bool(_URGENT.search(piece.intent)) - 2 * piece.optional,
        parent=f"t{piece.parent + 1}" if piece.parent is not None else None,
        edges=edges,
    )


def agent_for(intent: str, kind: str, agents: Sequence[OfferedAgent]) -> str:
    """Return the offered agent for a task; who is made for just this work goes before who does all of a kind.

    A task that names a server's tool goes to who has it. An agent that there are no rules for, such as one
    that a user added, gets what its purpose says in more words than that of who would get it otherwise.
    """
    asked = set(stems(intent))
    said = {agent.name: len(asked & set(stems(agent.purpose))) for agent in agents}
    for agent in agents:
        if any("__" in tool and tool in intent for tool in agent.tools):
            return agent.name
    specialist = intents.specialist_of(intent, kind)
    chosen = specialist if specialist in said else choose_agent(kind, agents)
    others = [name for name in sorted(said) if name not in intents.KNOWN]
    best = max(others, key=lambda name: said[name], default=chosen)
    return best if said.get(best, 0) >= max(PURPOSE_WORDS_MIN, said.get(chosen, 0) + 1) else chosen


def choose_agent(kind: str, agents: Sequence[OfferedAgent]) -> str:
    """Return the offered agent that fits `kind` best; never one that is not offered, unless none is."""
    names = {agent.name for agent in agents}
    if kind in names or not names:
        return kind
    tool = _TOOL_OF_KIND.get(kind)
    with_tool = next((agent.name for agent in agents if tool is not None and tool in agent.tools), None)
    if with_tool is not None:
        return with_tool
    return next((name for name in _FALLBACKS.get(kind, ()) if name in names), agents[0].name)


def _named(prompt: PlanningPrompt) -> str:
    """Return the request; one that leans on an earlier turn is told what that was about."""
    return prompt.request or prompt.earlier or "Answer the request"


def _with_attachment(piece: Piece, kind: str, prompt: PlanningPrompt) -> str:
    """Name the attachment in the intent of whoever reads it: the agent sees no list of them."""
    if kind != intents.ANALYSIS or not prompt.attachments or "attachment:" in piece.intent or piece.after:
        return piece.intent
    lowered = piece.intent.lower()
    mentioned = [name for name in prompt.attachments if name.lower() in lowered]
    names = ", ".join(f"attachment:{name}" for name in mentioned or prompt.attachments)
    return f"{piece.intent.rstrip('.')} ({names})"


def _previous(messages: Sequence[ChatMessage], prompt: PlanningPrompt) -> list[DraftTask] | None:
    """Return the plan that was criticised, or None when it cannot be read."""
    text = next((message.text for message in reversed(messages) if message.role == "assistant"), "")
    try:
        listed = json.loads(text)["tasks"]
        tasks = [
            DraftTask(
                key=str(task["key"]),
                intent=str(task["intent"]),
                agent=str(task["agent"]),
                priority=int(task.get("priority", 5)),
                parent=task.get("parent"),
                edges=[
                    (str(edge["relation"]), str(edge["task"]), float(edge.get("weight", 1.0)))
                    for edge in task.get("edges", ())
                ],
            )
            for task in listed
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    known = {agent.name for agent in prompt.agents}
    sound = bool(tasks) and all(not known or task.agent in known for task in tasks)
    return tasks if sound else None


def _revise(tasks: list[DraftTask], remarks: str, prompt: PlanningPrompt) -> list[DraftTask]:
    by_key = {task.key: task for task in tasks}
    for match in UNFIT.finditer(remarks):
        if match.group(1) in by_key:
            by_key[match.group(1)].agent = choose_agent(match.group(2), prompt.agents)
    for match in UNORDERED.finditer(remarks):
        later, earlier = match.groups()
        known = later in by_key and earlier in by_key
        if known and not _reaches(by_key, earlier, later):
            by_key[later].edges.append(("depends_on", earlier, 1.0))
    for match in REPEATED.finditer(remarks):
        kept, dropped = match.groups()
        if kept in by_key and dropped in by_key and kept != dropped:
            tasks = _without(tasks, dropped, kept)
            by_key.pop(dropped)
    for match in MISSING.finditer(remarks):
        tasks = _with_missing(tasks, match.group(1), prompt)
    return tasks


def _repair(tasks: list[DraftTask], error: str) -> list[DraftTask]:
    """Make the plan simpler where its shape was refused: one chain is neither wide nor cyclic."""
    if "too_deep" in error:
        for task in tasks:
            task.edges, task.parent = [], None
    elif "too_wide" in error or "cycle" in error:
        for earlier, later in pairwise(tasks):
            later.edges, later.parent = [("depends_on", earlier.key, 1.0)], None
        tasks[0].edges, tasks[0].parent = [], None
    return tasks


def _reaches(tasks: dict[str, DraftTask], start: str, goal: str) -> bool:
    """Tell whether `start` already waits, by whatever way, for `goal`."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        key = waiting.pop()
        if key == goal:
            return True
        if key in seen or key not in tasks:
            continue
        seen.add(key)
        waiting += [other for relation, other, _ in tasks[key].edges if relation in ("depends_on", "refines")]
        waiting += [
            task.key
            for task in tasks.values()
            if any(relation in ("blocks", "enables") and other == key for relation, other, _ in task.edges)
        ]
    return False


def _without(tasks: list[DraftTask], dropped: str, kept: str) -> list[DraftTask]:
    rest = [task for task in tasks if task.key != dropped]
    for task in rest:
        task.parent = kept if task.parent == dropped and task.key != kept else task.parent
        task.parent = None if task.parent == dropped else task.parent
        renamed = [
            (relation, kept if other == dropped else other, weight) for relation, other, weight in task.edges
        ]
        task.edges = list(dict.fromkeys(edge for edge in renamed if edge[1] != task.key))
    return rest


def _with_missing(tasks: list[DraftTask], listed: str, prompt: PlanningPrompt) -> list[DraftTask]:
    """Add a task for what no task covers, named by the words of the request."""
    kind = intents.kind_of(listed, attached=bool(prompt.attachments))
    key = next(f"t{number}" for number in range(1, 100) if f"t{number}" not in {task.key for task in tasks})
    named = _with_attachment(Piece(intent=f"Also cover: {listed}"), kind, prompt)
    return [*tasks, DraftTask(key=key, intent=named, agent=agent_for(named, kind, prompt.agents), priority=5)]
