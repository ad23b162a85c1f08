"""LangGraph with its Postgres checkpointer: `langgraph_peer.py DSN ALONE TOGETHER CONCURRENCY`."""

import asyncio
import operator
import sys
from typing import Annotated, TypedDict

from agents import TASKS, measure, model, tool  # type: ignore[import-not-found]  # stands beside this script
from langgraph.checkpoint.postgres.aio import (  # type: ignore[import-not-found]  # only in .venv-bench
    AsyncPostgresSaver,
)
from langgraph.graph import END, START, StateGraph  # type: ignore[import-not-found]  # only in .venv-bench
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool


class State(TypedDict):
    """What the graph carries from node to node."""

    question: str
    plan: str
    critique: str
    findings: Annotated[list[str], operator.add]
    answer: str


async def _plan(state: State) -> dict[str, object]:
    return {"plan": await model(state["question"])}


async def _criticise(state: State) -> dict[str, object]:
    return {"critique": await model(state["plan"])}


async def _step(state: State) -> dict[str, object]:
    return {"findings": [await model(state["plan"])]}


async def _tool(state: State) -> dict[str, object]:
    return {"findings": [await tool(state["plan"])]}


async def _synthesize(state: State) -> dict[str, object]:
    return {"answer": await model("\n".join(state["findings"]))}


def _graph() -> StateGraph:  # its type is unknown here
    graph = StateGraph(State)
    graph.add_node("plan", _plan)
    graph.add_node("critic", _criticise)
    graph.add_node("synthesis", _synthesize)
    graph.add_edge(START, "plan")
    graph.add_edge("plan", "critic")
    graph.add_edge("synthesis", END)
    for number in range(TASKS):
        graph.add_node(f"model{number}", _step)
        graph.add_node(f"tool{number}", _tool)
        graph.add_edge("critic", f"model{number}")
        graph.add_edge(f"model{number}", f"tool{number}")
    graph.add_edge([f"tool{number}" for number in range(TASKS)], "synthesis")
    return graph


async def main(dsn: str, alone: int, together: int, concurrency: int) -> None:
    """Measure; each superstep is in Postgres before the next begins."""
    arguments = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(dsn, min_size=concurrency, max_size=concurrency, kwargs=arguments) as pool:
        saver = AsyncPostgresSaver(pool)
        await saver.setup()
        graph = _graph().compile(checkpointer=saver)

        async def session(session_id: str, question: str) -> str:
            config = {"configurable": {"thread_id": session_id}}
            state = await graph.ainvoke({"question": question, "findings": []}, config, durability="sync")
            assert len(state["findings"]) == 2 * TASKS
            return str(state["answer"])

        await measure(session, alone=alone, together=together, concurrency=concurrency)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:5])))
