"""What a message would cost before it runs: what the configuration lets expect, set right by what turns used.

A turn is its own calls (planner, critic, synthesizer), and for each task the calls of its agent and what the
agent's tools used. Each has a prior by its texts and the number of tasks; the median of how much more or less
such calls used lately is put on it, where there are enough of them. The estimate says which, line by line.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from processors.memory.history import MESSAGE_TOKENS
from processors.prompts import PROMPT_TOKENS, agent_lines, expected_use, usual_tokens
from processors.routing import price
from schemas.configuration import ChatModel, Configuration
from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged
from schemas.events.models import CallPurpose, ModelCallRequested
from schemas.events.tools import ToolCallRequested
from schemas.frozen import replace

SAMPLES_MIN: Final = 3
"""With fewer, nothing is learnt."""
TOOL: Final = "tool"
"""As purpose of what a tool used by itself."""
PLAN_TASK_TOKENS_USUAL: Final = 60
"""What a planner writes for a task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A message whose cost is asked for."""

    text_tokens: int
    attached_tokens: int
    tasks: Sequence[str]
    """The agents of its tasks, as far as can be told before there is a plan."""
    is_planned: bool = True
    """False: the message names its agent, so that nobody plans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What calls of one kind used within a task, or for a turn itself."""

    session_id: str
    turn: int
    task_id: str
    purpose: str
    """That of a model call, or tool."""
    agent: str
    tool: str = ""
    """Of a tool's own use."""
    tokens: int
    nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A part of an estimate."""

    what: str
    """An agent, those of the session among them, or agent/tool."""
    times: int
    tokens: int
    nanodollars: int
    samples: int
    """Turns or tasks that it rests on; 0: the configuration alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a message would cost."""

    lines: tuple[Line, ...]

    @property
    def tokens(self) -> int:
        """Return all tokens."""
        return sum(line.tokens for line in self.lines)

    @property
    def nanodollars(self) -> int:
        """Return all money."""
        return sum(line.nanodollars for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Tokens and money."""

    tokens: int
    nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """How much more than expected was used: 1 is just as much."""

    tokens: float = 1.0
    money: float = 1.0
    samples: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a part of one turn used, as a share of what was expected of it."""

    session_id: str
    what: str
    """As an estimate's line is named."""
    tokens: float
    money: float


Learnt = Mapping[str, Factor]
"""By what an estimate's lines are named; what is not there was not seen often enough."""


def uses_of(events: Iterable[Envelope]) -> list[Use]:
    """Return what the calls of sessions used, of all their events in any order."""
    asked: dict[str, tuple[str, ModelCallRequested | ToolCallRequested]] = {}
    charged: list[BudgetCharged] = []
    for event in events:
        match event.body:
            case ModelCallRequested() | ToolCallRequested() as body:
                asked[body.call_id] = (event.session_id, body)
            case BudgetCharged() as body:
                charged.append(body)
            case _:
                pass
    return [_use(*asked[one.reservation_id], one) for one in charged if one.reservation_id in asked]


def learnt_from(
    uses: Iterable[Use], asked: Mapping[tuple[str, int], Asked], configuration: Configuration
) -> Learnt:
    """Return how much more or less was used than would have been expected.

    Args:
        uses: of turns that have ended.
        asked: by session and turn, the messages; what their tasks were is read off the uses.
        configuration: in force.
    """
    turns: dict[tuple[str, int], list[Use]] = defaultdict(list)
    for use in uses:
        turns[use.session_id, use.turn].append(use)
    return learnt_of(shares(asked, turns, configuration))


def shares(
    asked: Mapping[tuple[str, int], Asked],
    used: Mapping[tuple[str, int], Iterable[Use]],
    configuration: Configuration,
) -> list[Share]:
    """Return what turns used as a share of what would have been expected, part by part.

    Args:
        asked: by session and turn, the messages; what their tasks were is read off the uses.
        used: by session and turn; turns without a message are passed over.
        configuration: in force.
    """
    found = []
    for (session_id, turn), uses in used.items():
        if (session_id, turn) not in asked:
            continue
        agents = {use.task_id: use.agent for use in uses if use.purpose == CallPurpose.STEP}
        message = replace(asked[session_id, turn], tasks=tuple(agents.values()))
        spent: dict[str, list[Use]] = defaultdict(list)
        for use in uses:
            spent[_name(use)].append(use)
        for what, (times, amount) in expectation(message, configuration).items():
            if amount.tokens and amount.nanodollars:
                tokens = sum(use.tokens for use in spent[what]) / (times * amount.tokens)
                money = sum(use.nanodollars for use in spent[what]) / (times * amount.nanodollars)
                found.append(Share(session_id=session_id, what=what, tokens=tokens, money=money))
    return found


