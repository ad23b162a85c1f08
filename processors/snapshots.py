"""Snapshots: what a session looks like at a node of its graph, for people who debug and for audits."""

import json

from processors.state import Turn
from processors.transition import Transition
from schemas.events.snapshots import GraphSnapshotTaken, Node


def take(transition: Transition, node: Node) -> None:
    """Record the session's state at `node`."""
    turn = transition.turn
    transition.emit(
        GraphSnapshotTaken(
            snapshot_id=transition.new_id("snapshot"),
            turn=turn.number,
            node=node,
            snapshot_json=json_text(
                {"turn": turn.number, "phase": turn.phase, "node": node, "tasks": _tasks(turn)}
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
            "agent": task.agent,
            "status": task.status,
            "attempt": task.attempt,
            "steps": task.steps_total,
            "tokens_used": task.tokens_used,
            "relations": list(task.relations),
        }
        for task in turn.tasks.values()
    ]


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
