"""The routes by which tests script faults and read the ledger; served only when asked for."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping

from aiohttp import web

from connectors.local_model import wire
from connectors.local_model.faults import FaultChooser, FaultScript, fault_from_plain
from connectors.local_model.ledger import Ledger


def add_control(
    application: web.Application,
    ledger: Ledger,
    attempts: Counter[str],
    set_faults: Callable[[FaultChooser | None], None],
) -> None:
    """Add the routes under /control/.

    Args:
        attempts: how often each client request id was seen; forgotten together with the ledger.
        set_faults: gives the server a new script, or none.
    """
    script: list[FaultScript] = []

    async def show_ledger(_request: web.Request) -> web.Response:
        return json_response({"entries": ledger.plain()})

    async def clear_ledger(_request: web.Request) -> web.Response:
        ledger.clear()
        attempts.clear()
        return json_response({"entries": 0})

    async def show_faults(_request: web.Request) -> web.Response:
        return json_response({"met": script[-1].met() if script else []})

    async def take_faults(request: web.Request) -> web.Response:
        listed = wire.parse_json(await request.read()).get("faults")
        if not isinstance(listed, list):
            raise wire.BadRequest("'faults' must be an array.", parameter="faults")
        try:
            faults = [fault_from_plain(value) for value in listed]
        except ValueError as error:
            raise wire.BadRequest(str(error), parameter="faults") from error
        script[:] = [FaultScript(faults)]
        set_faults(script[0])
        return json_response({"faults": len(faults)})

    async def clear_faults(_request: web.Request) -> web.Response:
        script.clear()
        set_faults(None)
        return json_response({"faults": 0})

    application.router.add_get("/control/ledger", show_ledger)
    application.router.add_delete("/control/ledger", clear_ledger)
    application.router.add_get("/control/faults", show_faults)
    application.router.add_post("/control/faults", take_faults)
    application.router.add_delete("/control/faults", clear_faults)


def json_response(value: Mapping[str, object], status: int = 200) -> web.Response:
    """Return `value` as a response whose id is a hash of it."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", errors="replace")
    request_id = hashlib.sha256(body).hexdigest()[:24]
    return web.Response(
        body=body,
        status=status,
        content_type="application/json",
        headers={"x-request-id": f"req_{request_id}"},
    )
