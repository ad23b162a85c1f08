"""What OpenAI-compatible providers do that OpenAI does not: each quirk as a function of a sound answer.

Every kind has been reported of a provider or of a gateway. Tests name a quirk and say what is right; the
fault campaign mixes them into the answers of its fake provider.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

Chunk = dict[str, object]
MODEL: Final = "fake-1"
"""Who every answer says it is from."""
USAGE: Final = {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call of a sound answer."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A sound answer, as a provider has it before it is written down."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    usage: Mapping[str, object] | None = None
    reason: str = ""
    """Why it ends; empty: by what it has."""

    @property
    def finish(self) -> str:
        """Return the reason to stop."""
        return self.reason or ("tool_calls" if self.calls else "stop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A response as it goes over the wire."""

    body: bytes
    status: int = 200
    content_type: str = "text/event-stream"
    headers: tuple[tuple[str, str], ...] = ()
    closes: bool = False
    """True: neither length nor chunks: the body ends where the connection does."""


Quirk = Callable[[Answer], Sent]


def chunk(delta: Mapping[str, object] | None = None, finish: str | None = None, **extra: object) -> Chunk:
    """Return an object of a stream."""
    choice = {"index": 0, "delta": dict(delta or {}), "finish_reason": finish}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [choice],
        **extra,
    }


def part(call: Call, **changes: object) -> Chunk:
    """Return a tool call as a delta has it; a change to None leaves that out."""
    function = {"name": call.name, "arguments": call.arguments}
    whole = {"index": 0, "id": call.id, "type": "function", "function": function, **changes}
    return {name: value for name, value in whole.items() if value is not None}


def events(chunks: Sequence[object], *, newline: str = "\n", done: bool = True, before: str = "") -> bytes:
    """Return a stream of events; a text among the chunks is sent as it is."""
    texts = [text if isinstance(text, str) else json.dumps(text) for text in chunks]
    lines = [f"data: {text}{newline * 2}" for text in [*texts, *(["[DONE]"] if done else [])]]
    return (before + "".join(lines)).encode()


def stream(chunks: Sequence[object]) -> Sent:
    """Return a stream as OpenAI sends it, of any objects."""
    return Sent(body=events(chunks))


def chunks_of(answer: Answer) -> list[Chunk]:
    """Return the objects of a sound stream."""
    half = len(answer.text) // 2
    texts = [answer.text[:half], answer.text[half:]]
    calls = [chunk({"tool_calls": [part(call, index=n)]}) for n, call in enumerate(answer.calls)]
    return [
        chunk({"role": "assistant", "content": ""}),
        *[chunk({"content": text}) for text in texts if text],
        *calls,
        *end_of(answer),
    ]


def end_of(answer: Answer, finish: str | None = None) -> list[Chunk]:
    """Return how a sound stream ends: the reason, then the usage."""
    return [chunk({}, finish or answer.finish), {**chunk(), "choices": [], "usage": answer.usage or USAGE}]


def whole(answer: Answer) -> dict[str, object]:
    """Return the answer as one object."""
    message: dict[str, object] = {"role": "assistant", "content": answer.text or None}
    if answer.calls:
        message["tool_calls"] = [part(call, index=None) for call in answer.calls]
    choice = {"index": 0, "message": message, "finish_reason": answer.finish}
    usage = answer.usage or USAGE
    return {"id": "c1", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage}


def with_calls(answer: Answer, parts: Sequence[Sequence[Mapping[str, object]]]) -> Sent:
    """Return a stream whose calls come in these parts, a chunk for each list."""
    said = [chunk({"role": "assistant", "content": answer.text or None})]
    return stream([*said, *[chunk({"tool_calls": list(some)}) for some in parts], *end_of(answer)])


