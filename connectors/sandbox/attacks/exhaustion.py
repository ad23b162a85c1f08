"""Attacks that use up time, memory, threads, output or disk; each runs alone and must be ended by a limit.

Which limit comes first depends on how fast the machine is, so any is right. What differs is how an attack may
end without one: by an exception, where the kernel refused it something, or by the death of its process.
"""

from __future__ import annotations

from connectors.sandbox.attacks.attack import ExhaustionAttack
from connectors.sandbox.attacks.filling import FILLING
from connectors.sandbox.result import Status

_Ends = frozenset[Status]

_ONLY_LIMITED: _Ends = frozenset()
# What a tier can't even start (threads, processes, signals in WebAssembly) fails there as an exception.
_FAILS: _Ends = frozenset({Status.FAILED})
_FAILS_OR_CRASHES: _Ends = frozenset({Status.FAILED, Status.CRASHED})

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

_SOCKET_BUFFERS_OF_THREADS = """
import ctypes, socket, threading, time
libc = ctypes.CDLL(None, use_errno=True)
threading.stack_size(256 * 1024)
sent, pairs = [], []
def hold():
    libc.syscall(436, 20, 0x7FFFFFFF, 2)
    while True:
        pair = socket.socketpair()
        pairs.append(pair)
        for end in pair:
            end.setblocking(False)
            try:
                while True:
                    sent.append(end.send(bytes(65536)))
            except BlockingIOError:
                pass
threads = [threading.Thread(target=hold) for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if sum(sent) < 128 * 1024 * 1024:
    raise SystemExit("no more than one table of descriptors holds")
"""

# What is shared stays in memory, though by this advice it is no longer resident.
_SHARED_MEMORY = """
import mmap
kept = []
while True:
    kept.append(mmap.mmap(-1, 1_000_000))
    kept[-1][:] = bytes(1_000_000)
    kept[-1].madvise(mmap.MADV_DONTNEED)
"""

_SHARED_ZEROS = """
import mmap, os
kept, zeros = [], os.open("/dev/zero", os.O_RDWR)
while True:
    kept.append(mmap.mmap(zeros, 1_000_000))
    kept[-1][:] = bytes(1_000_000)
"""

_PIPE_BUFFERS = """
import os
while True:
    _, end = os.pipe()
    os.set_blocking(end, False)
    try:
        while True:
            os.write(end, bytes(65536))
    except BlockingIOError:
        pass
"""

_COPIES_BY_KERNEL = """
import os
with open("first", "wb") as file:
    file.write(bytes(1_000_000))
source = os.open("first", os.O_RDONLY)
for index in range(40):
    target = os.open(f"copy-{index}", os.O_CREAT | os.O_RDWR)
    if index % 2:
        os.sendfile(target, source, 0, 1_000_000)
    else:
        os.copy_file_range(source, target, 1_000_000, 0)
"""

_HOLES_FILLED = """
for number in range(100):
    with open(f"holes-{number}", "wb") as file:
        for index in range(100):
            file.seek(index * 70_000)
            file.write(bytes(40_000))
"""

_WORKING_DIRECTORY_MOVED = """
import os
os.rename("../work", "../moved")
for index in range(40):
    with open(f"file-{index}", "wb") as file:
        file.write(bytes(1_000_000))
"""

