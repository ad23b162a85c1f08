"""Attacks on the level of Python: they find what the interpreter hides, and must gain nothing by it.

None of these is stopped by the sandbox, and none has to be: the border is the process. What they find is used
to do what the border must refuse.
"""

# Every attack takes the target, whether it aims at it or not, and doing the unsafe thing is the purpose.
# ruff: noqa: ARG001, S301

from __future__ import annotations

from connectors.sandbox.attacks.attack import IsolationAttack, Target, isolation


def read_through_subclasses(target: Target) -> str | None:
    for kind in object.__subclasses__():
        if kind.__name__ == "FileLoader":
            data = kind("x", str(target["secret"])).get_data(str(target["secret"]))  # type: ignore[call-arg,attr-defined]  # found by name
            return f"read {len(data)} bytes of the host's secret through a loader"
    return None


def walk_frames_to_channel(target: Target) -> str | None:
    import socket
    import sys

    frame = sys._getframe()
    while frame is not None:
        for value in frame.f_locals.values():
            if isinstance(value, socket.socket) and value.fileno() >= 0:
                return f"found an open channel to the parent in {frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]  # the last one has none
    return None


def search_memory_for_channel(target: Target) -> str | None:
    import gc
    import socket

    found = [thing for thing in gc.get_objects() if isinstance(thing, socket.socket) and thing.fileno() >= 0]
    return f"found open sockets {found}" if found else None


def search_modules_for_project(target: Target) -> str | None:
    import sys

    found = [name for name in sys.modules if name.startswith(("connectors", "cartrita"))]
    return f"found modules {found}" if found else None


def rewrite_code_object(target: Target) -> str | None:
    def harmless(path: str) -> object:
        return open(path)

    code = harmless.__code__.replace(co_name="trusted", co_filename="/usr/lib/python3/trusted.py")
    harmless.__code__ = code
    with harmless(str(target["secret"])) as file:  # type: ignore[attr-defined]  # it returns a file
        return f"read {len(file.read())} characters with rewritten code"


def bypass_audit_hooks(target: Target) -> str | None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.open(str(target["secret"]).encode(), 0)
    return "opened the host's secret by libc" if descriptor >= 0 else None


def read_by_raw_call(target: Target) -> str | None:
    import ctypes
    import os

    number = {"x86_64": 257, "aarch64": 56}[os.uname().machine]
    libc = ctypes.CDLL(None, use_errno=True)
    path = ctypes.c_char_p(str(target["secret"]).encode())
    descriptor = libc.syscall(ctypes.c_long(number), ctypes.c_long(-100), path, 0, 0)
    return "opened the host's secret by a raw call" if descriptor >= 0 else None


def read_through_import_hook(target: Target) -> str | None:
    import importlib.machinery

    loader = importlib.machinery.SourceFileLoader("secret", str(target["secret"]))
    return f"read {len(loader.get_data(str(target['secret'])))} bytes through the import system"


def read_through_pickle(target: Target) -> str | None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (open, (str(target["secret"]),))

    found = pickle.loads(pickle.dumps(Bomb()))
    return f"read {len(found.read())} characters through pickle"


def read_through_zip_import(target: Target) -> str | None:
    import sys

    sys.path.insert(0, str(target["directory"]))
    import secret  # type: ignore[import-not-found]  # there is none unless the directory can be listed

    return f"imported {secret}"


def import_packages_of_host(target: Target) -> str | None:
    import glob
    import sys

    sys.path += [*glob.glob("/usr/lib/python3*/dist-packages"), "/usr/lib/python3/dist-packages"]
    found = []
    for name in ("yaml", "jwt", "cryptography", "apt_pkg", "dbus", "httplib2", "pkg_resources", "debconf"):
        try:
            __import__(name)
        except ImportError:
            continue
        found.append(name)
    return f"imported {found}, which nobody approved" if found else None


def list_packages_of_host(target: Target) -> str | None:
    import os
    import sys

    found: list[str] = []
    for path in [*sys.path, os.path.dirname(os.__file__), "/usr/lib", "/usr/lib/python3", "/usr/local/lib"]:
        for place in (path, f"{path}/site-packages", f"{path}/dist-packages", f"{path}/.."):
            try:
                names = os.listdir(place)
            except OSError:
                continue
            found += [name for name in names if name.endswith((".dist-info", ".egg-info", ".pth"))]
    return f"saw what is installed: {found[:5]}" if found else None


def list_libraries_of_host(target: Target) -> str | None:
    import glob
    import os

    directories = [*glob.glob("/usr/lib/*-linux-gnu"), "/usr/lib", "/usr/lib64", "/lib64", "/lib"]
    names: list[str] = []
    for path in directories:
        try:
            names += os.listdir(path)
        except OSError:
            continue
    # What the interpreter needs is there by name; what it does not need must not be.
    unneeded = [name for name in names if name.startswith(("libapt", "libsystemd", "libX11", "dpkg", "apt"))]
    return f"saw libraries that nothing here needs: {unneeded[:5]}" if unneeded else None


ATTACKS: tuple[IsolationAttack, ...] = (
    *isolation(
        "python", read_through_subclasses, rewrite_code_object, bypass_audit_hooks, succeeds_outside=True
    ),
    *isolation("python", read_by_raw_call, canary=True, succeeds_outside=True),
    *isolation("python", read_through_import_hook, read_through_pickle, succeeds_outside=True),
    *isolation(
        "python",
        walk_frames_to_channel,
        search_memory_for_channel,
        search_modules_for_project,
        read_through_zip_import,
        import_packages_of_host,
        list_packages_of_host,
        list_libraries_of_host,
    ),
)
