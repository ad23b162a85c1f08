"""What clients ask of models in tests, and what models make of it."""

from dataclasses import replace
from random import Random

from schemas.events.client_calls import ClientCallReceived, ClientMessage
from schemas.events.models import ChatRole, ModelCallRequested, ToolCallProposed
from tests.processors.world import ModelOutcome, completed, failed

TOKEN = "00000000-0000-4000-8000-0000000000aa"


def asked(
    model: str = "gpt-4o-mini", *, prompt: int = 100, output: int | None = 200, token: str = TOKEN
) -> ClientCallReceived:
    return ClientCallReceived(
        token_id=token,
        route="chat.completions",
        model=model,
        messages=(ClientMessage(role=ChatRole.USER, text="hello"),),
        output_tokens_max=output,
        prompt_tokens=prompt,
        body_sha256="ab",
    )


def any_outcome(random: Random, call: ModelCallRequested) -> ModelOutcome:
    """Draw what becomes of a call."""
    kind = random.choice(("done", "done", "done", "tool", "billed", "free", "long"))
    match kind:
        case "done":
            used = completed(call, "x")
            return replace(
                used,
                input_tokens=random.randint(0, call.input_tokens_max),
                output_tokens=random.randint(0, call.output_tokens_max),
            )
        case "tool":
            return completed(call, "", ToolCallProposed(tool_call_id="1", name="read", arguments_json="{}"))
        case "billed":
            return failed(call, "interrupted", maybe_billed=True)
        case "free":
            return failed(call, "rate_limited")
        case _:
            counted = call.input_tokens_max + random.randint(-5, 50)
            return failed(call, "prompt_too_long", retryable=False, counted=counted)
