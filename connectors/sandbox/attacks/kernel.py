"""Attacks that only need to reach a part of the kernel: each is a raw call which must be refused as such."""

# Every attack takes the target, whether it aims at it or not, and doing the unsafe thing is the purpose.
# ruff: noqa: ARG001

from __future__ import annotations

from connectors.sandbox.attacks.attack import IsolationAttack, Target, isolation, source_of


def call(target: Target, x86_64: int, aarch64: int, *arguments: int) -> str | None:
    import ctypes
    import errno
    import os

    number = {"x86_64": x86_64, "aarch64": aarch64}[os.uname().machine]
    if number < 0:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    code = ctypes.get_errno()
    # Any other error means that the kernel looked at the request, and only its details were wrong.
    if result == -1 and code in (errno.EPERM, errno.ENOSYS):
        return None
    return f"the call reached the kernel: result {result}, {errno.errorcode.get(code, code)}"


def raise_filter_with_x32(target: Target) -> str | None:
    import ctypes
    import os

    if os.uname().machine != "x86_64":
        raise OSError("only on x86_64")
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(ctypes.c_long(0x40000000 + 39))
    return f"an x32 call returned {result}"


def raise_filter_with_int80(target: Target) -> str | None:
    import ctypes
    import mmap
    import os

    if os.uname().machine != "x86_64":
        raise OSError("only on x86_64")
    # mov eax, 20 (getpid of the 32-bit table); int 0x80; ret
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    return f"a 32-bit call returned {function()}"


def loosen_filter(target: Target) -> str | None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    # PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_SECUREBITS
    allowed = [name for name in (22, 38, 4, 24, 28) if libc.prctl(name, 0, 0, 0, 0) == 0]
    return f"prctl {allowed} was allowed" if allowed else None


def new_namespace_by_thread_flag(target: Target) -> str | None:
    import ctypes
    import errno
    import os

    number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
    libc = ctypes.CDLL(None, use_errno=True)
    for namespace in (0x10000000, 0x00020000, 0x20000000, 0x40000000):
        result = libc.syscall(ctypes.c_long(number), ctypes.c_long(0x00010F00 | namespace), 0, 0, 0, 0)
        if result != -1 or ctypes.get_errno() != errno.EPERM:
            return f"clone with a thread flag and namespace {namespace:#x} reached the kernel"
    return None


def lock_file_of_host(target: Target) -> str | None:
    import fcntl
    import os

    # A lock that is had is real when a second one of the same file is refused.
    kept = open(os.__file__, "rb")  # noqa: SIM115
    fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(os.__file__, "rb") as second:
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return f"{os.__file__} is locked for every process of the host"
    return None


def rename_process(target: Target) -> str | None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    name = ctypes.create_string_buffer(b"sshd\x1b[2J", 16)
    libc.prctl(15, name, 0, 0, 0)
    found = ctypes.create_string_buffer(16)
    libc.prctl(16, found, 0, 0, 0)
    return f"the process is called {found.value!r}" if found.value == name.value else None


def take_page_of_library_from_cache(target: Target) -> str | None:
    import errno
    import os

    descriptor = os.open(os.__file__, os.O_RDONLY)
    try:
        # Only where the call is looked at does nonsense make it fail.
        os.posix_fadvise(descriptor, 0, 0, 4_000)
    except OSError as error:
        return "the advice reached the kernel" if error.errno == errno.EINVAL else None
    finally:
        os.close(descriptor)
    return None


