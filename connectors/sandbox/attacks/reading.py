"""Attacks that read what is not theirs: files, other processes, inherited descriptors, the environment."""

# Every attack takes the target, whether it aims at it or not, and doing the unsafe thing is the purpose.
# ruff: noqa: ARG001

from __future__ import annotations

from connectors.sandbox.attacks.attack import IsolationAttack, Target, isolation, source_of


def read_secret_of_host(target: Target) -> str | None:
    with open(str(target["secret"])) as file:
        return f"read {len(file.read())} characters of the host's secret"


def list_directory_of_host(target: Target) -> str | None:
    import os

    return f"listed {os.listdir(str(target['directory']))}"


def read_secret_through_link(target: Target) -> str | None:
    import os

    os.symlink(str(target["secret"]), "link-to-secret")
    with open("link-to-secret") as file:
        return f"read {len(file.read())} characters through a link"


def read_secret_through_dirfd_walk(target: Target) -> str | None:
    import os

    handle = os.open(".", os.O_RDONLY)
    path = "../" * 40 + str(target["secret"]).lstrip("/")
    return f"opened {os.open(path, os.O_RDONLY, dir_fd=handle)} by climbing"


def read_through_file_descriptors_of_library(target: Target) -> str | None:
    import os
    import sys

    for place in sys.path:
        try:
            handle = os.open(place, getattr(os, "O_PATH", 0))
            found = os.open("../" * 40 + str(target["secret"]).lstrip("/"), os.O_RDONLY, dir_fd=handle)
        except OSError:
            continue
        return f"opened {found} from {place}"
    return None


def read_environment(target: Target) -> str | None:
    import os

    expected = {"HOME", "TMPDIR", "LANG", "TZ", "PWD", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"}
    expected |= {"MKL_NUM_THREADS", "MALLOC_ARENA_MAX"}
    foreign = sorted(set(os.environ) - expected)
    return f"found variables {foreign}" if foreign else None


def find_inherited_descriptors(target: Target) -> str | None:
    import os
    import stat

    found = []
    for descriptor in range(3, 1024):
        try:
            status = os.fstat(descriptor)
        except OSError:
            continue
        # The result pipe, and directories of the library that are held open by name, are known.
        if not stat.S_ISDIR(status.st_mode) and not stat.S_ISFIFO(status.st_mode):
            found.append((descriptor, oct(status.st_mode)))
    return f"inherited {found}" if found else None


def find_two_pipes(target: Target) -> str | None:
    import os
    import stat

    pipes = []
    for descriptor in range(3, 1024):
        try:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                pipes.append(descriptor)
        except OSError:
            continue
    return f"more pipes than the result's: {pipes}" if len(pipes) > 1 else None


def read_standard_input_of_parent(target: Target) -> str | None:
    import os

    data = os.read(0, 100)
    return f"read {data!r}" if data else None


def read_memory_of_parent(target: Target) -> str | None:
    import os

    found = []
    for process in (target["parent"], target["victim"], os.getppid() if hasattr(os, "getppid") else 1, 1):
        for name in ("environ", "mem", "maps", "cmdline", "stack"):
            try:
                with open(f"/proc/{process}/{name}", "rb") as file:
                    found.append((process, name, len(file.read(64))))
            except OSError:
                continue
    return f"opened {found}" if found else None


def enter_root_of_parent(target: Target) -> str | None:
    import os

    found = []
    for process in (target["parent"], target["victim"], 1):
        for name in ("root", "cwd", "fd", "task", "map_files"):
            try:
                found.append((process, name, os.listdir(f"/proc/{process}/{name}")[:3]))
            except OSError:
                continue
    return f"listed {found}" if found else None


def read_link_of_parent(target: Target) -> str | None:
    import os

    found = []
    for name in ("root", "cwd", "exe", "fd/0"):
        for process in (target["parent"], target["victim"]):
            try:
                found.append((name, os.readlink(f"/proc/{process}/{name}")))
            except OSError:
                continue
    return f"resolved {found}" if found else None


def open_file(target: Target, path: str) -> str | None:
    import os

    descriptor = os.open(path, os.O_RDONLY)
    return f"opened {path}: {os.read(descriptor, 8)!r}"


def list_directory(target: Target, path: str) -> str | None:
    import os

    found, status = os.listdir(path), os.stat(path)
    directories = target["directories"]
    assert isinstance(directories, dict)
    # A namespace has directories of its own on the way to what is mounted in it.
    if path in directories and directories[path] != [status.st_dev, status.st_ino]:
        return None
    return f"listed {path}: {found[:3]}"


def read_project_source(target: Target) -> str | None:
    with open(str(target["source"])) as file:
        return f"read {len(file.read())} characters of the project"


def import_project(target: Target) -> str | None:
    import importlib

    return f"imported {importlib.import_module('connectors.sandbox.sandbox')}"


def import_unapproved_package(target: Target) -> str | None:
    import aiohttp

    return f"imported {aiohttp}"


_FILES = (
    "/etc/passwd", "/etc/shadow", "/etc/hosts", "/etc/ssh/sshd_config", "/root/.ssh/id_rsa", "/root/.bashrc",
    "/proc/1/environ", "/proc/self/environ", "/proc/self/mem", "/proc/self/maps", "/proc/kcore", "/proc/kmsg",
    "/proc/sys/kernel/core_pattern", "/sys/kernel/notes", "/dev/vda", "/dev/sda", "/dev/mem", "/dev/kmsg",
    "/dev/tty", "/dev/ptmx", "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/var/run/docker.sock",
    "/run/containerd/containerd.sock", ".env", "../.env", "../../.env",
)  # fmt: skip
_DIRECTORIES = (
    "/", "/etc", "/root", "/home", "/var", "/proc", "/sys", "/dev", "/run", "/sys/fs/cgroup",
)  # fmt: skip


def _named(path: str) -> str:
    """Return a name for a path, such as etc_passwd, or up_up_env for "../../.env"."""
    words = path.replace("../", "up_").lstrip("/").replace("/.", "/").lstrip(".")
    return words.replace("/", "_").replace(".", "_") or "top"


ATTACKS: tuple[IsolationAttack, ...] = (
    *isolation("read", read_secret_of_host, list_directory_of_host, canary=True, succeeds_outside=True),
    *isolation("read", read_secret_through_link, canary=True, succeeds_outside=True),
    *isolation("read", read_secret_through_dirfd_walk, succeeds_outside=True),
    *isolation(
        "read",
        read_environment,
        find_inherited_descriptors,
        read_memory_of_parent,
        read_link_of_parent,
        canary=True,
    ),
    *isolation(
        "read",
        read_through_file_descriptors_of_library,
        find_two_pipes,
        read_standard_input_of_parent,
        enter_root_of_parent,
        import_project,
        import_unapproved_package,
    ),
    *isolation("read", read_project_source, succeeds_outside=True),
    *(
        IsolationAttack(
            name=f"open_{_named(path)}", group="read", source=source_of(open_file), arguments=(path,)
        )
        for path in _FILES
    ),
    *(
        IsolationAttack(
            name=f"list_{_named(path)}", group="read", source=source_of(list_directory), arguments=(path,)
        )
        for path in _DIRECTORIES
    ),
)
