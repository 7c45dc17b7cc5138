"""What a child may do that runs somebody else's program: limits that it sets for itself before it loads the program.

On Linux the kernel keeps them, and no privilege is needed: resource limits (setrlimit), files (Landlock), processes
and the network (a seccomp filter). None of them can be undone by the process that asked for it. Elsewhere some are
missing, and `protections` says which before anything is run. Standard library alone; loaded by path in the child.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """What one child may use: bytes of address space, seconds of processor time, open files."""

    memory: int = 1 << 30
    cpu: int = 120
    files: int = 64


@dataclass(frozen=True)
class Protection:
    """Something that a submission cannot do here, and what keeps it from that; `by` is empty where nothing does."""

    what: str
    by: str


def protections() -> tuple[Protection, ...]:
    """What can be enforced on this system, asked of the system itself; nothing is changed by asking.

    >>> [protection.what for protection in protections()]
    ['time', 'memory', 'files', 'processes', 'network']
    """
    posix = os.name == "posix"
    landlock = "the kernel (Landlock)" if _landlock_version() >= 1 else ""
    seccomp = "the kernel (seccomp)" if _seccomp_works() else ""
    return (
        Protection("time", "the judge" if posix else ""),
        Protection("memory", "the kernel (setrlimit)" if sys.platform == "linux" else ""),
        Protection("files", landlock),
        Protection("processes", seccomp),
        Protection("network", seccomp),
    )


def confine(limits: Limits, folder: str) -> None:
    """Give up, for good, what a judged program does not need.

    It may read `folder`, Python's standard library and the system's shared libraries, and start threads. It may not
    write to any file, start processes, signal any, open sockets, change modes, owners or times of files, or raise its
    own limits. What this system cannot enforce is left out: ask `protections` first. OSError where the system has it
    and refuses.
    """
    _limit_resources(limits)
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl")
    if version := _landlock_version():
        _restrict_files(libc, version, [*_readable(), folder])
    if _seccomp_works():
        _filter_calls(libc)


def _limit_resources(limits: Limits) -> None:
    try:
        import resource
    except ImportError:
        return
    wanted = {
        "RLIMIT_AS": limits.memory if sys.platform == "linux" else None,
        "RLIMIT_CPU": limits.cpu,
        "RLIMIT_NOFILE": limits.files,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
    }
    for name, most in wanted.items():
        if most is not None:
            number = getattr(resource, name)
            hard = resource.getrlimit(number)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(number, (most, most))


def _readable() -> Iterator[str]:
    """The files and folders that Python reads while it runs: its library without what is installed into it."""
    for place in dict.fromkeys(map(sysconfig.get_path, ("stdlib", "platstdlib"))):
        for name in os.listdir(place):
            if name not in ("site-packages", "dist-packages"):
                yield os.path.join(place, name)
    yield from ("/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/urandom")
    # Shared libraries alone: Python packages may lie beside them.
    for folder in map(Path, ("/lib", "/lib64", "/usr/lib", "/usr/lib64")):
        for pattern in ("*-linux-*", "*.so", "*.so.*"):
            yield from map(str, folder.glob(pattern))
    library = sysconfig.get_config_var("LIBDIR")
    if library:
        yield from map(str, Path(library).glob("libpython*"))


_NO_NEW_PRIVILEGES, _SET_SECCOMP, _GET_SECCOMP = 38, 22, 21


def _checked(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


# Landlock: https://docs.kernel.org/userspace-api/landlock.html
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_ACCESS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many kinds of access to files each version of Landlock knows: the lowest so many bits."""


def _landlock_version() -> int:
    if sys.platform != "linux":
        return 0
    version = ctypes.CDLL(None, use_errno=True).syscall(_CREATE_RULESET, None, 0, 1)
    return int(max(0, version))


