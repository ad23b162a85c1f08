"""Models and tools outside: what a call gets depends on the seed and the call, not on who asks when."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random

from processors.effects import Outcome, result_of
from processors.restraints import Stop, reason_of
from schemas.envelope import Envelope
from schemas.events.models import (
    CallPurpose,
    FinishReason,
    ModelCallCancelled,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallRequested,
    ToolCallProposed,
    UsageSource,
)
from schemas.events.tools import (
    ToolCallCancelled,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallRequested,
    ToolFailureKind,
)
from streams.effects.executor import Cancellation
from tests.processors.world import MODELS, completed, failed, plan_text, task, tool_completed, tool_failed

Request = ModelCallRequested | ToolCallRequested
Result = ModelCallCompleted | ModelCallFailed | ToolCallCompleted | ToolCallFailed
TOOLS = ("look", "look", "buy", "analyze", "guarded", "nonsense")


@dataclass(slots=True, kw_only=True)
class Provider:
    """Answers, and keeps books of its own: what ran how often, and what it bills."""

    seed: int
    moody: float
    """Share of calls that do not go well, 0 to 1."""
    plan: str = ""
    """What every planner answers; empty: drawn."""
    runs: Counter[str] = field(default_factory=Counter)
    requests: dict[str, Request] = field(default_factory=dict)
    begun_though_stopped: list[str] = field(default_factory=list)
    billed_tokens: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def begin(self, request: Request) -> Result | None:
        """Take a call and bill it; None: it never answers."""
        random = Random(f"{self.seed} {request.call_id}")
        self.runs[request.call_id] += 1
        self.requests[request.call_id] = request
        if isinstance(request, ToolCallRequested):
            outcome: Result | None = self._tool(request, random)
        else:
            outcome = self._model(request, random)
        self.billed_tokens[request.call_id] += _bill(request, outcome)
        return outcome

    def _model(self, call: ModelCallRequested, random: Random) -> Result | None:
        if random.random() < self.moody:
            match random.choice(("fail", "bill", "refuse", "blank", "long", "hang", "bug")):
                case "fail":
                    return failed(call, "rate_limited")
                case "bill":
                    return failed(call, "timeout", maybe_billed=True)
                case "refuse":
                    return failed(call, "refused", retryable=False)
                case "long":
                    return failed(
                        call, "prompt_too_long", retryable=False, counted=call.input_tokens_max + 50
                    )
                case "hang":
                    return None
                case "bug":
                    raise ValueError("the executor has a bug")
                case _:
                    return completed(call, " ")
        match call.purpose:
            case "plan":
                return completed(call, self.plan or _plan(random))
            case "critique":
                score = random.choice(("0.9", "0.9", "0.4"))
                return completed(call, f'{{"score": {score}, "remarks": "more."}}')
            case "client" if random.random() < 0.3:
                return completed(call, "", _proposal(call, "look", 0), _proposal(call, "buy", 1))
            case "step" if random.random() < 0.7:
                names = random.sample(TOOLS, random.randint(1, 2))
                return completed(
                    call, "", *[_proposal(call, name, index) for index, name in enumerate(names)]
                )
            case _:
                return completed(call, f"text of {call.task_id}")

    def _tool(self, call: ToolCallRequested, random: Random) -> Result | None:
        if random.random() < self.moody:
            match random.choice(("fail", "unknown", "hang")):
                case "fail":
                    return tool_failed(call, "execution_error")
                case "unknown":
                    return tool_failed(call, "unknown", maybe_effected=not call.idempotent)
                case _:
                    return None
        return tool_completed(call)


class ProviderExecutor:
    """Runs calls at the provider; stands where the model's and the tools' executors stand."""

    def __init__(
        self,
        provider: Provider,
        *,
        wait: Callable[[], Awaitable[None]],
        now_ms: Callable[[], int],
        stop_of: Callable[[str], Stop | None] = lambda _tool: None,
    ) -> None:
        """Take the provider, what lets time pass during a call, the clock, and which tools are stopped."""
        self._provider = provider
        self._wait = wait
        self._now_ms = now_ms
        self._stop_of = stop_of

    def call_id(self, event: Envelope) -> str | None:
        """Return the id of a requested call."""
        body = event.body
        return body.call_id if isinstance(body, ModelCallRequested | ToolCallRequested) else None

    def cancellation(self, event: Envelope) -> Cancellation | None:
        """Return what an event cancels."""
        body = event.body
        if isinstance(body, ModelCallCancelled | ToolCallCancelled):
            return Cancellation(call_id=body.call_id, reason=body.reason)
        return None

    def name(self, event: Envelope) -> str:
        """Return one name for all."""
        return "simulated"

    def reserved_tokens(self, event: Envelope) -> int:
        """Return what was reserved."""
        return _request(event).reserved_tokens

    def duration_ms_max(self, event: Envelope) -> int:
        """Return the longest duration."""
        return _request(event).timeout_ms + 1_000

    def refusal(self, event: Envelope) -> str | None:
        """Return why the call must not run; None: nobody has stopped its tool."""
        request = _request(event)
        held = self._stop_of(request.tool) if isinstance(request, ToolCallRequested) else None
        return None if held is None else reason_of(held)

    async def run(self, event: Envelope, attempt: int) -> Outcome:
        """Ask the provider; a crash or a cancellation may come before and after its answer."""
        await self._wait()
        if self.refusal(event) is not None:
            self._provider.begun_though_stopped.append(_request(event).call_id)
        outcome = self._provider.begin(_request(event))
        if outcome is None:
            await asyncio.get_running_loop().create_future()
        await self._wait()
        assert outcome is not None
        return self._outcome(event, outcome)

    def interrupted(self, event: Envelope, latency_ms: int) -> Outcome | None:
        """Return the outcome of a call whose process died, by the rules of the real executors."""
        request = _request(event)
        if isinstance(request, ModelCallRequested):
            return self._outcome(event, failed(request, "interrupted", maybe_billed=True))
        if request.idempotent and request.reserved_tokens == 0:
            return None
        return self._tool_failed(event, request, "unknown")

    async def reconciled(self, event: Envelope, outcome: Outcome) -> Outcome:
        """Return the outcome: this provider tells of no earlier call."""
        return outcome

    def cancelled(self, event: Envelope, reason: str, *, dispatched: bool, latency_ms: int) -> Outcome:
        """Return the outcome of a cancelled call."""
        request = _request(event)
        if isinstance(request, ModelCallRequested):
            return self._outcome(
                event, failed(request, "cancelled", retryable=False, maybe_billed=dispatched)
            )
        return self._tool_failed(event, request, "cancelled", dispatched=dispatched)

    def stopped(self, event: Envelope, reason: str, *, dispatched: bool, latency_ms: int) -> Outcome:
        """Return the outcome of a call that a stop kept from running, or ended."""
        request = _request(event)
        if isinstance(request, ModelCallRequested):
            return self.cancelled(event, reason, dispatched=dispatched, latency_ms=latency_ms)
        kind = "unknown" if dispatched and not request.idempotent else "cancelled"
        return self._tool_failed(event, request, kind, dispatched=dispatched)

    def broken(self, event: Envelope, message: str, latency_ms: int) -> Outcome:
        """Return the outcome of a call that ended in a way that nobody foresaw."""
        request = _request(event)
        if isinstance(request, ModelCallRequested):
            return self._outcome(event, failed(request, "provider_error", retryable=False, maybe_billed=True))
        return self._tool_failed(event, request, "execution_error")

    def _tool_failed(
        self, event: Envelope, call: ToolCallRequested, kind: str, *, dispatched: bool = True
    ) -> Outcome:
        body = ToolCallFailed(
            call_id=call.call_id,
            task_id=call.task_id,
            tool_call_id=call.tool_call_id,
            agent=call.agent,
            tool=call.tool,
            tool_version=call.tool_version,
            kind=ToolFailureKind(kind),
            message=f"it was {kind}",
            retryable=False,
            maybe_effected=dispatched and not call.idempotent,
            maybe_billed=dispatched and call.reserved_tokens > 0,
            attempts=1,
            latency_ms=3,
        )
        return self._outcome(event, body)

    def _outcome(self, event: Envelope, body: Result) -> Outcome:
        result = result_of(event, body, body.call_id, "effect", self._now_ms())
        return Outcome(events=(result,), label="done")


def _request(event: Envelope) -> Request:
    assert isinstance(event.body, ModelCallRequested | ToolCallRequested)
    return event.body


def _bill(request: Request, outcome: Result | None) -> int:
    match outcome:
        case None:
            return request.reserved_tokens
        case ModelCallCompleted() | ModelCallFailed():
            known = outcome.input_tokens + outcome.output_tokens
        case ToolCallCompleted() | ToolCallFailed():
            known = outcome.used_tokens
    if isinstance(outcome, ModelCallFailed | ToolCallFailed) and outcome.maybe_billed:
        return request.reserved_tokens
    return known


def _plan(random: Random) -> str:
    if random.random() < 0.05:
        return "no plan at all"
    tasks = []
    for number in range(random.randint(1, 4)):
        earlier = [f"t{other}" for other in range(number)]
        needs = random.sample(earlier, random.randint(0, min(2, number)))
        tasks.append(
            task(
                f"t{number}",
                needs=needs,
                agent=random.choice(("worker", "writer", "finder")),
                priority=random.randint(1, 10),
            )
        )
    return plan_text(*tasks)


def _proposal(call: ModelCallRequested, name: str, index: int) -> ToolCallProposed:
    return ToolCallProposed(tool_call_id=f"{call.call_id}-{index}", name=name, arguments_json="{}")


def forged_outcome(random: Random, call: object) -> Result:
    """Return what somebody may tell of a call who never made it."""
    used = random.choice((0, 0, -1_000, 7, 10**12))
    assert isinstance(call, ModelCallRequested | ToolCallRequested)
    if random.random() < 0.2:
        told: Result = _of_the_other_kind(call)
    elif isinstance(call, ModelCallRequested):
        plan = completed(call, plan_text(task("forged")))
        told = replace(plan, input_tokens=used, cost_nanodollars=used)
    else:
        told = replace(tool_completed(call), used_tokens=used, cost_nanodollars=used)
    if random.random() < 0.3:
        told = replace(told, task_id="t99")
    return told


def _of_the_other_kind(call: Request) -> Result:
    """Tell of a model's call what a tool would tell, or the other way about."""
    if isinstance(call, ToolCallRequested):
        return ModelCallCompleted(
            call_id=call.call_id,
            task_id=call.task_id,
            purpose=CallPurpose.STEP,
            agent=call.agent,
            model=MODELS.chat[0].name,
            text="done",
            tool_calls=(),
            finish_reason=FinishReason.STOP,
            input_tokens=0,
            output_tokens=0,
            usage_source=UsageSource.PROVIDER,
            cost_nanodollars=0,
            attempts=1,
            latency_ms=1,
        )
    return ToolCallCompleted(
        call_id=call.call_id,
        task_id=call.task_id,
        tool_call_id="forged",
        agent=call.agent,
        tool="look",
        tool_version="1",
        result_json="{}",
        result_tokens=1,
        used_tokens=0,
        cost_nanodollars=0,
        attempts=1,
        latency_ms=1,
    )
