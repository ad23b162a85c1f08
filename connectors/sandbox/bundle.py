"""Packs the child's modules into bytes that travel through its standard input."""

from __future__ import annotations

import functools
import importlib.util
import marshal
from types import CodeType

from connectors.sandbox.child.plan import Plan, ProgramPlan

# In the order of their imports.
_MODULES = (
    "connectors.sandbox.child.syscalls",
    "connectors.sandbox.child.seccomp",
    "connectors.sandbox.child.landlock",
    "connectors.sandbox.child.scratch",
    "connectors.sandbox.child.confinement",
    "connectors.sandbox.child.evaluation",
    "connectors.sandbox.child.wasm",
    "connectors.sandbox.child.runner",
)
_PROGRAM_MODULES = (
    *_MODULES[: _MODULES.index("connectors.sandbox.child.wasm")],
    "connectors.sandbox.child.program_filter",
    "connectors.sandbox.child.program",
)

BOOTSTRAP = """
import marshal, os, sys, types
def part():
    size = int.from_bytes(os.read(0, 8), "big")
    pieces = []
    while size:
        piece = os.read(0, min(size, 1 << 20))
        if not piece:
            os._exit(70)
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
for name in ("connectors", "connectors.sandbox", "connectors.sandbox.child"):
    module = types.ModuleType(name)
    module.__path__ = []
    sys.modules[name] = module
for name, code in marshal.loads(part()):
    parent, _, last = name.rpartition(".")
    module = types.ModuleType(name)
    sys.modules[name] = module
    setattr(sys.modules[parent], last, module)
    exec(code, module.__dict__)
plan = marshal.loads(part())
null = os.open("/dev/null", os.O_RDONLY)
os.dup2(null, 0)
os.close(null)
main = sys.modules["connectors.sandbox.child.runner"].main
control, result = int(sys.argv[1]), int(sys.argv[2])
del sys.argv[1:]
main(control, result, plan)
"""

# The same for a foreign program, whose standard input is its own: all comes in one file.
PROGRAM_BOOTSTRAP = """
import marshal, os, sys, types
with os.fdopen(int(sys.argv[1]), "rb") as file:
    modules, plan = marshal.load(file)
for name in ("connectors", "connectors.sandbox", "connectors.sandbox.child"):
    module = types.ModuleType(name)
    module.__path__ = []
    sys.modules[name] = module
for name, code in modules:
    parent, _, last = name.rpartition(".")
    module = types.ModuleType(name)
    sys.modules[name] = module
    setattr(sys.modules[parent], last, module)
    exec(code, module.__dict__)
sys.modules["connectors.sandbox.child.program"].main(int(sys.argv[2]), plan)
"""


def program_file(plan: ProgramPlan) -> bytes:
    """Return what the bootstrap of a foreign program reads: the modules and `plan`."""
    return marshal.dumps((_compiled(_PROGRAM_MODULES), plan))  # type: ignore[arg-type]  # as below


def standard_input(plan: Plan) -> bytes:
    """Return what the bootstrap reads: the modules, then `plan`, each after its length in 8 bytes."""
    body = marshal.dumps(plan)  # type: ignore[arg-type]  # typed dictionaries are dictionaries
    modules = _modules()
    return b"".join((len(modules).to_bytes(8, "big"), modules, len(body).to_bytes(8, "big"), body))


def module_source(name: str) -> str:
    """Return the source text of one of the child's modules."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    with open(spec.origin, encoding="utf-8") as file:
        return file.read()


@functools.cache
def _modules() -> bytes:
    # Code objects, not text, save the child compiling; both sides are the same interpreter.
    return marshal.dumps(_compiled(_MODULES))


@functools.cache
def _compiled(names: tuple[str, ...]) -> list[tuple[str, CodeType]]:
    return [(name, compile(module_source(name), f"<{name}>", "exec")) for name in names]
