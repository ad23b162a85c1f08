"""What goes wrong, told to whoever asked: problem+json (RFC 9457), and OpenAI's form below /v1."""

from http import HTTPStatus
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse

OPENAI_PATH: Final = "/v1"


class Problem(Exception):
    """A request cannot be answered as asked."""

    def __init__(
        self, status: int, detail: str, *, code: str = "", param: str = "", retry_s: int | None = None
    ) -> None:
        """Note what is wrong.

        Args:
            status: of HTTP.
            detail: a sentence for whoever asked; never a path, a stack or a query.
            code: a word for programs.
            param: the field that is wrong.
            retry_s: when to try again.
        """
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.param = param
        self.retry_s = retry_s


_TOLD: Final = {
    400: "It is no JSON, or a mark, cursor or key that is none.",
    401: "There is no token, or it is not good.",
    403: "The token is not good for this.",
    404: "There is no such session, or it is somebody else's.",
    413: "The body is too large.",
    422: "A field is wrong; or the Idempotency-Key was used for another request.",
    429: "The token or its tenant asks too much; try again after Retry-After seconds.",
    503: "Kafka or Postgres does not answer, or the gateway is full; try again after Retry-After seconds.",
}
_SCHEMA: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for whoever asked."},
        "code": {"type": "string", "description": "A word for programs."},
        "param": {"type": "string", "description": "The field that is wrong."},
    },
    "additionalProperties": False,
}
OPENAPI_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": told, "content": {"application/problem+json": {"schema": _SCHEMA}}}
    for status, told in _TOLD.items()
}
"""How the document of /api/v2 describes what goes wrong, the same for every route."""


def not_found() -> Problem:
    """Return what is said of a session that is not there, and of one that is somebody else's."""
    return Problem(404, "there is no such session", code="session_not_found")


def away(what: str) -> Problem:
    """Return what is said when Kafka or Postgres does not answer."""
    return Problem(503, f"{what} does not answer; try again", code="unavailable", retry_s=2)


def unconfirmed() -> Problem:
    """Return what is said when Kafka may have taken what was asked, or not."""
    return Problem(
        503,
        "Kafka has not confirmed it in time; under the same Idempotency-Key it is safe to try again",
        code="unconfirmed",
        retry_s=2,
    )


def key_reused() -> Problem:
    """Return what is said of a key that was used for another body."""
    return Problem(422, "this Idempotency-Key was used for another request", code="idempotency_key_reused")


def response_of(problem: Problem, connection: HTTPConnection) -> JSONResponse:
    """Return the answer that tells a problem, in the form that the route's clients read."""
    headers = {} if problem.retry_s is None else {"Retry-After": str(problem.retry_s)}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if connection.url.path.startswith(OPENAI_PATH + "/"):
        return JSONResponse(openai_error(problem), problem.status, headers)
    told = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        **({"code": problem.code} if problem.code else {}),
        **({"param": problem.param} if problem.param else {}),
    }
    return JSONResponse(told, problem.status, headers, media_type="application/problem+json")


_QUOTA: Final = "insufficient_quota"
_OPENAI_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def openai_error(problem: Problem) -> dict[str, object]:
    """Return a problem as OpenAI's clients read it."""
    kind = (
        (_QUOTA if problem.code == _QUOTA else None)
        or _OPENAI_TYPES.get(problem.status)
        or ("server_error" if problem.status >= 500 else "invalid_request_error")
    )
    return {
        "error": {
            "message": problem.detail,
            "type": kind,
            "param": problem.param or None,
            "code": problem.code or None,
        }
    }
