"""Attacks that use up time, memory, threads, output or disk; each runs alone and must be ended in time."""

from __future__ import annotations

from connectors.sandbox.attacks.attack import ExhaustionAttack
from connectors.sandbox.limits import Limit
from connectors.sandbox.result import Status

_Expected = frozenset[Limit | Status]

_FAILED: _Expected = frozenset({Status.FAILED})
_TIME: _Expected = frozenset({Limit.CPU, Limit.WALL_CLOCK})
_MEMORY: _Expected = frozenset({Limit.MEMORY, Status.CRASHED, Status.FAILED})
_DISK: _Expected = frozenset({Limit.DISK, Status.FAILED})
# What a tier can't even start (threads, processes, signals in WebAssembly) fails there as an exception.
_THREADS: _Expected = frozenset({Limit.THREADS, Limit.MEMORY, Status.FAILED})

_IGNORE_SIGNALS = """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError, AttributeError):
        pass
while True:
    pass
"""

_IGNORE_INTERRUPTS = """
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""

_THREAD_BOMB = """
import threading, time
threading.stack_size(64 * 1024)
def wait():
    time.sleep(60)
while True:
    threading.Thread(target=wait, daemon=True).start()
"""

_THREADS_SPIN = """
import threading
def spin():
    while True:
        pass
for _ in range(8):
    threading.Thread(target=spin, daemon=True).start()
spin()
"""

_THREAD_GOES_ON = """
import threading
def spin():
    while True:
        pass
threading.Thread(target=spin).start()
"""

_ZIP_BOMB = """
import io, zipfile
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
    for index in range(20):
        archive.writestr(str(index), bytes(2_000_000))
with zipfile.ZipFile(packed) as archive:
    archive.extractall(".")
"""

_HIDDEN_FILES = """
import os
handles = []
for index in range(100):
    handle = os.open(f"hidden-{index}", os.O_CREAT | os.O_RDWR)
    os.unlink(f"hidden-{index}")
    handles.append(handle)
    for _ in range(7):
        os.write(handle, bytes(1_000_000))
import time
time.sleep(60)
"""

_DEEP_DIRECTORIES = """
import os
for index in range(100_000):
    os.mkdir("d")
    os.chdir("d")
"""

_MANY_LINKS = """
import os
open("file", "w").close()
for index in range(200_000):
    os.symlink("file", f"link-{index}")
"""

_SOCKET_BUFFERS = """
import socket
pairs = []
while True:
    pair = socket.socketpair()
    pairs.append(pair)
    pair[0].setblocking(False)
    try:
        while True:
            pair[0].send(bytes(65536))
    except BlockingIOError:
        pass
"""

_STOP_ITSELF = """
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
"""

_LOCK_FLOOD = """
import fcntl, struct
file = open("locked", "wb")
for place in range(0, 10_000_000, 2):
    fcntl.fcntl(file, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, place, 1, 0))
"""

_SIGNAL_FLOOD = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True:
    os.kill(os.getpid(), signal.SIGRTMIN)
"""

_DESCRIPTOR_FLOOD = """
import os
while True:
    os.pipe()
"""

_MAP_FILES = """
import mmap, os
maps = []
for index in range(1000):
    handle = os.open(f"map-{index}", os.O_CREAT | os.O_RDWR)
    os.ftruncate(handle, 4_000_000)
    found = mmap.mmap(handle, 4_000_000)
    os.close(handle)
    os.unlink(f"map-{index}")
    for place in range(0, 4_000_000, 4096):
        found[place] = 1
    maps.append(found)
"""

# Without the data being written, this would fill a disk between two looks of the parent.
_PREALLOCATE = """
import os
for number in range(100):
    os.posix_fallocate(os.open(f"file-{number}", os.O_CREAT | os.O_RDWR), 0, 8_000_000)
"""

