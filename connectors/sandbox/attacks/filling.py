"""Attacks that fill the disk, each in a way that hides it from whoever looks from outside, and then wait."""

from __future__ import annotations

_FILL = """
import os, time
def fill(handle):
    for _ in range(7):
        os.write(handle, bytes(1_000_000))
"""

_CLOSED_DIRECTORIES = (
    _FILL
    + """
os.umask(0)
for mode in (0o300, 0o000, 0o100, 0o711):
    try:
        os.mkdir(f"closed-{mode}", mode)
    except PermissionError:
        continue
    for index in range(5):
        fill(os.open(f"closed-{mode}/{index}", os.O_CREAT | os.O_WRONLY))
time.sleep(900)
"""
)

_UMASK_CLOSES = (
    _FILL
    + """
os.umask(0o777)
os.mkdir("closed")
os.chmod("closed", 0)
for index in range(20):
    fill(os.open(f"closed/{index}", os.O_CREAT | os.O_WRONLY, 0))
time.sleep(900)
"""
)

_FIRST_THREAD_ENDS = (
    _FILL
    + """
import ctypes, threading
def hold():
    time.sleep(0.2)
    for index in range(20):
        handle = os.open(f"held-{index}", os.O_CREAT | os.O_RDWR)
        os.unlink(f"held-{index}")
        fill(handle)
    time.sleep(900)
threading.Thread(target=hold).start()
libc = ctypes.CDLL(None)
# The thread alone, not the process; the interpreter's lock is given back while the call lasts.
libc.syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
"""
)

_OWN_DESCRIPTORS = (
    _FILL
    + """
import ctypes, threading
libc = ctypes.CDLL(None, use_errno=True)
def hold():
    if libc.syscall(436, 20, 0x7FFFFFFF, 2) != 0:
        raise SystemExit("refused")
    for index in range(20):
        handle = os.open(f"held-{index}", os.O_CREAT | os.O_RDWR)
        os.unlink(f"held-{index}")
        fill(handle)
thread = threading.Thread(target=hold)
thread.start()
thread.join()
for index in range(20):
    fill(os.open(f"seen-{index}", os.O_CREAT | os.O_RDWR))
time.sleep(900)
"""
)

_MAPPED_BY_ONE_PAGE = (
    _FILL
    + """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
for index in range(40):
    handle = os.open(f"mapped-{index}", os.O_CREAT | os.O_RDWR)
    fill(handle)
    if libc.mmap(None, ctypes.c_size_t(4096), 1, 1, handle, ctypes.c_long(0)) == ctypes.c_void_p(-1).value:
        raise OSError("not mapped")
    os.close(handle)
    os.unlink(f"mapped-{index}")
time.sleep(900)
"""
)

_MOVED_ABOUT = (
    _FILL
    + """
import threading
places = [f"place-{index:02}" for index in range(16)]
for place in places:
    os.mkdir(place)
names = []
def move():
    turn = 0
    while True:
        turn += 1
        for number, name in enumerate(list(names)):
            for source in places:
                try:
                    os.rename(f"{source}/{name}", f"{places[(turn + number) % 16]}/{name}")
                except OSError:
                    pass
threading.Thread(target=move, daemon=True).start()
for index in range(20):
    fill(os.open(f"{places[index % 16]}/file-{index}", os.O_CREAT | os.O_WRONLY))
    names.append(f"file-{index}")
time.sleep(900)
"""
)

_WITHOUT_NAME = (
    _FILL
    + """
handles = []
for index in range(20):
    try:
        handles.append(os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600))
    except (OSError, AttributeError):
        handles.append(os.open(f"named-{index}", os.O_CREAT | os.O_RDWR))
    fill(handles[-1])
time.sleep(900)
"""
)

_INODES_IN_CLOSED_DIRECTORY = """
import os, time
os.umask(0)
try:
    os.mkdir("closed", 0o300)
except PermissionError:
    os.mkdir("closed")
for index in range(3000):
    os.symlink("x", f"closed/{index}")
time.sleep(900)
"""

FILLING: dict[str, str] = {
    "disk_in_closed_directories": _CLOSED_DIRECTORIES,
    "disk_where_the_mask_closes": _UMASK_CLOSES,
    "disk_when_first_thread_ends": _FIRST_THREAD_ENDS,
    "disk_in_own_descriptors": _OWN_DESCRIPTORS,
    "disk_mapped_by_one_page": _MAPPED_BY_ONE_PAGE,
    "disk_moved_about": _MOVED_ABOUT,
    "disk_without_names": _WITHOUT_NAME,
    "inodes_in_closed_directory": _INODES_IN_CLOSED_DIRECTORY,
}
"""Name to code, of those which the limit of disk or inodes must end, however long they may run."""
