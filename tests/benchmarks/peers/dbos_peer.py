"""DBOS, tasks as child workflows: `dbos_peer.py DSN ALONE TOGETHER CONCURRENCY`."""

import asyncio
import sys

from agents import TASKS, measure, model, tool  # type: ignore[import-not-found]  # stands beside this script
from dbos import DBOS, DBOSConfig, SetWorkflowID  # type: ignore[import-not-found]  # only in .venv-bench

# Decorators without types would make the functions untyped, so they are applied as functions.
step_model = DBOS.step(name="model")(model)
step_tool = DBOS.step(name="tool")(tool)


async def _task(intent: str) -> str:
    told = await step_model(intent)
    return str(await step_tool(told))


task = DBOS.workflow(name="task")(_task)


async def _session(question: str) -> str:
    plan = await step_model(question)
    critique = await step_model(plan)
    handles = [await DBOS.start_workflow_async(task, f"{number}: {critique}") for number in range(TASKS)]
    findings = await asyncio.gather(*[handle.get_result() for handle in handles])
    return str(await step_model("\n".join(map(str, findings))))


workflow = DBOS.workflow(name="session")(_session)


async def main(dsn: str, alone: int, together: int, concurrency: int) -> None:
    """Measure; each step's result is in Postgres before the next begins."""
    config: DBOSConfig = {
        "name": "benchmark",
        "system_database_url": dsn,
        "sys_db_pool_size": 2 * concurrency,
        "run_admin_server": False,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()

    async def session(session_id: str, question: str) -> str:
        with SetWorkflowID(session_id):
            return str(await workflow(question))

    try:
        await measure(session, alone=alone, together=together, concurrency=concurrency)
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:5])))
