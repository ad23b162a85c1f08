"""From a checked request to a whole answer: the role decides who answers, the limit how much of it."""

import json
from collections.abc import Mapping
from dataclasses import replace

from connectors.local_model import agent, analysis, critic, filling, planner, prompts, quoting, summaries
from connectors.local_model.wire import ChatCall, Completion, Reply
from connectors.models.tokens import TokenCounter
from schemas.events.models import ToolCallProposed


def reply_to(call: ChatCall, counter: TokenCounter | None = None) -> Reply:
    """Return what the rules answer; a pure function of the request.

    Args:
        counter: lets a plan be made that fits the request's limit.
    """
    role = prompts.role_of(call.messages)
    if role == "planner":
        return Reply(text=planner.plan(call.messages, lambda text: _fits(text, call, counter)))
    if role == "critic":
        return Reply(text=critic.critique(call.messages))
    if role == "summarizer":
        return Reply(text=summaries.summary(call.messages, lambda text: _fits(text, call, counter)))
    if role == "synthesizer":
        text = quoting.synthesis(prompts.synthesis_prompt(call.messages))
    elif role.startswith("analysis "):
        text = analysis.analyse(role.removeprefix("analysis "), call.messages)
    elif role.startswith("agent ") or call.tools:
        reply = agent.step(role.removeprefix("agent "), call.messages, call.tools, call.tool_choice)
        if reply.tool_calls:
            return reply
        text = reply.text
        if (model := _output_model(call)) is not None:
            return Reply(text=_fitting(model, text, call, counter))
    else:
        last = next((m.text for m in reversed(call.messages) if m.role == "user"), call.messages[-1].text)
        text = quoting.plain_answer(last)
    return Reply(text=json.dumps({"answer": text}, ensure_ascii=False) if call.json_mode else text)


def complete(
    call: ChatCall, reply: Reply, counter: TokenCounter, completion_id: str, finish_reason: str | None = None
) -> Completion:
    """Cut `reply` to the request's limit and count it.

    Args:
        finish_reason: instead of the one that follows from the reply.
    """
    tokens = counter.count_answer(reply.text, reply.tool_calls, call.model)
    reason = "tool_calls" if reply.tool_calls else "stop"
    if call.tokens_max is not None and tokens > call.tokens_max:
        reply, reason = _cut(reply, call.tokens_max, counter, call.model), "length"
        tokens = call.tokens_max
    return Completion(
        id=completion_id,
        model=call.model,
        reply=reply,
        finish_reason=finish_reason or reason,
        prompt_tokens=counter.count_prompt(call.messages, call.tools, call.model),
        completion_tokens=tokens,
    )


def _output_model(call: ChatCall) -> Mapping[str, object] | None:
    found = (filling.output_model(one.text) for one in call.messages if one.role in ("system", "developer"))
    return next((model for model in found if model is not None), None)


def _fitting(model: Mapping[str, object], text: str, call: ChatCall, counter: TokenCounter | None) -> str:
    """Fill the form with as much of a text as fits the limit: half a JSON object is worth nothing."""
    filled = filling.filled(model, text)
    while len(text) > 1 and not _fits(filled, call, counter):
        text = text[: len(text) // 2]
        filled = filling.filled(model, text)
    return filled


def _fits(text: str, call: ChatCall, counter: TokenCounter | None) -> bool:
    return counter is None or call.tokens_max is None or counter.count(text, call.model) <= call.tokens_max


def _cut(reply: Reply, tokens_max: int, counter: TokenCounter, model: str) -> Reply:
    text, used = counter.truncate(reply.text, tokens_max, model)
    kept: list[ToolCallProposed] = []
    for call in reply.tool_calls:
        left = tokens_max - used - counter.count_answer("", [replace(call, arguments_json="")], model)
        if left < 1:
            break
        arguments, _ = counter.truncate(call.arguments_json, left, model)
        kept.append(replace(call, arguments_json=arguments))
        used += counter.count_answer("", kept[-1:], model)
    return Reply(text=text, tool_calls=tuple(kept))


def request_text(call: ChatCall) -> str:
    """Return all messages of a request as one text, for conditions of faults."""
    return "\n".join(message.text for message in call.messages)