# name: numbers on x86_64 and aarch64 (-1: none there), then the arguments. None of them could do harm if it
# were let through: descriptors and addresses are invalid.
_CALLS: dict[str, tuple[int, ...]] = {
    "unshare": (272, 97, 0x10000000),
    "setns": (308, 268, -1, 0),
    "clone_process": (56, 220, 17, 0, 0, 0, 0),
    "clone_new_user": (56, 220, 0x10000011, 0, 0, 0, 0),
    "vfork": (58, -1),
    "clone3": (435, 435, 0, 0),
    "execve": (59, 221, 0, 0, 0),
    "execveat": (322, 281, -1, 0, 0, 0, 0),
    "mount": (165, 40, 0, 0, 0, 0, 0),
    "umount2": (166, 39, 0, 0),
    "pivot_root": (155, 41, 0, 0),
    "chroot": (161, 51, 0),
    "move_mount": (429, 429, -1, 0, -1, 0, 0),
    "open_tree": (428, 428, -1, 0, 0),
    "fsopen": (430, 430, 0, 0),
    "fsconfig": (431, 431, -1, 0, 0, 0, 0),
    "mount_setattr": (442, 442, -1, 0, 0, 0, 0),
    "bpf": (321, 280, 0, 0, 0),
    "io_uring_setup": (425, 425, 1, 0),
    "io_uring_enter": (426, 426, -1, 0, 0, 0, 0, 0),
    "io_uring_register": (427, 427, -1, 0, 0, 0),
    "io_setup": (206, 0, 1, 0),
    "userfaultfd": (323, 282, 0),
    "keyctl": (250, 219, 0, 0, 0, 0, 0),
    "add_key": (248, 217, 0, 0, 0, 0, 0),
    "request_key": (249, 218, 0, 0, 0, 0),
    "perf_event_open": (298, 241, 0, 0, -1, -1, 0),
    "kexec_load": (246, 104, 0, 0, 0, 0),
    "kexec_file_load": (320, 294, -1, -1, 0, 0, 0),
    "init_module": (175, 105, 0, 0, 0),
    "finit_module": (313, 273, -1, 0, 0),
    "delete_module": (176, 106, 0, 0),
    "personality": (135, 92, 0xFFFFFFFF),
    "ptrace": (101, 117, 0, 0, 0, 0),
    "process_vm_readv": (310, 270, 1, 0, 0, 0, 0, 0),
    "process_vm_writev": (311, 271, 1, 0, 0, 0, 0, 0),
    "process_madvise": (440, 440, -1, 0, 0, 0, 0),
    "pidfd_open": (434, 434, 1, 0),
    "pidfd_getfd": (438, 438, -1, 0, 0),
    "pidfd_send_signal": (424, 424, -1, 0, 0, 0),
    "kcmp": (312, 272, 1, 1, 0, 0, 0),
    "rt_sigqueueinfo": (129, 138, 1, 0, 0),
    "rt_tgsigqueueinfo": (297, 240, 1, 1, 0, 0),
    "tkill": (200, 130, 1, 0),
    "name_to_handle_at": (303, 264, -1, 0, 0, 0, 0),
    "open_by_handle_at": (304, 265, -1, 0, 0),
    "openat2": (437, 437, -1, 0, 0, 0),
    "memfd_create": (319, 279, 0, 0),
    "memfd_secret": (447, 447, 0),
    "shmget": (29, 194, 0, 4096, 0o1600),
    "shmat": (30, 196, -1, 0, 0),
    "msgget": (68, 186, 0, 0o1600),
    "semget": (64, 190, 0, 1, 0o1600),
    "mq_open": (240, 180, 0, 0, 0, 0),
    "timer_create": (222, 107, 99, 0, 0),
    "timerfd_create": (283, 85, 99, 0),
    "signalfd4": (289, 74, -1, 0, 8, 0),
    "inotify_init1": (294, 26, -1),
    "fanotify_init": (300, 262, 0, 0),
    "setpriority": (141, 140, 0, 1, 0),
    "ioprio_set": (251, 30, 1, 1, 0),
    "sched_setattr": (314, 274, 1, 0, 0),
    "sched_setaffinity": (203, 122, 1, 0, 0),
    "migrate_pages": (256, 238, 1, 0, 0, 0),
    "move_pages": (279, 239, 1, 0, 0, 0, 0, 0),
    "mbind": (237, 235, 0, 0, 99, 0, 0, 0),
    "mlockall": (151, 230, 99),
    "swapon": (167, 224, 0, 0),
    "reboot": (169, 142, 0, 0, 0, 0),
    "sethostname": (170, 161, 0, 0),
    "settimeofday": (164, 170, 0, 0),
    "clock_settime": (227, 112, 99, 0),
    "adjtimex": (159, 171, 0),
    "acct": (163, 89, 0),
    "quotactl": (179, 60, 0, 0, 0, 0),
    "syslog": (103, 116, 99, 0, 0),
    "iopl": (172, -1, 0),
    "ioperm": (173, -1, 0, 0, 0),
    "modify_ldt": (154, -1, 99, 0, 0),
    "lookup_dcookie": (212, 18, 0, 0, 0),
    "vmsplice": (278, 75, -1, 0, 0, 0),
    "splice": (275, 76, -1, 0, -1, 0, 0, 0),
    "tee": (276, 77, -1, -1, 0, 0),
    "mknod": (133, -1, 0, 0, 0),
    "mknodat": (259, 33, -1, 0, 0, 0),
    "truncate": (76, 45, 0, 0),
    "setuid": (105, 146, 0),
    "setresuid": (117, 147, 0, 0, 0),
    "setgroups": (116, 159, 0, 0),
    "capset": (126, 91, 0, 0),
    "seccomp": (317, 277, 99, 0, 0),
    "landlock_create_ruleset": (444, 444, 0, 0, 99),
    "socket": (41, 198, 2, 1, 0),
    "connect": (42, 203, -1, 0, 0),
    "sendmsg": (46, 211, -1, 0, 0),
    "recvmsg": (47, 212, -1, 0, 0),
    "setsockopt": (54, 208, -1, 0, 0, 0, 0),
    "prlimit_other": (302, 261, 1, 7, 0, 0),
    "kill_other": (62, 129, 999999, 0),
    "fcntl_setown": (72, 25, 1, 8, 1),
    "ioctl_tiocsti": (16, 29, 99, 0x5412, 0),
    "ioctl_tiocsti_high_bits": (16, 29, 99, 0x1_0000_5412, 0),
    "ioctl_fioasync": (16, 29, 99, 0x5452, 0),
    "prctl_pdeathsig_high_bits": (157, 167, 0x1_0000_0001, 99, 0, 0, 0),
    "socketpair_inet": (53, 199, 2, 1, 0, 0),
    "socketpair_datagram": (53, 199, 1, 2, 0, 0),
    "sendto_with_address": (44, 206, 99, 0, 0, 0, 4096, 16),
    "sendto_with_high_address": (44, 206, 99, 0, 0, 0, 0x1_0000_0000, 16),
    "mmap_huge_pages": (9, 222, 0, 0, 0, 0x40022, -1, 0),
    "madvise_merge_pages": (28, 233, 0, 4096, 12),
    "futex_with_priority": (202, 98, 0, 6, 0, 0, 0, 0),
    "futex_wake_of_others": (202, 98, 0, 1, 1, 0, 0, 0),
    "mincore": (27, 232, 0, 0, 0),
    "pidfd_of_itself": (434, 434, 0, 0),
    "io_pgetevents": (333, 292, 0, 0, 0, 0, 0, 0),
    "rt_sigqueueinfo_to_all": (129, 138, -1, 9, 0),
    "prctl_set_mm": (157, 167, 35, 99, 0, 0, 0),
    "prctl_set_ptracer": (157, 167, 0x59616D61, -1, 0, 0, 0),
    "prctl_child_subreaper": (157, 167, 36, 1, 0, 0, 0),
    "prctl_timing": (157, 167, 14, 99, 0, 0, 0),
    "prctl_speculation": (157, 167, 53, 99, 0, 0, 0),
    "prctl_core_scheduling": (157, 167, 62, 99, 0, 0, 0),
    "fcntl_lease": (72, 25, 99, 1024, 1),
    "fcntl_notify": (72, 25, 99, 1026, 1),
    "fcntl_pipe_size": (72, 25, 99, 1031, 1 << 20),
    "fcntl_seals": (72, 25, 99, 1033, 1),
    "socket_vsock": (41, 198, 40, 1, 0),
    "socket_alg": (41, 198, 38, 5, 0),
    "socket_netlink": (41, 198, 16, 3, 0),
    "socket_packet": (41, 198, 17, 3, 0),
    "statmount": (457, 457, 0, 0, 0, 0),
    "listmount": (458, 458, 0, 0, 0, 0),
    "cachestat": (451, 451, -1, 0, 0, 0),
    "lsm_set_self_attr": (460, 460, 0, 0, 0, 0),
    "close_range_unshare": (436, 436, 0x7FFFFFF0, 0x7FFFFFFF, 2),
    "clone_own_descriptors": (56, 220, 0x3D0B00, 0, 0, 0, 0),
    "clone_own_file_system": (56, 220, 0x3D0D00, 0, 0, 0, 0),
    "clone_traced": (56, 220, 0x3D2F00, 0, 0, 0, 0),
    "preadv2_nowait": (327, 286, -1, 0, 0, 0, 0, 8),
    "preadv2_high_priority": (327, 286, -1, 0, 0, 0, 0, 1),
    "pwritev2_dsync": (328, 287, -1, 0, 0, 0, 0, 2),
    "pwritev2_sync": (328, 287, -1, 0, 0, 0, 0, 4),
    "renameat2_whiteout": (316, 276, -1, 0, -1, 0, 4),
    "renameat2_exchange": (316, 276, -1, 0, -1, 0, 2),
    "recvfrom_out_of_band": (45, 207, -1, 0, 0, 1, 0, 0),
    "recvfrom_error_queue": (45, 207, -1, 0, 0, 0x2000, 0, 0),
    "sendto_out_of_band": (44, 206, -1, 0, 0, 1, 0, 0),
    "sendto_zero_copy": (44, 206, -1, 0, 0, 0x4000000, 0, 0),
    "getsockopt_peer": (55, 209, -1, 1, 17, 0, 0),
    "getsockopt_peer_descriptor": (55, 209, -1, 1, 77, 0, 0),
    "getsockopt_filter": (55, 209, -1, 1, 26, 0, 0),
    "openat_synchronous": (257, 56, -1, 0, 0x101000),
    "openat_data_synchronous": (257, 56, -1, 0, 0x1000),
    "openat_without_name": (257, 56, -1, 0, 0x400002),
    "openat_signalling": (257, 56, -1, 0, 0x2000),
    "mkdirat_unlistable": (258, 34, -1, 0, 0o300),
    "mkdirat_closed": (258, 34, -1, 0, 0),
    "pipe2_notifications": (293, 59, 0, 0x80),
    "pipe2_packets": (293, 59, 0, 0x4000),
    "arch_prctl": (158, -1, 99, 0),
    "membarrier": (324, 283, 0, 0, 0),
    "set_robust_list": (273, 99, 0, 0),
    "clock_of_other_process": (228, 113, -14, 0),
    "nanosleep_by_clock_of_other": (230, 115, -14, 0, 0, 0),
    "getsid_other": (124, 156, 1),
    "getpgid_other": (121, 155, 1),
    "sched_getaffinity_other": (204, 123, 1, 8, 0),
    "mmap_locked": (9, 222, 0, 4096, 0, 0x2022, -1, 0),
    "mmap_growing": (9, 222, 0, 4096, 0, 0x122, -1, 0),
    "fcntl_signalling": (72, 25, -1, 4, 0x2000),
    "prlimit_processor_time": (302, 261, 0, 0, 4096, 0),
    "mincore_of_library": (27, 232, 4096, 4096, 0),
    "readahead": (187, 213, -1, 0, 4096),
    "sync": (162, 81),
    "syncfs": (306, 267, -1),
    "sync_file_range": (277, 84, -1, 0, 0, 0),
    "getrusage": (98, 165, 99, 0),
    "statfs": (137, 43, 0, 0),
    "sysinfo": (99, 179, 0),
    "setrlimit": (160, 164, 99, 0),
    "madvise_populate": (28, 233, 0, 4096, 22),
    "madvise_page_out": (28, 233, 0, 4096, 21),
    "preadv2_uncached": (327, 286, -1, 0, 0, 0, 0, 0x80),
    "pwritev2_atomic": (328, 287, -1, 0, 0, 0, 0, 0x40),
    "ioctl_set_flags": (16, 29, 99, 0x40086602),
    "ioctl_clone": (16, 29, 99, 0x40049409),
    "tgkill_processor_limit": (234, 131, 1, 1, 24),
    "file_setattr": (469, 469, -1, 0, 0, 0, 0),
    "setxattrat": (463, 463, -1, 0, 0, 0, 0, 0),
    "futex_waitv": (449, 449, 0, 0, 0, 0, 0),
    "pkey_alloc": (330, 289, 99, 0),
    "mseal": (462, 462, 0, 0, 99),
    "no_such_call": (9999, 9999),
}

ATTACKS: tuple[IsolationAttack, ...] = (
    *(
        IsolationAttack(
            name=f"call_{name}",
            group="kernel",
            source=source_of(call),
            arguments=arguments,
            canary=name in ("unshare", "mount", "bpf", "io_uring_setup", "ptrace", "shmget", "userfaultfd"),
            succeeds_outside=name in ("io_uring_setup", "memfd_create", "timer_create", "splice", "openat2"),
        )
        for name, arguments in _CALLS.items()
    ),
    *isolation("kernel", loosen_filter, new_namespace_by_thread_flag),
    *isolation(
        "kernel", lock_file_of_host, rename_process, take_page_of_library_from_cache, succeeds_outside=True
    ),
    *isolation("kernel", raise_filter_with_x32, raise_filter_with_int80, alone=True),
)
