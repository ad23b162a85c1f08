"""An estimate of a message before it runs: a plan by plain rules, and what such tasks used."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from connectors.local_model.answers import reply_to
from connectors.local_model.wire import ChatCall
from processors.foretelling import Asked, Estimate, Learnt, Use, estimate, learnt_from, learnt_of, shares
from processors.prompts import agent_lines, usual_tokens
from schemas.configuration import Agent, Configuration
from schemas.envelope import Versions
from schemas.frozen import replace
from schemas.ports.chat import ChatMessage
from sinks.system import PartInForce
from sinks.uses import Said
from streams.configuration.published import configuration_from

_MODEL = "local"


def planned(
    planner: str, agents: Mapping[str, Agent], request: str, attachments: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """Return the tasks that the local model makes of a request, which costs nothing: intent and agent.

    Args:
        planner: the planner's prompt.
        agents: those that there are.
        request: as a user writes it.
        attachments: names.
    """
    attached = "".join(
        f"Attachment: {name} (1 tokens); tools read it as attachment:{name}\n" for name in attachments
    )
    asked = f"Agents:\n{agent_lines(agents.values())}\n\n{attached}{attached and chr(10)}Request:\n{request}"
    messages = (ChatMessage(role="system", text=planner), ChatMessage(role="user", text=asked))
    reply = reply_to(ChatCall(model=_MODEL, messages=messages, json_mode=True))
    return [(str(task["intent"]), str(task["agent"])) for task in json.loads(reply.text)["tasks"]]


def in_force(parts: Iterable[PartInForce]) -> Configuration | None:
    """Return the configuration that workers published last; None: some part of it is not there yet."""
    content = {part.kind: part.read() for part in parts}
    if not {"agents", "limits", "models", "policy", "prompts", "tools"} <= content.keys():
        return None
    return configuration_from(content, Versions())


def foretold(said: Said, learnt: Learnt, configuration: Configuration) -> Estimate:
    """Return what a message would cost."""
    asked = _asked(said, configuration)
    if asked.is_planned:
        planner = configuration.prompts["planner"]
        tasks = planned(planner, configuration.agents, said.text, said.attachments)
        asked = replace(asked, tasks=tuple(agent for _, agent in tasks))
    return estimate(asked, learnt, configuration)


def learnt(turns: Iterable[Said], uses: Iterable[Use], configuration: Configuration) -> Learnt:
    """Return what is learnt from turns that have ended."""
    asked = {(said.session_id, said.turn): _asked(said, configuration) for said in turns}
    return learnt_from(uses, asked, configuration)


def beside(
    turns: Sequence[Said], uses: Iterable[Use], configuration: Configuration
) -> list[tuple[Estimate, list[Use]]]:
    """Return what each turn used beside an estimate of it, which is learnt from the other sessions.

    Args:
        turns: messages whose turns have ended.
        uses: of all of them.
        configuration: in force.
    """
    used: dict[tuple[str, int], list[Use]] = defaultdict(list)
    for use in uses:
        used[use.session_id, use.turn].append(use)
    asked = {(said.session_id, said.turn): _asked(said, configuration) for said in turns}
    seen = shares(asked, used, configuration)
    compared = []
    for said in turns:
        if (said.session_id, said.turn) in used:
            elsewhere = learnt_of(one for one in seen if one.session_id != said.session_id)
            told = foretold(said, elsewhere, configuration)
            compared.append((told, used[said.session_id, said.turn]))
    return compared


def errors(
    compared: Iterable[tuple[Estimate, Iterable[Use]]],
    of: Callable[[Use | Estimate], int] = lambda one: one.tokens,
) -> list[float]:
    """Return how far estimates were off what turns used, as a share of that.

    Args:
        compared: see `beside`.
        of: what is compared, tokens or money.
    """
    found = [(of(told), sum(map(of, uses))) for told, uses in compared]
    return [abs(told - actual) / actual for told, actual in found if actual > 0]


def _asked(said: Said, configuration: Configuration) -> Asked:
    is_planned = said.agent is None or said.agent not in configuration.agents
    return Asked(
        text_tokens=said.tokens or usual_tokens(said.text),
        attached_tokens=said.attached_tokens,
        tasks=() if is_planned else (str(said.agent),),
        is_planned=is_planned,
    )
