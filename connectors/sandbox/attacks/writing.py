"""Attacks that change what is not theirs: the host's files and metadata, the library, kernel settings."""

# Every attack takes the target, whether it aims at it or not, and doing the unsafe thing is the purpose.
# ruff: noqa: ARG001

from __future__ import annotations

from connectors.sandbox.attacks.attack import IsolationAttack, Target, isolation, source_of


def overwrite_file_of_host(target: Target) -> str | None:
    with open(str(target["secret"]), "w") as file:
        file.write("overwritten")
    return "overwrote the host's file"


def append_to_file_of_host(target: Target) -> str | None:
    with open(str(target["secret"]), "a") as file:
        file.write("appended")
    return "appended to the host's file"


def create_file_on_host(target: Target) -> str | None:
    path = f"{target['directory']}/planted"
    with open(path, "w") as file:
        file.write("planted")
    return f"created {path}"


def create_directory_on_host(target: Target) -> str | None:
    import os

    os.mkdir(f"{target['directory']}/planted-directory")
    return "created a directory"


def link_file_of_host(target: Target) -> str | None:
    import os

    os.link(str(target["secret"]), "hard-link")
    return "made a hard link to the host's file"


def link_into_host(target: Target) -> str | None:
    import os

    with open("own", "w") as file:
        file.write("x")
    os.link("own", f"{target['directory']}/hard-link")
    return "made a hard link in the host's directory"


def plant_symlink_on_host(target: Target) -> str | None:
    import os

    os.symlink("/etc/passwd", f"{target['directory']}/symlink")
    return "planted a symbolic link"


def rename_file_of_host(target: Target) -> str | None:
    import os

    os.rename(str(target["secret"]), f"{target['directory']}/renamed")
    return "renamed the host's file"


def move_file_of_host_in(target: Target) -> str | None:
    import os

    os.rename(str(target["secret"]), "taken")
    return "moved the host's file into the scratch space"


def delete_file_of_host(target: Target) -> str | None:
    import os

    os.unlink(str(target["secret"]))
    return "deleted the host's file"


def truncate_file_of_host(target: Target) -> str | None:
    import os

    os.truncate(str(target["secret"]), 0)
    return "truncated the host's file"


# A call that is refused may look like a success in here; what counts for the next three is the witness.
def change_mode_of_host(target: Target) -> str | None:
    import os

    for path in (target["secret"], target["directory"]):
        os.chmod(str(path), 0o700)
    return None


def change_owner_of_host(target: Target) -> str | None:
    import os

    os.chown(str(target["secret"]), 12345, 12345)
    return None


def change_times_of_host(target: Target) -> str | None:
    import os

    os.utime(str(target["secret"]), (1, 1))
    os.utime(str(target["directory"]), (1, 1))
    return None


def set_attribute_of_host(target: Target) -> str | None:
    import os

    os.setxattr(str(target["secret"]), "user.attack", b"x")
    return "set an extended attribute on the host's file"


def make_device(target: Target) -> str | None:
    import os
    import stat

    os.mknod("device", 0o600 | stat.S_IFBLK, os.makedev(254, 0))
    return "made a device"


def make_fifo(target: Target) -> str | None:
    import os

    os.mkfifo("fifo")
    return "made a FIFO"


def poison_library(target: Target) -> str | None:
    import os
    import sys

    written = []
    # The working directory is on the path too, behind the library, and is the run's own.
    library = [place for place in sys.path if place != os.getcwd()]
    for directory in [*library, os.path.dirname(os.__file__), os.path.dirname(sys.executable)]:
        for name in ("sitecustomize.py", "poison.pth"):
            try:
                with open(f"{directory}/{name}", "w") as file:
                    file.write("x")
            except OSError:
                continue
            written.append(f"{directory}/{name}")
    return f"wrote {written}" if written else None


def open_for_writing(target: Target, path: str) -> str | None:
    import os

    descriptor = os.open(path, os.O_WRONLY)
    os.close(descriptor)
    return f"opened {path} for writing"


def create_in(target: Target, directory: str) -> str | None:
    import os

    path = f"{directory}/cartrita-attack"
    with open(path, "w"):
        pass
    os.unlink(path)
    return f"created {path}"


_KERNEL_FILES = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger",
    "/proc/self/oom_score_adj", "/proc/self/uid_map", "/sys/kernel/uevent_helper", "/sys/power/state",
    "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/cgroup.procs",
    "/dev/vda", "/dev/mem", "/dev/kmsg", "/etc/passwd", "/etc/ld.so.preload",
)  # fmt: skip
_SHARED_DIRECTORIES = ("/var/tmp", "/dev/shm", "/run", "/dev/mqueue", "/etc", "/usr/lib", "/home")  # noqa: S108


def _named(path: str) -> str:
    return path.strip("/.").replace("/", "_").replace(".", "_").replace("-", "_")


ATTACKS: tuple[IsolationAttack, ...] = (
    *isolation("write", overwrite_file_of_host, create_file_on_host, canary=True, succeeds_outside=True),
    *isolation(
        "write",
        append_to_file_of_host,
        create_directory_on_host,
        plant_symlink_on_host,
        truncate_file_of_host,
        succeeds_outside=True,
    ),
    *isolation("write", change_mode_of_host, change_times_of_host, change_owner_of_host, canary=True),
    *isolation("write", set_attribute_of_host, link_file_of_host, link_into_host, canary=True),
    *isolation("write", move_file_of_host_in, rename_file_of_host, delete_file_of_host, canary=True),
    *isolation("write", make_device, make_fifo, poison_library, canary=True),
    *(
        IsolationAttack(
            name=f"write_{_named(path)}", group="write", source=source_of(open_for_writing), arguments=(path,)
        )
        for path in _KERNEL_FILES
    ),
    *(
        IsolationAttack(
            name=f"create_in_{_named(path)}", group="write", source=source_of(create_in), arguments=(path,)
        )
        for path in _SHARED_DIRECTORIES
    ),
)