_CODES: dict[str, tuple[str, _Expected]] = {
    "loop_forever": ("while True:\n    pass", _TIME),
    "loop_ignoring_signals": (_IGNORE_SIGNALS, _TIME),
    "loop_catching_everything": (_IGNORE_INTERRUPTS, _TIME),
    "sleep_forever": ("import time\ntime.sleep(10_000)", frozenset({Limit.WALL_CLOCK})),
    "wait_for_input_of_own_pipe": ("import os\nr, w = os.pipe()\nos.read(r, 1)", _TIME | _FAILED),
    "hold_the_lock_in_c": ("str(7 ** 10 ** 7)", _TIME | _FAILED),
    "huge_power": ("x = 9 ** 9 ** 9", _TIME | _MEMORY),
    "regular_expression": ("import re\nre.match('(a+)+$', 'a' * 64 + 'b')", _TIME),
    "threads_that_spin": (_THREADS_SPIN, _TIME | _THREADS),
    "thread_bomb": (_THREAD_BOMB, _THREADS | _TIME),
    "fork_bomb": ("import os\nwhile True:\n    os.fork()", _FAILED),
    "memory_in_one_piece": ("x = bytearray(4_000_000_000)", _MEMORY),
    "memory_bit_by_bit": ("x = []\nwhile True:\n    x.append(bytearray(1_000_000))", _MEMORY | _TIME),
    "memory_in_small_objects": ("x = None\nwhile True:\n    x = [x]", _MEMORY | _TIME),
    "recursion_without_bound": (
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f():\n    return [f()]\nf()",
        _MEMORY | _TIME,
    ),
    "recursion_in_c": (
        "import sys\nsys.setrecursionlimit(10 ** 9)\nx = []\nfor _ in range(10 ** 6):\n    x = [x]\nrepr(x)",
        _MEMORY | _TIME,
    ),
    "output_flood": ("while True:\n    print('x' * 10_000)", frozenset({Limit.OUTPUT})),
    "error_flood": ("import sys\nwhile True:\n    sys.stderr.write('x' * 10_000)", frozenset({Limit.OUTPUT})),
    "output_without_newline": (
        "import os\nwhile True:\n    os.write(1, b'x' * 65536)",
        frozenset({Limit.OUTPUT}),
    ),
    "one_large_file": (
        "f = open('large', 'wb')\nwhile True:\n    f.write(bytes(1_000_000))\n    f.flush()",
        _DISK,
    ),
    "many_large_files": (
        "n = 0\nwhile True:\n    open(f'large-{n}', 'wb').write(bytes(1_000_000))\n    n += 1",
        _DISK,
    ),
    "files_deleted_but_open": (_HIDDEN_FILES, _DISK),
    "files_deleted_but_mapped": (_MAP_FILES, _DISK | _MEMORY | _TIME),
    "many_empty_files": (
        "n = 0\nwhile True:\n    open(f'empty-{n}', 'w').close()\n    n += 1",
        frozenset({Limit.INODES}),
    ),
    "many_links": (_MANY_LINKS, frozenset({Limit.INODES, Status.FAILED})),
    "deep_directories": (_DEEP_DIRECTORIES, frozenset({Limit.INODES, Status.FAILED})),
    "sparse_file": ("f = open('sparse', 'wb')\nf.truncate(10 ** 12)", _DISK),
    "preallocated_files": (_PREALLOCATE, _DISK),
    "zip_bomb": (_ZIP_BOMB, _DISK),
    "stop_itself": (_STOP_ITSELF, _TIME | _FAILED),
    "lock_flood": (_LOCK_FLOOD, _TIME | _FAILED),
    "signal_flood": (_SIGNAL_FLOOD, _TIME | _FAILED),
    "descriptor_flood": (_DESCRIPTOR_FLOOD, _FAILED),
    "socket_buffers": (_SOCKET_BUFFERS, _FAILED | _TIME),
    "fill_temporary_directory": (
        "import tempfile as t\nwhile True:\n    t.NamedTemporaryFile(delete=False).write(bytes(10**6))",
        frozenset({Limit.DISK, Limit.INODES, Status.FAILED}),
    ),
    "exception_whose_text_loops": (
        "class E(Exception):\n    def __str__(self):\n        while True:\n            pass\nraise E()",
        _TIME,
    ),
    "value_whose_repr_loops": (
        "class V:\n    def __repr__(self):\n        while True:\n            pass\nV()",
        _TIME,
    ),
    "thread_that_never_ends": (_THREAD_GOES_ON, _TIME | _FAILED),
}


def _timeout_ms(expected: _Expected) -> int:
    """Return a short time for what only time can end, and a long one for what ends by another limit."""
    if not expected & _TIME:
        return 15_000
    return 500 if expected <= _TIME | _FAILED else 4_000


# Long enough for the limit of processor time, which the kernel counts in whole seconds.
_UNTIL_PROCESSOR_LIMIT_MS = 60_000

ATTACKS: tuple[ExhaustionAttack, ...] = (
    ExhaustionAttack(
        name="spend_all_processor_time",
        code="while True:\n    pass",
        expected=frozenset({Limit.CPU}),
        timeout_ms=_UNTIL_PROCESSOR_LIMIT_MS,
    ),
    *(
        ExhaustionAttack(name=name, code=code, expected=expected, timeout_ms=_timeout_ms(expected))
        for name, (code, expected) in _CODES.items()
    ),
)
