"""/v1: OpenAI's chat completions in front of sessions; the model `cartrita` plans, works and answers."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from typing import Final, cast
from uuid import UUID

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schemas.events.access import Scope
from schemas.events.inputs import MessageReceived
from sinks import conversations
from streams.gateway import governed_requests
from streams.gateway.access import Principal
from streams.gateway.completions import PING_S, Form, Json, event_of
from streams.gateway.door import Owner, Posted, require
from streams.gateway.feed import FollowerTooSlow
from streams.gateway.frames import Cursor, Frame
from streams.gateway.front import Front
from streams.gateway.governed_calls import Calls
from streams.gateway.governed_chat import Begun, Completion, Streamed
from streams.gateway.leaving import unless_gone
from streams.gateway.problems import Problem, openai_error, response_of
from streams.gateway.retries import Retries, json_of

MODEL: Final = "cartrita"
SESSION_HEADER: Final = "x-cartrita-session"
_STATUS: Final = {"queue_full": 429, "lease_refused": 429, "session_closed": 409, "unknown_session": 404}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for a completion, as far as it counts."""

    text: str
    stream: bool
    usage: bool
    """Whether a stream ends with a chunk of usage."""
    session_id: str | None


def asked_of(body: Mapping[str, object], session_header: str | None) -> Asked:
    """Read a request for a completion; parameters that are not known are ignored, as OpenAI's clients expect.

    Raises:
        Problem: it cannot be answered.
    """
    if body.get("n") not in (None, 1):
        raise Problem(400, "n can only be 1", code="unsupported_parameter", param="n")
    if body.get("tools") or body.get("functions"):
        raise Problem(
            400,
            f"{MODEL} uses the tools of its own agents, and takes none of the client's",
            code="unsupported_parameter",
            param="tools" if body.get("tools") else "functions",
        )
    session_id = session_header or _named(body.get("metadata"), "session_id")
    options = body.get("stream_options")
    return Asked(
        text=_text_of(body.get("messages"), in_session=session_id is not None),
        stream=body.get("stream") is True,
        usage=isinstance(options, Mapping) and options.get("include_usage") is True,
        session_id=session_id,
    )


def _named(metadata: object, name: str) -> str | None:
    value = metadata.get(name) if isinstance(metadata, Mapping) else None
    return value if isinstance(value, str) else None


def _text_of(messages: object, *, in_session: bool) -> str:
    """Return what the session is told: the last message, and before it the history that it does not know."""
    if not isinstance(messages, list) or not messages:
        raise Problem(400, "messages is a list of at least one", param="messages")
    said: list[tuple[str, str]] = []
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        role = message.get("role") if isinstance(message, Mapping) else None
        if role not in ("system", "developer", "user", "assistant", "tool"):
            raise Problem(400, f"{place} has no role that is known", param=f"{place}.role")
        said.append((role, _content(message.get("content"), f"{place}.content")))
    if said[-1][0] != "user" or not said[-1][1].strip():
        raise Problem(400, "the last message is not a user's text", param=f"messages[{len(said) - 1}]")
    earlier = [(role, text) for role, text in said[:-1] if text.strip()]
    if in_session or not earlier:
        return said[-1][1]
    # Roles of earlier texts are the caller's claims: all stands within the one message that it sends.
    history = "\n\n".join(f"{role}: {text}" for role, text in earlier)
    return (
        f"{said[-1][1]}\n\n--- The conversation before this request, as the client tells it ---\n\n{history}"
    )


