"""The child's main program: confine, report to the parent, run the foreign code, hand over the result."""

from __future__ import annotations

import _socket
import os
import sys

from connectors.sandbox.child import evaluation, scratch
from connectors.sandbox.child.confinement import ConfinementFailed, confine, end_with_parent, relocated
from connectors.sandbox.child.evaluation import json_text
from connectors.sandbox.child.wasm import load_engine, run_guest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.sandbox.child.plan import Plan

EXIT_REFUSED = 70


def main(control: int, result: int, plan: Plan) -> None:
    """Run one request; never returns.

    Args:
        control: descriptor of the socket on which the parent learns that the confinement holds.
        result: descriptor of the pipe that takes the result document.
        plan: what the parent's launch module encoded.
    """
    channel = _socket.socket(fileno=control)
    wasm, confinement = plan["wasm"], plan["confinement"]
    try:
        if plan["first_process"]:
            _start_second(channel)
        if confinement["scratch_bytes"] > 0:
            scratch.mount(
                confinement["scratch_path"],
                confinement["scratch_bytes"],
                confinement["scratch_inodes"],
                confinement["user_id"],
            )
        if wasm is not None:
            load_engine(wasm)
        work = _prepare(confinement["scratch_path"])
        # Before the filter, under which no message can carry a descriptor any more.
        directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, directory.to_bytes(4, sys.byteorder))
        channel.sendmsg([b"work"], [rights])
        os.close(directory)
        report, relocations = confine(confinement)
        _write_inputs(plan["files"])
    except (ConfinementFailed, OSError, ImportError) as error:
        channel.send(json_text({"refused": str(error)[:1000]}).encode())
        os._exit(EXIT_REFUSED)
    channel.send(json_text(report).encode())
    # Foreign code starts only after the parent has looked at the report and has the scratch space in hand.
    if channel.recv(1) != b"g":
        os._exit(EXIT_REFUSED)
    channel.close()
    code = plan["code"]
    if wasm is not None:
        document, exit_code = run_guest(wasm, code)
    else:
        places = {name: relocated(path, relocations) for name, path in plan["packages"].items()}
        evaluation.offer_packages(places)
        _forget_own_modules()
        # Behind the library, so that a file of the request may be imported but replaces nothing.
        sys.path.append(work)
        document, exit_code = evaluation.evaluate(code)
        _finish_threads()
    _flush()
    _write_all(result, document)
    os._exit(exit_code)


def _start_second(channel: _socket.socket) -> None:
    """Return in a new process alone; this one waits for it, and tells the parent by what it ended.

    Whoever starts a namespace learns only a number of it, in which an exit code may pass for a signal. This
    process's end is that of all in its namespace, so it also sees to it that nothing outlives the parent: it
    ends with whoever made the namespace, and as soon as the parent's end of the channel is closed.
    """
    second = os.fork()
    if second == 0:
        return
    end_with_parent()
    # What the second one closes must be closed.
    for descriptor in range(3):
        os.close(descriptor)
    import select  # not in the second one, whose start everybody waits for

    waiting = select.poll()
    ended = os.pidfd_open(second)
    waiting.register(ended, select.POLLIN)
    # Whatever comes through the channel is for the second one.
    waiting.register(channel.fileno(), 0)
    if (ended, select.POLLIN) in waiting.poll():
        _, status = os.waitpid(second, 0)
        channel.send(json_text({"ended": status}).encode())
    os._exit(0)


def _prepare(scratch_path: str) -> str:
    work = f"{scratch_path}/work"
    os.chdir(work)
    return work


def _write_inputs(files: Sequence[tuple[str, bytes]]) -> None:
    for name, content in files:
        if "/" in name:
            os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(content)


def _forget_own_modules() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "connectors"]:
        del sys.modules[name]


def _finish_threads() -> None:
    threading = sys.modules.get("threading")
    if threading is None:
        return
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: S112  closed or replaced by the foreign code: nothing of it is left to show
            continue


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
