"""Snapshots: what a session looks like at a node of its graph, for people who debug and for audits."""

import json
from typing import Final

from processors.state import Turn
from processors.transition import Transition
from schemas.events.snapshots import GraphSnapshotTaken, Node
from schemas.ids import derived_id

INTENT_CHARACTERS_MAX: Final = 200
"""Of each intent in a snapshot; the whole stands in its PlanProposed."""


def take(transition: Transition, node: Node) -> None:
    """Record the session's state at `node`."""
    turn = transition.turn
    transition.emit(
        GraphSnapshotTaken(
            snapshot_id=transition.new_id("snapshot"),
            turn=turn.number,
            node=node,
            snapshot_json=json_text(
                {
                    "turn": turn.number,
                    "phase": turn.phase,
                    "node": node,
                    "request": _short(turn.message.excerpt),
                    "root_task_id": turn.root_task_id,
                    "tasks": _tasks(turn) if turn.tasks else _planned(transition),
                }
            ),
            agent_state_json=json_text(
                {"waits_for": _waits(turn), "queued_messages": len(transition.state.queue)}
            ),
            cost_summary_json=json_text(usage(transition)),
            performance_json=json_text(
                {
                    "elapsed_ms": transition.now_ms - turn.started_at_ms,
                    "model_and_tool_calls": turn.calls,
                    "retries": turn.retries,
                    "tasks": len(turn.tasks),
                }
            ),
        )
    )


def usage(transition: Transition) -> dict[str, int]:
    """Return what the session was granted, holds, has used and has left."""
    budget = transition.budget
    return {
        "tokens_granted": budget.tokens_granted,
        "tokens_used": budget.tokens_used,
        "tokens_reserved": sum(held.tokens for held in budget.reservations.values()),
        "tokens_left": budget.tokens_left,
        "nanodollars_granted": budget.nanodollars_granted,
        "nanodollars_used": budget.nanodollars_used,
        "nanodollars_reserved": sum(held.nanodollars for held in budget.reservations.values()),
        "nanodollars_left": budget.nanodollars_left,
    }


def _tasks(turn: Turn) -> list[dict[str, object]]:
    return [
        {
            "task_id": task.task_id,
            "key": task.key,
            "intent": _short(task.intent),
            "parent_id": task.parent_id,
            "priority": task.priority,
            "agent": task.agent,
            "status": task.status,
            "attempt": task.attempt,
            "steps": task.steps_total,
            "tokens_used": task.tokens_used,
            "edges": [_edge(relation) for relation in task.relations],
        }
        for task in turn.tasks.values()
    ]


def _planned(transition: Transition) -> list[dict[str, object]]:
    """Return the tasks of a plan that is still in the making, under the ids that they will get."""
    turn = transition.turn
    session_id = transition.state.session_id
    return [
        {
            "task_id": task_id_of(session_id, turn.number, task.key),
            "key": task.key,
            "intent": _short(task.intent),
            "parent_id": task_id_of(session_id, turn.number, task.parent_key)
            if task.parent_key
            else turn.root_task_id,
            "priority": task.priority,
            "agent": task.agent,
            "status": "planned",
            "estimated_tokens": task.estimated_tokens,
            "edges": [{"relation": edge.relation, "task": edge.other_key} for edge in task.edges],
        }
        for task in turn.draft.tasks
    ]


def task_id_of(session_id: str, turn: int, key: str) -> str:
    """Return the id of a turn's task."""
    return derived_id(session_id, "task", str(turn), key)


def _edge(relation: str) -> dict[str, str]:
    name, _, other_key = relation.partition(":")
    return {"relation": name, "task": other_key}


def _short(text: str) -> str:
    return text if len(text) <= INTENT_CHARACTERS_MAX else text[: INTENT_CHARACTERS_MAX - 1] + "…"


def _waits(turn: Turn) -> dict[str, str]:
    waits = {}
    if turn.model_call_id is not None:
        waits[turn.phase.value] = f"model call {turn.model_call_id}"
    for task in turn.tasks.values():
        if task.model_call_id is not None:
            waits[task.key] = f"model call {task.model_call_id}"
        elif task.tool_calls:
            waits[task.key] = ", ".join(f"{call.proposed.name} ({call.status})" for call in task.tool_calls)
    return waits


def json_text(value: object) -> str:
    """Write a JSON value compactly."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