def learnt_of(seen: Iterable[Share]) -> Learnt:
    """Return the medians of what was seen often enough."""
    found: dict[str, list[Share]] = defaultdict(list)
    for one in seen:
        found[one.what].append(one)
    return {
        what: Factor(
            tokens=median(one.tokens for one in some),
            money=median(one.money for one in some),
            samples=len(some),
        )
        for what, some in found.items()
        if len(some) >= SAMPLES_MIN
    }


def estimate(asked: Asked, learnt: Learnt, configuration: Configuration) -> Estimate:
    """Return what a message would cost, part by part."""
    lines = []
    for what, (times, amount) in expectation(asked, configuration).items():
        factor = learnt.get(what, Factor())
        lines.append(
            Line(
                what=what,
                times=times,
                tokens=round(times * amount.tokens * factor.tokens),
                nanodollars=round(times * amount.nanodollars * factor.money),
                samples=factor.samples,
            )
        )
    return Estimate(lines=tuple(lines))


def expectation(asked: Asked, configuration: Configuration) -> dict[str, tuple[int, Amount]]:
    """Return what the configuration lets expect by itself: how often, and how much each time."""
    found = {
        _NAMES[purpose]: (1, _prior_of_turn(purpose, asked, configuration))
        for purpose in (_NAMES if asked.is_planned else (CallPurpose.SYNTHESIZE,))
    }
    for agent in sorted(set(asked.tasks) & configuration.agents.keys()):
        times = sum(one == agent for one in asked.tasks)
        for what, amount in _prior_of_task(agent, asked, configuration):
            found[what] = (times, amount)
    return found


_NAMES: Final = {
    CallPurpose.PLAN: "planner",
    CallPurpose.CRITIQUE: "critic",
    CallPurpose.SYNTHESIZE: "synthesizer",
}


def _use(session_id: str, body: ModelCallRequested | ToolCallRequested, charged: BudgetCharged) -> Use:
    return Use(
        session_id=session_id,
        turn=body.turn,
        task_id=body.task_id,
        purpose=TOOL if isinstance(body, ToolCallRequested) else body.purpose,
        agent=body.agent,
        tool=body.tool if isinstance(body, ToolCallRequested) else "",
        tokens=charged.tokens,
        nanodollars=charged.nanodollars,
    )


def _name(use: Use) -> str:
    """Return the line of an estimate that a use belongs to."""
    if use.purpose == TOOL:
        return f"{use.agent}/{use.tool}"
    return use.agent


def _prior_of_turn(purpose: CallPurpose, asked: Asked, configuration: Configuration) -> Amount:
    """Return what a turn's own call uses if a plan and answers are as long as they usually are."""
    limits, agents = configuration.limits, configuration.agents
    answers = sum(agents[name].output_tokens_max // 4 for name in asked.tasks if name in agents)
    plan = min(limits.plan_output_tokens_max, PLAN_TASK_TOKENS_USUAL * max(1, len(asked.tasks)))
    match purpose:
        case CallPurpose.PLAN:
            tier, written = limits.plan_tier, plan
            read = usual_tokens(configuration.prompts["planner"]) + usual_tokens(agent_lines(agents.values()))
        case CallPurpose.CRITIQUE:
            tier, written = limits.critique_tier, limits.critique_output_tokens_max // 4
            read = usual_tokens(configuration.prompts["critic"]) + plan
        case _:
            most = limits.synthesis_output_tokens_max
            tier, written = limits.synthesis_tier, min(most, max(most // 4, answers))
            read = usual_tokens(configuration.prompts["synthesizer"]) + answers
    read += PROMPT_TOKENS + 3 * MESSAGE_TOKENS + asked.text_tokens
    return Amount(tokens=read + written, nanodollars=price(_model(configuration, tier), read, written))


def _prior_of_task(agent: str, asked: Asked, configuration: Configuration) -> Iterator[tuple[str, Amount]]:
    known = configuration.agents[agent]
    use = expected_use(
        known,
        configuration,
        intent="",
        given_tokens=asked.text_tokens,
        attached_tokens=asked.attached_tokens,
    )
    money = price(_model(configuration, known.tier), use.input_tokens, use.output_tokens)
    yield agent, Amount(tokens=use.input_tokens + use.output_tokens, nanodollars=money)
    if use.tool is not None and use.tool_tokens:
        money = use.tool_tokens * use.tool.nanodollars_per_token
        yield f"{agent}/{use.tool.name}", Amount(tokens=use.tool_tokens, nanodollars=money)


def _model(configuration: Configuration, tier: str) -> ChatModel:
    chat = configuration.models.chat
    return next((model for model in chat if model.tier == tier), chat[0])
