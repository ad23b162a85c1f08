"""/v1: OpenAI's chat completions in front of sessions; the model `cartrita` plans, works and answers."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schemas.events.access import Scope
from schemas.events.inputs import MessageReceived
from schemas.events.trust import Trust
from streams.gateway import governed_requests
from streams.gateway.access import Principal
from streams.gateway.completions import PING_S, Form, Json, event_of, usage
from streams.gateway.door import Owner, Posted, require
from streams.gateway.frames import Frame
from streams.gateway.front import Front
from streams.gateway.governed_calls import Calls
from streams.gateway.governed_chat import Begun, Completion, Streamed
from streams.gateway.leaving import unless_gone
from streams.gateway.problems import Problem, openai_error, response_of
from streams.gateway.retries import Retries, json_of
from streams.gateway.turns import (
    MODEL,
    SESSION_HEADER,
    WAITS,
    Turn,
    agent_of,
    final_text,
    is_planned,
    problem_of,
    tokens_of,
    trust_of,
    with_history,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for a completion, as far as it counts."""

    text: str
    trust: Trust
    model: str
    agent: str | None
    """Who does the work; None: a plan is made."""
    stream: bool
    usage: bool
    """Whether a stream ends with a chunk of usage."""
    session_id: str | None


def asked_of(body: Mapping[str, object], session_header: str | None, agent: str | None = None) -> Asked:
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
    text, trust = _text_of(body.get("messages"), in_session=session_id is not None)
    return Asked(
        text=text,
        trust=trust,
        model=str(body.get("model")),
        agent=agent,
        stream=body.get("stream") is True,
        usage=isinstance(options, Mapping) and options.get("include_usage") is True,
        session_id=session_id,
    )


def _named(metadata: object, name: str) -> str | None:
    value = metadata.get(name) if isinstance(metadata, Mapping) else None
    return value if isinstance(value, str) else None


def _text_of(messages: object, *, in_session: bool) -> tuple[str, Trust]:
    """Return what the session is told, and whose word it is.

    That is the last message, and before it the history that the session does not know.
    """
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
    if in_session:
        return said[-1][1], trust_of(said[-1:])
    title = "The conversation before this request, as the client tells it"
    return with_history(said, title), trust_of(said)


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
        agents = (f"{MODEL}/{agent}" for agent in self._front.agents)
        names = (MODEL, *agents, *self._front.models.names)
        return JSONResponse({"object": "list", "data": [self._model(name) for name in names]})

    async def model(self, request: Request) -> Response:
        """Describe a model."""
        name = request.path_params["model"]
        try:
            if is_planned(name):
                agent_of(self._front, name)
            else:
                self._front.models.describe(name)
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
            if not is_planned(body.get("model")):
                return await self._governed(bearer, request, raw, body)
            agent = agent_of(self._front, str(body["model"]))
            asked = asked_of(body, request.headers.get(SESSION_HEADER), agent)
            key, _ = self._retries.key_of(bearer, raw, request, request.headers.get(SESSION_HEADER, ""))
            answering = await _Answering.begun(self._front, bearer, asked, key)
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
        with self._retries.asking(key):
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

    def _model(self, name: str) -> Json:
        return {"id": name, "object": "model", "created": self._began_s, "owned_by": "cartrita"}


class _Answering:
    """One completion: its message on the log, and what is told of it."""

    def __init__(self, front: Front, bearer: Principal, asked: Asked, posted: Posted) -> None:
        self._front = front
        self._asked = asked
        self._repeated = posted.repeated
        event = posted.event
        owner = Owner(tenant=event.tenant_id, user=event.user_id)
        self._turn = Turn(front, owner, event.session_id, event.event_id)
        self.session_id = event.session_id
        self._form = Form(input_id=event.event_id, model=asked.model, created_s=int(time.time()))

    @classmethod
    async def begun(cls, front: Front, bearer: Principal, asked: Asked, key: str) -> "_Answering":
        """Write the message; from then on what it causes can be read, whatever becomes of this gateway.

        Raises:
            Problem: it cannot be written.
        """
        body = MessageReceived(text=asked.text, agent=asked.agent, trust=asked.trust)
        if asked.session_id is None:
            posted = await front.door.begin(bearer, body, key)
        else:
            posted = await front.door.say(bearer, asked.session_id, body, key)
        return cls(front, bearer, asked, posted)

    async def whole(self) -> Json:
        """Wait for the answer.

        Raises:
            Problem: there is none.
        """
        async with aclosing(self._told()) as told:
            async for frame in told:
                if frame.type != "delta":
                    message: Json = {"role": "assistant", "content": final_text(frame), "refusal": None}
                    return self._form.whole(message, "stop", usage(*tokens_of(self._front, frame)))
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
                    final = final_text(frame)
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
                        yield self._form.usage_chunk(usage(*tokens_of(self._front, frame)))
                    break
            yield ServerSentEvent(data="[DONE]", sep="\n")
        except Problem as problem:
            yield event_of(openai_error(problem))

    async def _told(self) -> AsyncGenerator[Frame, None]:
        """Tell the pieces of the answer, and last what ends the wait.

        Raises:
            Problem: there will be no answer.
        """
        start = await self._turn.start(is_new=not self._repeated)
        async with aclosing(self._turn.told(start)) as told:
            async for frame in told:
                problem = problem_of(frame)
                if problem is not None:
                    raise problem
                if frame.type in ("delta", "answer", *WAITS):
                    yield frame


async def not_there(request: Request) -> Response:
    """Answer for what OpenAI has below /v1 and this gateway has not."""
    return response_of(
        Problem(404, f"there is no {request.method} {request.url.path[:200]} here", code="not_found"), request
    )
