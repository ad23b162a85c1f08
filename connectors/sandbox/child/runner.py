"""The child's main program: confine, report to the parent, run the foreign code, hand over the result."""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
import threading
from collections.abc import Mapping

from connectors.sandbox.child import evaluation
from connectors.sandbox.child.confinement import Confined, Confinement, ConfinementFailed, confine, relocated
from connectors.sandbox.child.wasm import WasmPlan, load_engine, run_guest

EXIT_REFUSED = 70


def main(control: int, result: int, plan: Mapping[str, object]) -> None:
    """Run one request; never returns.

    Args:
        control: descriptor of the socket on which the parent learns that the confinement holds.
        result: descriptor of the pipe that takes the result document.
        plan: what the parent's launch module encoded.
    """
    channel = socket.socket(fileno=control)
    wasm = _wasm_plan(plan)
    try:
        if wasm is not None:
            load_engine(wasm)
        work = _prepare(str(plan["scratch"]))
        # Before the filter, under which no message can carry a descriptor any more.
        directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        socket.send_fds(channel, [b"work"], [directory])
        os.close(directory)
        confined = confine(_confinement(plan))
    except (ConfinementFailed, OSError, ImportError) as error:
        channel.send(json.dumps({"refused": str(error)[:1000]}).encode())
        os._exit(EXIT_REFUSED)
    _write_inputs(plan["files"])
    channel.send(_report(confined))
    # Foreign code starts only after the parent has looked at the report and has the scratch space in hand.
    if channel.recv(1) != b"g":
        os._exit(EXIT_REFUSED)
    channel.close()
    code = str(plan["code"])
    if wasm is not None:
        document = run_guest(wasm, code, work)
    else:
        packages = plan["packages"]
        assert isinstance(packages, dict)
        evaluation.offer_packages(
            {name: relocated(path, confined.relocations) for name, path in packages.items()}
        )
        _forget_own_modules()
        # Behind the library, so that a file of the request may be imported but replaces nothing.
        sys.path.append(work)
        document = evaluation.evaluate(code)
        _finish_threads()
    _flush()
    _write_all(result, document)
    os._exit(0)


def _confinement(plan: Mapping[str, object]) -> Confinement:
    fields = plan["confinement"]
    assert isinstance(fields, dict)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return Confinement(**values)  # type: ignore[arg-type]  # the parent encoded the same class


def _wasm_plan(plan: Mapping[str, object]) -> WasmPlan | None:
    fields = plan["wasm"]
    if fields is None:
        return None
    assert isinstance(fields, dict)
    return WasmPlan(**fields)


def _prepare(scratch: str) -> str:
    work = f"{scratch}/work"
    os.chdir(work)
    return work


def _write_inputs(files: object) -> None:
    assert isinstance(files, list)
    for name, content in files:
        if "/" in name:
            os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(base64.b64decode(content))


def _report(confined: Confined) -> bytes:
    return json.dumps(
        {
            "landlock_version": confined.landlock_version,
            "seccomp": confined.seccomp,
            "user_id": confined.user_id,
        }
    ).encode()


def _forget_own_modules() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "connectors"]:
        del sys.modules[name]


def _finish_threads() -> None:
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue  # closed or replaced by the foreign code: nothing of it is left to show


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
