"""Sessions' whole lives as Hypothesis draws them: moods of models and tools, budgets, and what users do."""

from collections.abc import Callable

from hypothesis import strategies as st

from schemas.events.inputs import ApprovalReceived, SessionCancelled, SessionClosed
from schemas.events.models import ModelCallRequested
from schemas.events.outputs import ApprovalRequested
from schemas.events.tools import ToolCallRequested
from tests.approving import edit
from tests.processors.world import (
    ModelOutcome,
    ToolOutcome,
    World,
    completed,
    failed,
    obliging,
    plan_text,
    small,
    task,
    tool_completed,
    tool_failed,
)

TOOLS = ("look", "buy", "analyze", "guarded", "nonsense")


@st.composite
def plans(draw: st.DrawFn) -> str:
    """Draw a sound plan: each task may need any of those before it."""
    count = draw(st.integers(1, 6))
    tasks = []
    for number in range(count):
        earlier = [f"t{other}" for other in range(number)]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=2)) if earlier else []
        tasks.append(
            task(
                f"t{number}",
                needs=needs,
                agent=draw(st.sampled_from(["worker", "writer", "finder"])),
                priority=draw(st.integers(1, 10)),
            )
        )
    return plan_text(*tasks)


def moody_model(draw: st.DrawFn, plan: str) -> Callable[[ModelCallRequested], ModelOutcome]:
    """Draw a model that answers, asks for tools, fails or talks nonsense."""
    kind = obliging(plan, tools=draw(st.lists(st.sampled_from(TOOLS), max_size=3)))
    moods = draw(
        st.lists(st.sampled_from(["well"] * 6 + ["fail", "bill", "refuse", "blank", "long"]), min_size=20)
    )
    turn = iter(moods * 200)

    def answer(call: ModelCallRequested) -> ModelOutcome:
        match next(turn):
            case "fail":
                return failed(call, "rate_limited")
            case "bill":
                return failed(call, "timeout", maybe_billed=True)
            case "refuse":
                return failed(call, "refused", retryable=False)
            case "blank":
                return completed(call, " ")
            case "long":
                return failed(call, "prompt_too_long", retryable=False, counted=call.input_tokens_max + 50)
            case _:
                return kind(call)

    return answer


def moody_tool(draw: st.DrawFn) -> Callable[[ToolCallRequested], ToolOutcome]:
    """Draw a tool that works, fails, or leaves its effect unknown."""
    moods = iter(draw(st.lists(st.sampled_from(["well", "well", "fail", "unknown"]), min_size=10)) * 200)

    def run(call: ToolCallRequested) -> ToolOutcome:
        match next(moods):
            case "fail":
                return tool_failed(call, "execution_error")
            case "unknown":
                return tool_failed(call, "unknown", maybe_effected=not call.idempotent)
            case _:
                return tool_completed(call)

    return run


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a session's whole life, run to its rest."""
    limits = small(
        running_max=draw(st.integers(1, 4)),
        attempts_max=draw(st.integers(1, 3)),
        steps_max=draw(st.integers(1, 4)),
        failure_policy=draw(st.sampled_from(["prune", "fail"])),
        turn_deadline_ms=draw(st.sampled_from([2_000, 900_000])),
        queue_max=2,
    )
    world = World(
        moody_model(draw, draw(plans())),
        tool=moody_tool(draw),
        seed=draw(st.integers(0, 2**16)),
        limits=limits,
    )
    budget_tokens = draw(st.sampled_from([None, 10, 600, 2_000, 6_000, 50_000]))
    budget_nanodollars = draw(st.sampled_from([None, 1_000, 500_000, 5_000_000]))
    world.say(budget_tokens=budget_tokens, budget_nanodollars=budget_nanodollars)
    for act in draw(
        st.lists(st.sampled_from(["step", "step", "say", "approve", "cancel", "close"]), max_size=12)
    ):
        _act(world, act)
    return world.run()


def _act(world: World, act: str) -> None:
    match act:
        case "say":
            world.say()
        case "cancel":
            world.post(SessionCancelled())
        case "close":
            world.post(SessionClosed())
        case "approve":
            asked = world.facts(ApprovalRequested)
            # The latest, which may wait no longer; or one that nobody asked for.
            approved = len(world.inputs) % 3 > 0
            if not asked:
                world.post(ApprovalReceived(approval_id="nobody's", approved=approved))
            elif len(world.inputs) % 4 == 0:
                world.post(edit(asked[-1], '{"n": 1}'), sender=("*", "olga"))
            else:
                world.decide(asked[-1], approved=approved)
        case _:
            if world.open_calls:
                world.reply(world.open_calls.pop(0))