def _content(content: object, place: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Problem(400, f"{place} is text, or a list of parts", param=place)
    texts = []
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(text, str):
            raise Problem(400, f"{place} has a part that is no text; only text is taken", param=place)
        texts.append(text)
    return "".join(texts)


class Chat:
    """Answers requests for completions."""

    def __init__(self, front: Front) -> None:
        """Note the gateway's parts."""
        self._front = front
        self._calls = Calls(front)
        self._retries = Retries()
        self._began_s = int(time.time())

    async def models(self, request: Request) -> Response:
        """List the models."""
        names = (MODEL, *self._front.models.names)
        return JSONResponse({"object": "list", "data": [self._model(name) for name in names]})

    async def model(self, request: Request) -> Response:
        """Describe a model."""
        name = request.path_params["model"]
        try:
            if name != MODEL:
                self._front.models.model(name)
        except Problem as problem:
            return response_of(problem, request)
        return JSONResponse(self._model(name))

    async def completions(self, request: Request) -> Response:
        """Answer a chat."""
        bearer: Principal = request.state.principal
        try:
            require(bearer, Scope.SEND)
            require(bearer, Scope.READ)
            raw = await request.body()
            body = json_of(raw)
            if body.get("model") != MODEL:
                return await self._governed(bearer, request, raw, body)
            asked = asked_of(body, request.headers.get(SESSION_HEADER))
            key, _ = self._retries.key_of(bearer, raw, request, request.headers.get(SESSION_HEADER, ""))
            answering = _Answering(self._front, bearer, asked)
            await answering.begin(key)
        except Problem as problem:
            return response_of(problem, request)
        headers = {SESSION_HEADER: answering.session_id}
        if asked.stream:
            return EventSourceResponse(answering.chunks(), ping=PING_S, sep="\n", headers=headers)
        try:
            return JSONResponse(await unless_gone(request, answering.whole()), headers=headers)
        except Problem as problem:
            return response_of(problem, request)

    async def _governed(
        self, bearer: Principal, request: Request, raw: bytes, body: Mapping[str, object]
    ) -> Response:
        """Answer by one call of a model.

        Raises:
            Problem: there is no answer.
        """
        models = self._front.models
        name = str(body.get("model"))
        asked = governed_requests.asked_of(body, models.model(body.get("model")), models.counter)
        key, is_new = self._retries.key_of(bearer, raw, request)
        call = await self._calls.ask(bearer, asked.fact, key, is_new=is_new)
        completion = Completion(call, name, usage=asked.usage)
        try:
            if not asked.stream:
                with closing(call):
                    return JSONResponse(await unless_gone(request, completion.whole()))
            begun = Begun(call)
            try:
                await begun.wait()
            except BaseException:
                await begun.close()
                raise
            return Streamed(begun, completion.chunks(begun))
        except Problem:
            # What an SDK tries again by itself after a failure is another call.
            self._retries.forget(key)
            raise

    def _model(self, name: str) -> Json:
        return {"id": name, "object": "model", "created": self._began_s, "owned_by": "cartrita"}


class _Answering:
    """One completion: its message on the log, and what is told of it."""

    def __init__(self, front: Front, bearer: Principal, asked: Asked) -> None:
        self._front = front
        self._bearer = bearer
        self._asked = asked
        self._posted: Posted | None = None
        self._form = Form(input_id="", model=MODEL, created_s=int(time.time()))

    @property
    def session_id(self) -> str:
        assert self._posted is not None
        return self._posted.event.session_id

    async def begin(self, key: str) -> None:
        """Write the message; from then on what it causes can be read, whatever becomes of this gateway."""
        body = MessageReceived(text=self._asked.text)
        door = self._front.door
        if self._asked.session_id is None:
            self._posted = await door.begin(self._bearer, body, key)
        else:
            self._posted = await door.say(self._bearer, self._asked.session_id, body, key)
        self._form = replace(self._form, input_id=self._posted.event.event_id)

    async def whole(self) -> Json:
        """Wait for the answer.

        Raises:
            Problem: there is none.
        """
        async with aclosing(self._told()) as told:
            async for frame in told:
                if frame.type != "delta":
                    message: Json = {"role": "assistant", "content": _final(frame), "refusal": None}
                    return self._form.whole(message, "stop", self._usage(frame))
        raise AssertionError("a session tells without end")

    async def chunks(self) -> AsyncGenerator[ServerSentEvent, None]:
        """Tell the answer as it comes."""
        try:
            yield self._form.chunk({"role": "assistant", "content": ""})
            async with aclosing(self._told()) as told:
                sent, attempt = "", None
                async for frame in told:
                    if frame.type == "delta":
                        text = str(frame.body["text"])
                        if attempt not in (None, frame.body["attempt"]):
                            continue  # what was sent is of an attempt that failed; the answer will tell
                        attempt = frame.body["attempt"]
                        sent += text
                        yield self._form.chunk({"content": text})
                        continue
                    final = _final(frame)
                    if not final.startswith(sent):
                        raise Problem(
                            500,
                            "the answer was begun anew; ask again to get it whole",
                            code="answer_restarted",
                        )
                    if len(final) > len(sent):
                        yield self._form.chunk({"content": final[len(sent) :]})
                    yield self._form.chunk({}, finish="stop")
                    if self._asked.usage:
                        yield self._form.usage_chunk(self._usage(frame))
                    break
            yield ServerSentEvent(data="[DONE]", sep="\n")
        except Problem as problem:
            yield event_of(openai_error(problem))

    async def _told(self) -> AsyncGenerator[Frame, None]:
        """Tell the pieces of the answer, and last what ends the wait.

        Raises:
            Problem: there will be no answer.
        """
        assert self._posted is not None
        owner = Owner(tenant=self._posted.event.tenant_id, user=self._posted.event.user_id)
        input_id = self._posted.event.event_id
        following = self._front.following(owner, self.session_id)
        mine = False
        async with aclosing(following.frames(await self._start())) as frames:
            async for frame in _unhurried(frames):
                if frame.type == "turn_started":
                    mine = frame.body["messageId"] == input_id
                elif frame.type == "error" and frame.body.get("messageId") == input_id:
                    code = str(frame.body["code"])
                    raise Problem(_STATUS.get(code, 400), str(frame.body["message"]), code=code)
                elif frame.type == "session_ended":
                    raise Problem(409, f"the session has ended: {frame.body['reason']}", code="session_ended")
                elif mine and frame.type in ("delta", "answer", "approval_requested"):
                    yield frame

    async def _start(self) -> Cursor:
        """Return a cursor before anything that the message causes: of a new one, what was told is past."""
        assert self._posted is not None
        if self._posted.repeated:
            return Cursor()
        async with self._front.door.database(self._bearer) as connection:
            return Cursor(sequence=await conversations.told_up_to(connection, UUID(self.session_id)))

    def _usage(self, frame: Frame) -> Json:
        """Return what the turn used, all calls together: what is not the answer's own counts as prompt."""
        total = cast("int", frame.body.get("tokens", 0))
        answer = min(total, self._front.count_tokens(_final(frame)))
        return {"prompt_tokens": total - answer, "completion_tokens": answer, "total_tokens": total}


async def _unhurried(frames: AsyncGenerator[Frame, None]) -> AsyncGenerator[Frame, None]:
    """Tell frames, and turn what may happen to a follower into what a request can be told."""
    try:
        async for frame in frames:
            yield frame
    except FollowerTooSlow as error:
        raise Problem(
            503, "the answer cannot be followed; ask again", code="unavailable", retry_s=2
        ) from error


def _final(frame: Frame) -> str:
    """Return the whole text that ends the wait."""
    if frame.type == "answer":
        return str(frame.body["text"])
    body = frame.body
    return (
        f"This waits for a person's approval: {body['tool']} with {body['argumentsJson']}. "
        f"Approve it with `cartrita approve {body['sessionId']} {body['approvalId']}`, or by POST to "
        f"/api/v2/sessions/{body['sessionId']}/approvals/{body['approvalId']}; then ask again in the session."
    )


async def not_there(request: Request) -> Response:
    """Answer for what OpenAI has below /v1 and this gateway has not."""
    return response_of(
        Problem(404, f"there is no {request.method} {request.url.path[:200]} here", code="not_found"), request
    )
