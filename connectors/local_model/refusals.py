"""Refusals in the form in which the OpenAI API words them."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from connectors.local_model import wire
from connectors.local_model.control import json_response
from connectors.local_model.faults import Fault
from connectors.local_model.faulty import HTTP_FAULTS

BODY_BYTES_MAX: Final = 4 * 1024 * 1024

_ERROR_TYPES: Final = {404: "invalid_request_error", 413: "invalid_request_error", 429: "rate_limit_error"}


@web.middleware
async def errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Give every refusal the form in which the OpenAI API words it."""
    try:
        return await handler(request)
    except wire.BadRequest as error:
        kind = _ERROR_TYPES.get(error.status, "invalid_request_error")
        return json_response(
            wire.error_body(str(error), kind, error.code, error.parameter), status=error.status
        )
    except web.HTTPException as error:
        message = (
            f"Request too large: at most {BODY_BYTES_MAX} bytes."
            if error.status == 413
            else f"{error.reason}: {request.method} {request.path}"
        )
        return json_response(
            wire.error_body(message, "invalid_request_error", None, None), status=error.status
        )


def http_error(fault: Fault) -> web.Response:
    """Return the error that a fault asks for; its kind is one of HTTP_FAULTS."""
    error = HTTP_FAULTS[fault.kind]
    response = json_response(
        wire.error_body(error.message, error.type, error.code, None), status=error.status
    )
    if fault.kind == "rate_limited":
        response.headers["Retry-After"] = f"{fault.retry_after_s:g}"
    return response
