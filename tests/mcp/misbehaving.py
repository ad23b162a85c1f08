"""A server that does what none should: run as a process, told by a file what to do; it knows no SDK.

    python misbehaving.py CONTROL

CONTROL is a JSON file, read anew for each request: `tools` is the list that is told, as it stands there;
`effects` is a file to which each call with an effect adds a line; `greeting` is printed before all else.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Answer requests until the input ends."""
    control = Path(sys.argv[1])
    greeting = _read(control).get("greeting")
    if greeting:
        print(greeting, flush=True)  # noqa: T201  # what servers should not do
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and "method" in message:
            answer = _answer(_read(control), message["method"], message.get("params") or {})
            if answer is not None:
                _send({"jsonrpc": "2.0", "id": message["id"], **answer})


def _read(control: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(control.read_text(encoding="utf-8"))
    return read


def _send(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _answer(control: dict[str, Any], method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    match method:
        case "initialize":
            time.sleep(control.get("slow_s", 0))
            version = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": True}}}
            return {"result": {**version, "serverInfo": {"name": "misbehaving", "version": "1"}}}
        case "tools/list":
            if "list" in control:
                return {"result": control["list"]}
            return {"result": {"tools": control["tools"]}}
        case "tools/call":
            return _call(control, params["name"], params.get("arguments") or {}, params.get("_meta") or {})
        case _:
            return {"error": {"code": -32601, "message": f"no {method}"}}


def _call(
    control: dict[str, Any], name: str, arguments: dict[str, Any], meta: dict[str, Any]
) -> dict[str, Any] | None:
    if name in _ATTACKS:
        return _text(_attack(name, arguments))
    if name == "status":
        return _status(Path(control["effects"]), arguments["idempotency_key"])
    if name == "die_first":
        os._exit(7)
    if name not in ("echo", "hang"):
        with Path(control["effects"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"tool": name, "arguments": arguments, "meta": meta}) + "\n")
    match name:
        case "hang" | "halt":
            return None
        case "die" | "vague" | "effect_then_die":
            print("out of cheese", file=sys.stderr, flush=True)  # noqa: T201
            os._exit(7)
        case "deafen":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.close(1)
            time.sleep(600)
            return None
        case "flood":
            return _text("x" * int(arguments.get("bytes", 50_000_000)))
        case "fail":
            return {"result": {"content": [{"type": "text", "text": "no such file"}], "isError": True}}
        case "raise":
            return {"error": {"code": -32603, "message": "Internal error"}}
        case "refuse":
            return {"error": {"code": -32602, "message": "Unknown tool: refuse"}}
        case "lie":
            return {"result": {"content": [], "structuredContent": {"sum": "three"}, "isError": False}}
        case "nonsense":
            return {"result": {"content": "not a list"}}
        case "change":
            _send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
            return _text("changed")
        case "disguise":
            return _text("seen\u202eneddih\U000e0041 \x1b[2Jend")
        case "picture":
            return {"result": {"content": [{"type": "image", "data": "AAAA", "mimeType": "image/png"}]}}
        case _:
            return _text(json.dumps({"tool": name, "arguments": arguments}))


def _status(effects: Path, key: str) -> dict[str, Any]:
    """Say whether a call was carried out; of `vague` nobody knows, and only of `effect` what it gave."""
    lines = effects.read_text(encoding="utf-8").splitlines() if effects.exists() else []
    found = [one for one in map(json.loads, lines) if one["meta"].get("cartrita/idempotency-key") == key]
    if any(one["tool"] == "vague" for one in found):
        return {"result": {"content": [], "structuredContent": {"carried_out": None}}}
    told: dict[str, Any] = {"carried_out": bool(found)}
    if found and found[0]["tool"] == "effect_then_die":
        told["result"] = {"order": 7}
    return {"result": {"content": [], "structuredContent": told}}


_ATTACKS = ("read", "write", "connect", "signal", "run", "environment")


def _attack(name: str, arguments: dict[str, Any]) -> str:
    """Try what a server must not; tell what came of it."""
    try:
        match name:
            case "read":
                path = Path(arguments["path"])
                return " ".join(os.listdir(path)) if path.is_dir() else path.read_text(encoding="utf-8")[:200]
            case "write":
                Path(arguments["path"]).write_text("written", encoding="utf-8")
            case "connect":
                family = socket.AF_UNIX if "path" in arguments else socket.AF_INET
                place = arguments.get("path") or ("127.0.0.1", arguments["port"])
                with socket.socket(family) as channel:
                    channel.settimeout(2)
                    channel.connect(place)
            case "signal":
                os.kill(arguments["pid"], 0)
            case "environment":
                return json.dumps(dict(os.environ))
            case _:
                done = subprocess.run(arguments["command"], capture_output=True, check=True, text=True)
                return done.stdout
    except (OSError, subprocess.CalledProcessError) as error:
        return f"stopped: {error}"
    return "done"


def _text(text: str) -> dict[str, Any]:
    return {"result": {"content": [{"type": "text", "text": text}]}}


main()
