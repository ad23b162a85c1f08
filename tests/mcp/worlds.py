"""What the tests of foreign tools share: a server that misbehaves, and all that leads to it."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from connectors.mcp.acceptance import AcceptedServer
from connectors.mcp.definitions import read_listing
from connectors.mcp.server import Program, Server, ToolTerms
from connectors.mcp.servers import Servers
from connectors.mcp.ways import Ways
from connectors.sandbox.programs import ProgramSandbox
from connectors.sandbox.tier import TierDemand
from connectors.tools.registry import ToolRegistry
from schemas.ports.tool import ToolContext

MISBEHAVING = Path(__file__).with_name("misbehaving.py")
OBJECT: Mapping[str, Any] = {"type": "object"}
SUM: Mapping[str, Any] = {
    "type": "object",
    "properties": {"sum": {"type": "integer"}},
    "required": ["sum"],
    "additionalProperties": False,
}


def tool(name: str, **more: object) -> dict[str, Any]:
    """Return a tool as a server lists it."""
    return {"name": name, "description": f"does {name}", "inputSchema": dict(OBJECT), **more}


class World:
    """One misbehaving server, what was accepted of it, and the registry that calls its tools."""

    def __init__(
        self,
        folder: Path,
        *tools: Mapping[str, Any],
        demand: TierDemand = TierDemand.AUTO,
        state: Path | None = None,
        program_sha256: str | None = None,
        **server: Any,
    ) -> None:
        """Tell the server its tools; nothing starts yet."""
        self.control = folder / "control.json"
        self.effects_path = folder / "effects.jsonl"
        self.tell(tools)
        self.server = replace(
            Server(
                name="odd",
                way=Program(
                    command=(sys.executable, "-I", str(MISBEHAVING), str(self.control)), confined=False
                ),
                terms=ToolTerms(timeout_ms=10_000),
            ),
            **server,
        )
        self.accepted = replace(accepted(self.server.name, tools), program_sha256=program_sha256)
        sandbox = ProgramSandbox(state or folder / "state", demand)
        ways = Ways(lambda reference: f"secret of {reference}", sandbox)
        self.servers = Servers({self.server.name: self.server}, {self.server.name: self.accepted}, ways.open)
        self.registry = ToolRegistry(self.servers.tools())

    def tell(self, tools: Sequence[Mapping[str, Any]], **more: object) -> None:
        """Tell the server what to say from now on."""
        told = {"tools": tools, "effects": str(self.effects_path), **more}
        beside = self.control.with_suffix(".new")
        beside.write_text(json.dumps(told), encoding="utf-8")
        beside.replace(self.control)

    def effects(self) -> list[dict[str, Any]]:
        """Return the calls with an effect, as the server noted them."""
        if not self.effects_path.exists():
            return []
        return [json.loads(line) for line in self.effects_path.read_text(encoding="utf-8").splitlines()]

    async def call(
        self, name: str, arguments: Mapping[str, Any] | None = None, **told: Any
    ) -> Mapping[str, Any]:
        """Call a tool as the tool shell does."""
        full = f"{self.server.name}__{name}"
        result = await self.registry.invoke(
            full, json.dumps(arguments or {}), context(**told), self.registry.specs[full].timeout_ms
        )
        return result.result


def accepted(server: str, tools: Sequence[Mapping[str, Any]]) -> AcceptedServer:
    """Return an acceptance of all of these tools that can be used."""
    return AcceptedServer(definitions=read_listing(server, tools).definitions, declined={})


def context(**told: Any) -> ToolContext:
    """Return what a tool is told of its call."""
    known = {
        "session_id": "s",
        "tenant_id": "default",
        "user_id": "u",
        "call_id": "c",
        "idempotency_key": "key-1",
        "tokens_max": 0,
        "nanodollars_max": 0,
    }
    return ToolContext(**{**known, **told})