def _restrict_files(libc: ctypes.CDLL, version: int, readable: Iterable[str]) -> None:
    every = (1 << _FILE_ACCESS[min(version, 5)]) - 1
    # From version 4 on, connecting and binding over TCP; from 6 on, abstract sockets and signals to the outside.
    attributes = struct.pack("=QQQ", every, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _checked(libc.syscall(_CREATE_RULESET, attributes, size, 0), "landlock_create_ruleset")
    try:
        for path in readable:
            _allow(libc, ruleset, path)
        _checked(libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        access = _READ_FILE | _READ_DIR if os.path.isdir(path) else _READ_FILE
        # A packed structure: eight bytes of rights, four of the descriptor.
        rule = struct.pack("=Qi", access, place)
        _checked(libc.syscall(_ADD_RULE, ruleset, 1, rule, 0), f"landlock_add_rule for {path}")
    finally:
        os.close(place)


# Seccomp: a program for the kernel's packet filter looks at each system call.
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_CLONE, _CLONE3, _PRLIMIT, _FCNTL = (56, 220), (435, 435), (302, 261), (72, 25)
_OPEN, _OPENAT, _OPENAT2 = (2, None), (257, 56), (437, 437)
_THREAD, _TRUNCATE = 0x00010000, 0x200
# fmt: off
_DENIED = {
    "processes": ((57, None), (58, None), (59, 221), (322, 281)),  # fork, vfork, execve, execveat
    "signals and other processes": (  # ptrace, kill, tkill, tgkill, pidfd_*, rt_*sigqueueinfo, process_vm_*, kcmp
        (101, 117), (62, 129), (200, 130), (234, 131), (434, 434), (424, 424), (438, 438), (129, 138), (297, 240),
        (310, 270), (311, 271), (440, 440), (312, 272),
    ),
    "sockets": ((41, 198), (53, 199), (425, 425)),  # socket, socketpair, io_uring_setup
    "what outlives a process": (  # shm*, msg*, sem*, mq_open, mq_unlink: those that are there are found by number
        (29, 194), (30, 196), (31, 195), (68, 186), (69, 189), (70, 188), (71, 187), (64, 190), (65, 193), (66, 191),
        (220, 192), (240, 180), (241, 181),
    ),
    "watching others": (  # inotify_*, fanotify_*, syslog
        (253, None), (294, 26), (254, 27), (300, 262), (301, 263), (103, 116),
    ),
    "going before others": ((142, 118), (144, 119), (314, 274)),  # sched_setparam, sched_setscheduler, sched_setattr
    "cutting files": ((76, 45), (85, None)),  # truncate, creat: Landlock looks at these from its version 3 on
    "modes, owners, times and attributes": (  # Landlock does not look at these
        (90, None), (91, 52), (268, 53), (452, 452), (92, None), (93, 55), (94, None), (260, 54), (132, None),
        (235, None), (261, None), (280, 88), (188, 5), (189, 6), (190, 7), (463, 463), (197, 14), (198, 15), (199, 16),
        (466, 466), (469, 469),
    ),
    "the system": (  # mount and its kin, namespaces, bpf, perf, keys, modules, clocks, names, users, limits
        (165, 40), (166, 39), (272, 97), (308, 268), (161, 51), (155, 41), (321, 280), (298, 241), (250, 219),
        (248, 217), (249, 218), (323, 282), (160, 164), (169, 142), (167, 224), (168, 225), (175, 105), (313, 273),
        (176, 106), (246, 104), (320, 294), (164, 170), (227, 112), (305, 266), (159, 171), (170, 161), (171, 162),
        (141, 140), (203, 122), (251, 30), (428, 428), (429, 429), (430, 430), (431, 431), (432, 432), (442, 442),
        (467, 467), (172, None), (173, None), (303, 264), (304, 265), (179, 60), (163, 89), (105, 146), (106, 144), (117, 147), (119, 149),
        (116, 159), (126, 91), (135, 92), (447, 447),
    ),
}
# fmt: on
"""System calls that are refused, as (number on x86_64, number on aarch64)."""


def _seccomp_works() -> bool:
    if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES or sys.maxsize < 1 << 32:
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_GET_SECCOMP, 0, 0, 0, 0) >= 0)


def _filter_calls(libc: ctypes.CDLL) -> None:
    audit, column = _ARCHITECTURES[platform.machine()]
    denied = [pair[column] for group in _DENIED.values() for pair in group]
    program = list(_filter(audit, column, denied))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    code = b"".join(struct.pack("=HBBI", *line) for line in program)
    _checked(libc.prctl(_SET_SECCOMP, 2, ctypes.byref(Program(len(program), code)), 0, 0), "seccomp")


def _filter(audit: int, column: int, denied: Iterable[int | None]) -> Iterator[tuple[int, int, int, int]]:
    """The filter's lines: an operation, how many lines to skip when it is true and when it is not, and its operand."""
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill = 0x7FFF0000, 0x80000000
    refuse, missing = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
    number, architecture, first_low, second_low, third_low, third_high = 0, 4, 16, 24, 32, 36
    set_owner, set_owner_ex = 8, 15
    yield load, 0, 0, architecture
    yield equal, 1, 0, audit
    yield give, 0, 0, kill
    yield load, 0, 0, number
    # The x32 calls of x86_64 have numbers of their own.
    yield at_least, 0, 1, 0x40000000
    yield give, 0, 0, refuse
    for one in denied:
        if one is not None:
            yield equal, 0, 1, one
            yield give, 0, 0, refuse
    # Their flags are behind a pointer, which no filter can follow: the C library falls back to clone, and to openat.
    for pair in (_CLONE3, _OPENAT2):
        yield equal, 0, 1, pair[column]
        yield give, 0, 0, missing
    # Opening a file to read it can cut it: Landlock looks at that from its version 3 on.
    for call, flags in ((_OPEN[column], second_low), (_OPENAT[column], third_low)):
        if call is not None:
            yield equal, 0, 4, call
            yield load, 0, 0, flags
            yield any_bit, 0, 1, _TRUNCATE
            yield give, 0, 0, refuse
            yield give, 0, 0, allow
    yield equal, 0, 4, _CLONE[column]
    yield load, 0, 0, first_low
    yield any_bit, 1, 0, _THREAD
    yield give, 0, 0, refuse
    yield give, 0, 0, allow
    # The owner of a pipe is sent a signal when something comes, and the sender chooses which: no owners.
    yield equal, 0, 5, _FCNTL[column]
    yield load, 0, 0, second_low
    yield equal, 1, 0, set_owner
    yield equal, 0, 1, set_owner_ex
    yield give, 0, 0, refuse
    yield give, 0, 0, allow
    # Limits may be asked for, and not set.
    yield equal, 0, 5, _PRLIMIT[column]
    yield load, 0, 0, third_low
    yield equal, 0, 2, 0
    yield load, 0, 0, third_high
    yield equal, 1, 0, 0
    yield give, 0, 0, refuse
    yield give, 0, 0, allow
