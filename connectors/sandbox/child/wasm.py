"""Runs CPython on WebAssembly: the foreign code has the guest's memory, two directories, and nothing else.

The engine is loaded before the process confines itself; after that only the compiled guest is opened.
"""

from __future__ import annotations

import binascii
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import wasmtime

    from connectors.sandbox.child.plan import WasmPlan

RESULT_BYTES_MAX = 64 * 1024
RESULT_NAME = "result.json"
EXIT_CODE_MAX = 125
"""An engine for WebAssembly ends a guest that leaves with a higher one as if it had broken."""


GUEST_MAIN = """
import binascii, json
os.chdir("/work")
sys.path.append("/work")
offer_packages({name: f"/packages/{name}" for name in json.loads(sys.argv[2])})
own_module, source = sys.modules["__main__"], binascii.a2b_base64(sys.argv[1]).decode()
del sys.argv[1:]
document, exit_code = evaluate(source, EXIT_CODE_MAX)
with open("/result/result.json", "wb") as file:
    file.write(document)
sys.exit(exit_code)
""".replace("EXIT_CODE_MAX", str(EXIT_CODE_MAX))

_engine: list[object] = []


def load_engine(plan: WasmPlan) -> None:
    """Import wasmtime and map the compiled guest, while the file system can still be reached."""
    sys.path.append(plan["engine_path"])
    import wasmtime

    engine = wasmtime.Engine(engine_configuration())
    _engine[:] = [engine, wasmtime.Module.deserialize_file(engine, plan["module_path"])]
    sys.path.remove(plan["engine_path"])


def engine_configuration() -> wasmtime.Config:
    """Return the settings under which a guest is compiled and run; both sides must agree on them."""
    import wasmtime

    configuration = wasmtime.Config()
    configuration.parallel_compilation = True
    # Without this the engine keeps memory images in memfds, which the filter refuses.
    configuration.memory_init_cow = False
    return configuration


def run_guest(plan: WasmPlan, code: str) -> tuple[bytes, int]:
    """Run `code` in the guest; return the result document that it left, if it exited, and its exit code."""
    # Here, because the parent runs this text alone to compile the guest.
    import wasmtime

    from connectors.sandbox.child.evaluation import json_text

    engine, module = _engine
    assert isinstance(engine, wasmtime.Engine)
    assert isinstance(module, wasmtime.Module)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    store.set_limits(memory_size=plan["memory_bytes"], instances=1, memories=1, tables=4)
    configuration = wasmtime.WasiConfig()
    arguments = ["python", "-I", "-S", "-B", "-u", "-X", "utf8", "-c", plan["guest_source"]]
    # Base64, because a C string ends at the first NUL.
    configuration.argv = [
        *arguments,
        binascii.b2a_base64(code.encode(), newline=False).decode(),
        json_text(list(plan["packages"])),
    ]
    configuration.env = [("HOME", "/work"), ("TMPDIR", "/tmp"), ("PWD", "/work")]  # noqa: S108  the guest's
    configuration.inherit_stdout()
    configuration.inherit_stderr()
    configuration.preopen_dir(".", "/work")
    configuration.preopen_dir(plan["temporary_path"], "/tmp")  # noqa: S108  the guest's own
    configuration.preopen_dir(plan["result_path"], "/result")
    for name, path in plan["packages"].items():
        configuration.preopen_dir(path, f"/packages/{name}", fs_mutable=False)
    store.set_wasi(configuration)
    exit_code = 0
    try:
        start = linker.instantiate(store, module).exports(store)["_start"]
        assert isinstance(start, wasmtime.Func)
        start(store)
    except wasmtime.ExitTrap as exit_trap:
        exit_code = exit_trap.code & 0xFF
    except wasmtime.WasmtimeError as error:
        print(f"the guest stopped: {str(error).splitlines()[0][:200]}", file=sys.stderr)  # noqa: T201
        return b"", 1
    except wasmtime.Trap as trap:
        print(f"the guest trapped: {trap.trap_code}", file=sys.stderr)  # noqa: T201
        return b"", 1
    return _result(plan["result_path"] + "/" + RESULT_NAME), exit_code


def _result(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(descriptor, RESULT_BYTES_MAX + 1)
    except OSError:
        return b""  # a directory, for example: the guest may put there what it likes
    finally:
        os.close(descriptor)
