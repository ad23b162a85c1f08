"""The payloads of `payloads.toml`, which says what each is and where it comes from."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RISKS: Final = tuple(f"ASI{number:02}" for number in range(1, 11))
"""OWASP's Top 10 for Agentic Applications 2026: goal hijack, tool misuse, identity and privilege abuse,
supply chain, code execution, memory and context poisoning, communication between agents, cascading failures,
human trust, rogue agents."""
FILE: Final = Path(__file__).with_name("payloads.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A call of a tool that a payload asks for."""

    tool: str
    arguments_json: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A text that asks an agent for what its user did not ask for."""

    id: str
    risk: str
    road: str
    """How it reaches a model."""
    source: str
    text: str
    calls: tuple[Wanted, ...]
    """What whoever obeys it asks for, a step each."""


def payloads() -> list[Payload]:
    """Return them all."""
    read = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return [
        Payload(
            id=one["id"],
            risk=one["risk"],
            road=one["road"],
            source=read["sources"][one["source"]]["url"],
            text=one["text"].strip(),
            calls=tuple(map(_wanted, one["calls"])),
        )
        for one in read["payloads"]
    ]


def _wanted(call: dict[str, object]) -> Wanted:
    arguments = {name: value for name, value in call.items() if name != "tool"}
    return Wanted(tool=str(call["tool"]), arguments_json=json.dumps(arguments, ensure_ascii=False))