def _pieces(text: str) -> list[str]:
    third = max(1, len(text) // 3)
    return [text[start : start + third] for start in range(0, len(text), third)]


def _fragment(index: int | None, arguments: str, **more: object) -> Chunk:
    found: Chunk = {"function": {"arguments": arguments}, **more}
    return found if index is None else {"index": index, **found}


def sound(answer: Answer) -> Sent:
    """Answer as OpenAI does."""
    return stream(chunks_of(answer))


# How tool calls are told apart. All of them give the same calls.


def _arguments_in_pieces(answer: Answer) -> Sent:
    parts = []
    for index, call in enumerate(answer.calls):
        parts.append([part(call, index=index, function={"name": call.name, "arguments": ""})])
        parts += [[_fragment(index, piece)] for piece in _pieces(call.arguments)]
    return with_calls(answer, parts)


def _interleaved(answer: Answer) -> Sent:
    heads = [
        [part(call, index=n, function={"name": call.name, "arguments": ""})]
        for n, call in enumerate(answer.calls)
    ]
    rest = [_pieces(call.arguments) for call in answer.calls]
    parts = [
        [_fragment(n, pieces[step])]
        for step in range(max(map(len, rest), default=0))
        for n, pieces in enumerate(rest)
        if step < len(pieces)
    ]
    return with_calls(answer, [*heads, *parts])


def _name_and_id_on_each_piece(answer: Answer) -> Sent:
    return with_calls(
        answer,
        [
            [part(call, index=index, function={"name": call.name, "arguments": piece})]
            for index, call in enumerate(answer.calls)
            for piece in _pieces(call.arguments)
        ],
    )


def _new_id_on_each_piece(answer: Answer) -> Sent:
    parts = []
    for index, call in enumerate(answer.calls):
        parts.append([part(call, index=index, function={"name": call.name, "arguments": ""})])
        parts += [
            [_fragment(index, piece, id=f"{call.id}-{n}")] for n, piece in enumerate(_pieces(call.arguments))
        ]
    return with_calls(answer, parts)


def _rest_under_another_index(answer: Answer) -> Sent:
    parts = []
    for index, call in enumerate(answer.calls):
        parts.append([part(call, index=0, function={"name": call.name, "arguments": ""})])
        parts += [[_fragment(index, piece)] for piece in _pieces(call.arguments)]
    return with_calls(answer, parts)


def _pieces_without_index(answer: Answer) -> Sent:
    parts = []
    for call in answer.calls:
        parts.append([part(call, index=None, function={"name": call.name, "arguments": ""})])
        parts += [[_fragment(None, piece)] for piece in _pieces(call.arguments)]
    return with_calls(answer, parts)


def _cumulative(answer: Answer) -> Sent:
    parts = []
    for index, call in enumerate(answer.calls):
        said = ""
        for piece in _pieces(call.arguments):
            said += piece
            parts.append([part(call, index=index, function={"name": call.name, "arguments": said})])
    return with_calls(answer, parts)


def _name_in_pieces(answer: Answer) -> Sent:
    parts = []
    for index, call in enumerate(answer.calls):
        half = len(call.name) // 2
        parts.append([part(call, index=index, function={"name": call.name[:half], "arguments": ""})])
        parts.append([{"index": index, "function": {"name": call.name[half:]}}])
        parts.append([_fragment(index, call.arguments)])
    return with_calls(answer, parts)


def _each(answer: Answer, change: Callable[[int, Call], Chunk]) -> Sent:
    return with_calls(answer, [[change(number, call)] for number, call in enumerate(answer.calls)])


def _with_arguments(answer: Answer, change: Callable[[str], object]) -> Sent:
    return _each(
        answer,
        lambda n, call: part(
            call, index=n, function={"name": call.name, "arguments": change(call.arguments)}
        ),
    )


# How calls are written into the text where a server does not read them out of it.


def _written(answer: Answer, write: Callable[[str, str], str], before: str = "", after: str = "") -> Sent:
    calls = [write(call.name, call.arguments) for call in answer.calls]
    text = before + "\n".join(calls) + after if calls else answer.text
    return stream([*[chunk({"content": piece}) for piece in _pieces(text)], *end_of(answer, "stop")])


def _object(name: str, arguments: str) -> str:
    return f'{{"name": "{name}", "arguments": {arguments}}}'


def _list(answer: Answer, before: str = "", after: str = "") -> Sent:
    calls = ", ".join(_object(call.name, call.arguments) for call in answer.calls)
    return _written(replace(answer, calls=answer.calls[:1]), lambda *_: f"[{calls}]", before, after)


def _parameters(name: str, arguments: str) -> str:
    given = json.loads(arguments).items()
    lines = [f"<parameter={key}>\n{_bare(value)}\n</parameter>" for key, value in given]
    return "\n".join(["<tool_call>", f"<function={name}>", *lines, "</function>", "</tool_call>"])


def _bare(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


WRITTEN_CALL_QUIRKS: Final[Mapping[str, Quirk]] = {
    "written_in_tags": lambda a: _written(a, lambda n, g: f"<tool_call>\n{_object(n, g)}\n</tool_call>"),
    "written_in_open_tag": lambda a: _list(a, "<tool_call>\n"),
    "written_in_tags_as_function": lambda a: _written(a, _parameters),
    "written_as_function": lambda a: _written(a, lambda n, g: f"<function={n}>{g}</function>"),
    "written_behind_mark": lambda a: _list(a, "[TOOL_CALLS] "),
    "written_behind_marks_by_name": lambda a: _written(a, lambda n, g: f"[TOOL_CALLS]{n}[ARGS]{g}"),
    "written_behind_python_tag": lambda a: _written(
        a, lambda n, g: f'<|python_tag|>{{"name": "{n}", "parameters": {g}}}'
    ),
    "written_as_text_of_json": lambda a: _list(a),
    "written_in_fence": lambda a: _list(a, "```json\n", "\n```"),
    "written_with_arguments_as_text": lambda a: _written(
        a, lambda n, g: f"<tool_call>{_object(n, json.dumps(g))}</tool_call>"
    ),
    "written_as_of_the_api": lambda a: _written(
        a, lambda n, g: f'<tool_call>{{"type": "function", "function": {_object(n, g)}}}</tool_call>'
    ),
}


CALL_QUIRKS: Final[Mapping[str, Quirk]] = {
    **WRITTEN_CALL_QUIRKS,
    "calls_named_with_a_prefix": lambda a: _each(
        a,
        lambda n, call: part(
            call, index=n, function={"name": f"functions.{call.name}:{n}", "arguments": call.arguments}
        ),
    ),
    "calls_in_pieces": _arguments_in_pieces,
    "calls_interleaved": _interleaved,
    "calls_all_at_index_0": lambda a: _each(a, lambda _, call: part(call, index=0)),
    "calls_from_index_1": lambda a: _each(a, lambda n, call: part(call, index=n + 1)),
    "calls_without_index": lambda a: _each(a, lambda _, call: part(call, index=None)),
    "calls_with_index_null": lambda a: _each(a, lambda _, call: {**part(call), "index": None}),
    "calls_with_index_as_text": lambda a: _each(a, lambda n, call: part(call, index=str(n))),
    "calls_together_without_index": lambda a: with_calls(a, [[part(c, index=None) for c in a.calls]]),
    "calls_together_unmarked": lambda a: with_calls(a, [[part(c, index=None, id=None) for c in a.calls]]),
    "calls_without_id": lambda a: _each(a, lambda n, call: part(call, index=n, id=None)),
    "calls_with_empty_id": lambda a: _each(a, lambda n, call: part(call, index=n, id="")),
    "calls_with_number_as_id": lambda a: _each(a, lambda n, call: part(call, index=n, id=n)),
    "calls_of_one_id": lambda a: _each(a, lambda n, call: part(call, index=n, id="call_0")),
    "calls_of_one_id_at_index_0": lambda a: _each(a, lambda _, call: part(call, index=0, id="call_0")),
    "calls_unmarked": lambda a: _each(a, lambda _, call: part(call, index=None, id=None)),
    "calls_name_and_id_on_each_piece": _name_and_id_on_each_piece,
    "calls_new_id_on_each_piece": _new_id_on_each_piece,
    "calls_rest_under_another_index": _rest_under_another_index,
    "calls_in_pieces_without_index": _pieces_without_index,
    "calls_said_anew_and_longer": _cumulative,
    "calls_name_in_pieces": _name_in_pieces,
    "calls_twice": lambda a: stream([*chunks_of(a)[:-2], *chunks_of(Answer(calls=a.calls))]),
    "arguments_as_object": lambda a: _with_arguments(a, json.loads),
    "arguments_in_list": lambda a: _with_arguments(a, lambda text: [json.loads(text)]),
    "arguments_as_list_of_texts": lambda a: _with_arguments(a, _pieces),
    "arguments_encoded_twice": lambda a: _with_arguments(a, json.dumps),
    "arguments_encoded_thrice": lambda a: _with_arguments(a, lambda text: json.dumps(json.dumps(text))),
    "calls_in_whole_message": lambda a: stream([whole(a)]),
    "calls_with_reason_stop": lambda a: stream(
        [*chunks_of(a)[:-2], *end_of(a, "stop")],
    ),
}


# How the content comes. All of them give the same text.


def _content(answer: Answer, change: Callable[[str], object]) -> Sent:
    return stream([chunk({"content": change(piece)}) for piece in _pieces(answer.text)] + end_of(answer))


CONTENT_QUIRKS: Final[Mapping[str, Quirk]] = {
    "content_in_parts": lambda a: _content(a, lambda text: [{"type": "text", "text": text}]),
    "content_as_one_part": lambda a: _content(a, lambda text: {"type": "text", "text": text}),
    "content_as_texts": lambda a: _content(a, lambda text: [text]),
    "content_after_thinking_part": lambda a: stream(
        [
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
            chunk({"content": [{"type": "text", "text": a.text}]}),
            *end_of(a),
        ]
    ),
    "content_after_thinking_tags": lambda a: _content(
        Answer(text=f"<think>\nLet me see.\n</think>\n\n{a.text}", usage=a.usage), lambda text: text
    ),
    "content_null_between": lambda a: stream(
        [chunk({"content": None}), *chunks_of(a)[1:-2], chunk({"content": None}), *end_of(a)]
    ),
    "content_with_all_so_far": lambda a: stream(
        [
            {**c, "choices": [{**c["choices"][0], "message": {"role": "assistant", "content": a.text}}]}  # type: ignore[index]  # made above
            if c["choices"]
            else c
            for c in chunks_of(a)
        ]
    ),
    "two_choices": lambda a: stream(
        [
            *chunks_of(a)[:-2],
            {**chunk(), "choices": [{"index": 1, "delta": {"content": "another"}, "finish_reason": None}]},
            *end_of(a),
        ]
    ),
}


# How the answer is sent. All of them give the same text and calls.


def _reason(answer: Answer, reason: object) -> Sent:
    chunks = chunks_of(answer)
    chunks[-2] = {**chunk(), "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    return stream(chunks)


def _without_reason(answer: Answer) -> list[Chunk]:
    return [c for n, c in enumerate(chunks_of(answer)) if n != len(chunks_of(answer)) - 2]


STREAM_QUIRKS: Final[Mapping[str, Quirk]] = {
    "reason_null": lambda a: _reason(a, None),
    "reason_empty": lambda a: _reason(a, ""),
    "reason_unknown": lambda a: _reason(a, "eos_token"),
    "reason_absent": lambda a: stream(_without_reason(a)),
    "reason_and_done_absent": lambda a: Sent(body=events(_without_reason(a), done=False)),
    "done_absent": lambda a: Sent(body=events(chunks_of(a), done=False)),
    "done_in_small": lambda a: Sent(body=events([*chunks_of(a), "[done]"], done=False)),
    "lines_end_in_cr_lf": lambda a: Sent(body=events(chunks_of(a), newline="\r\n")),
    "lines_end_in_cr": lambda a: Sent(body=events(chunks_of(a), newline="\r")),
    "mark_of_byte_order": lambda a: Sent(body=b"\xef\xbb\xbf" + events(chunks_of(a))),
    "comments_and_fields": lambda a: Sent(
        body=b": OPENROUTER PROCESSING\n\nretry: 3000\nid: 1\nevent: message\n\ndata:\n\n: ping\n\n"
        + events(chunks_of(a)).replace(b"\n\n", b"\nid: 7\nevent: chunk\n\n: keep-alive\n\n")
    ),
    "no_blank_after_colon": lambda a: Sent(body=events(chunks_of(a)).replace(b"data: ", b"data:")),
    "no_empty_lines": lambda a: Sent(body=events(chunks_of(a)).replace(b"\n\n", b"\n")),
    "data_on_many_lines": lambda a: Sent(
        body=b"".join(
            b"".join(b"data: " + line.encode() + b"\n" for line in json.dumps(c, indent=1).split("\n"))
            + b"\n"
            for c in chunks_of(a)
        )
        + b"data: [DONE]\n\n"
    ),
    "another_content_type": lambda a: Sent(body=events(chunks_of(a)), content_type="application/json"),
    "not_streamed": lambda a: Sent(body=json.dumps(whole(a)).encode(), content_type="application/json"),
    "not_streamed_and_indented": lambda a: Sent(
        body=json.dumps(whole(a), indent=2).encode() + b"\n", content_type="application/json"
    ),
    "not_streamed_under_stream_type": lambda a: Sent(body=json.dumps(whole(a)).encode()),
    "object_a_line": lambda a: Sent(
        body=b"".join(json.dumps(c).encode() + b"\n" for c in chunks_of(a)),
        content_type="application/x-ndjson",
    ),
    "chunks_without_choices": lambda a: stream(
        [
            {**chunk(), "choices": []},
            {"prompt_filter_results": []},
            *chunks_of(a),
            {"choices": [], "cost": "0"},
        ]
    ),
    "nothing_but_what_is_needed": lambda a: stream(
        [{"choices": [{"delta": c["choices"][0]["delta"]}]} for c in chunks_of(a)[:-1]]  # type: ignore[index]  # made above
    ),
    "choice_without_its_list": lambda a: stream(
        [{**c, "choices": c["choices"][0]} if c["choices"] else c for c in chunks_of(a)]  # type: ignore[index]  # made above
    ),
    "chunks_in_one_list": lambda a: Sent(
        body=json.dumps(chunks_of(a)).encode(), content_type="application/json"
    ),
    "told_that_all_is_well": lambda a: stream(
        [{**c, "base_resp": {"status_code": 0, "status_msg": "success"}, "error": None} for c in chunks_of(a)]
    ),
    "body_ends_with_connection": lambda a: Sent(body=events(chunks_of(a)), closes=True),
}

QUIRKS: Final[Mapping[str, Quirk]] = {**CALL_QUIRKS, **CONTENT_QUIRKS, **STREAM_QUIRKS}
"""Those after which the answer is the same as without."""