_CODES: dict[str, tuple[str, _Ends]] = {
    "loop_forever": ("while True:\n    pass", _ONLY_LIMITED),
    "loop_ignoring_signals": (_IGNORE_SIGNALS, _ONLY_LIMITED),
    "loop_catching_everything": (_IGNORE_INTERRUPTS, _ONLY_LIMITED),
    "sleep_forever": ("import time\ntime.sleep(10_000)", _ONLY_LIMITED),
    "wait_for_input_of_own_pipe": ("import os\nr, w = os.pipe()\nos.read(r, 1)", _FAILS),
    "hold_the_lock_in_c": ("str(7 ** 10 ** 7)", _FAILS),
    "huge_power": ("x = 9 ** 9 ** 9", _FAILS_OR_CRASHES),
    "regular_expression": ("import re\nre.match('(a+)+$', 'a' * 64 + 'b')", _ONLY_LIMITED),
    "threads_that_spin": (_THREADS_SPIN, _FAILS),
    "thread_bomb": (_THREAD_BOMB, _FAILS),
    "fork_bomb": ("import os\nwhile True:\n    os.fork()", _FAILS),
    "memory_in_one_piece": ("x = bytearray(4_000_000_000)", _FAILS_OR_CRASHES),
    "memory_bit_by_bit": ("x = []\nwhile True:\n    x.append(bytearray(1_000_000))", _FAILS_OR_CRASHES),
    "memory_in_small_objects": ("x = None\nwhile True:\n    x = [x]", _FAILS_OR_CRASHES),
    "recursion_without_bound": (
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f():\n    return [f()]\nf()",
        _FAILS_OR_CRASHES,
    ),
    "recursion_in_c": (
        "import sys\nsys.setrecursionlimit(10 ** 9)\nx = []\nfor _ in range(10 ** 6):\n    x = [x]\nrepr(x)",
        _FAILS_OR_CRASHES,
    ),
    "output_flood": ("while True:\n    print('x' * 10_000)", _ONLY_LIMITED),
    "error_flood": ("import sys\nwhile True:\n    sys.stderr.write('x' * 10_000)", _ONLY_LIMITED),
    "output_without_newline": (
        "import os\nwhile True:\n    os.write(1, b'x' * 65536)",
        _ONLY_LIMITED,
    ),
    "one_large_file": (
        "f = open('large', 'wb')\nwhile True:\n    f.write(bytes(1_000_000))\n    f.flush()",
        _FAILS,
    ),
    "many_large_files": (
        "n = 0\nwhile True:\n    open(f'large-{n}', 'wb').write(bytes(1_000_000))\n    n += 1",
        _FAILS,
    ),
    "files_deleted_but_open": (_HIDDEN_FILES, _FAILS),
    "files_deleted_but_mapped": (_MAP_FILES, _FAILS_OR_CRASHES),
    "many_empty_files": (
        "n = 0\nwhile True:\n    open(f'empty-{n}', 'w').close()\n    n += 1",
        _ONLY_LIMITED,
    ),
    "many_links": (_MANY_LINKS, _FAILS),
    "deep_directories": (_DEEP_DIRECTORIES, _FAILS),
    "sparse_file": ("f = open('sparse', 'wb')\nf.truncate(10 ** 12)", _FAILS),
    "preallocated_files": (_PREALLOCATE, _FAILS),
    "zip_bomb": (_ZIP_BOMB, _FAILS),
    "stop_itself": (_STOP_ITSELF, _FAILS),
    "lock_flood": (_LOCK_FLOOD, _FAILS),
    "signal_flood": (_SIGNAL_FLOOD, _FAILS),
    "descriptor_flood": (_DESCRIPTOR_FLOOD, _FAILS),
    "socket_buffers": (_SOCKET_BUFFERS, _FAILS),
    "fill_temporary_directory": (
        "import tempfile as t\nwhile True:\n    t.NamedTemporaryFile(delete=False).write(bytes(10**6))",
        _FAILS,
    ),
    "exception_whose_text_loops": (
        "class E(Exception):\n    def __str__(self):\n        while True:\n            pass\nraise E()",
        _ONLY_LIMITED,
    ),
    "value_whose_repr_loops": (
        "class V:\n    def __repr__(self):\n        while True:\n            pass\nV()",
        _ONLY_LIMITED,
    ),
    "shared_memory": (_SHARED_MEMORY, _FAILS_OR_CRASHES),
    "shared_zeros": (_SHARED_ZEROS, _FAILS_OR_CRASHES),
    "pipe_buffers": (_PIPE_BUFFERS, _FAILS),
    "copies_by_kernel": (_COPIES_BY_KERNEL, _FAILS),
    "holes_filled": (_HOLES_FILLED, _FAILS),
    "working_directory_moved": (_WORKING_DIRECTORY_MOVED, _FAILS),
    "many_hard_links": (
        "import os\nopen('a', 'w').close()\nfor index in range(100_000):\n    os.link('a', str(index))",
        _FAILS,
    ),
    "many_long_links": (
        "import os\nfor index in range(100_000):\n    os.symlink('x' * 4_000, str(index))",
        _FAILS,
    ),
    "many_long_names": (
        "import os\nfor index in range(100_000):\n    os.mkdir(str(index).ljust(250, 'x'))",
        _FAILS,
    ),
    "invisible_output": (
        "import sys\nwhile True:\n    sys.stderr.write('\\u200b' * 1_000)",
        _ONLY_LIMITED,
    ),
    "streams_in_turn": (
        "import os\nwhile True:\n    os.write(1, b'\\r' * 99)\n    os.write(2, b'\\x1b]' * 50)",
        _ONLY_LIMITED,
    ),
    "thread_that_never_ends": (_THREAD_GOES_ON, _FAILS),
    "socket_buffers_of_threads": (_SOCKET_BUFFERS_OF_THREADS, _FAILS),
    **{name: (code, _FAILS_OR_CRASHES) for name, code in FILLING.items()},
}


# What only time can end gets little of it.
_WITHOUT_END = frozenset({
    "loop_forever", "loop_ignoring_signals", "loop_catching_everything", "sleep_forever",
    "wait_for_input_of_own_pipe", "hold_the_lock_in_c", "regular_expression", "stop_itself", "lock_flood",
    "signal_flood", "socket_buffers", "exception_whose_text_loops", "value_whose_repr_loops",
    "thread_that_never_ends",
})  # fmt: skip
# Long enough for the limit of processor time, which the kernel counts in whole seconds.
_UNTIL_PROCESSOR_LIMIT_MS = 60_000

ATTACKS: tuple[ExhaustionAttack, ...] = (
    ExhaustionAttack(
        name="spend_all_processor_time",
        code="while True:\n    pass",
        ends=_ONLY_LIMITED,
        timeout_ms=_UNTIL_PROCESSOR_LIMIT_MS,
    ),
    *(
        ExhaustionAttack(name=name, code=code, ends=ends, timeout_ms=500 if name in _WITHOUT_END else 15_000)
        for name, (code, ends) in _CODES.items()
    ),
)
