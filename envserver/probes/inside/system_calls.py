"""System calls that no sandbox may make: by name, and by the tricks that pass filters of other shapes."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import socket
import struct
from collections.abc import Callable

from .probing import PROBES, X86, attempt, call, probe

_CONTEXT = ctypes.c_ulong(0)
_BUFFER = ctypes.create_string_buffer(4096)
_PATH = ctypes.c_char_p(b"/tmp")
_ROOT = ctypes.c_char_p(b"/")
_NONE = ctypes.c_char_p(b"none")
_TMPFS = ctypes.c_char_p(b"tmpfs")
_NO_TIME = struct.pack("qq", 0, -1)  # refused as no time, so that no clock is set where nothing else refuses it
CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID = 0x10000000, 0x00020000, 0x40000000, 0x20000000

# name: (number on x86-64, number on arm64, arguments); arguments are such that the call would do its work, or
# fail with another error, where it is not filtered.
SYSTEM_CALLS: dict[str, tuple[int, int | None, tuple[object, ...]]] = {
    "io_uring_setup": (425, 425, (8, _BUFFER)),
    "io_uring_enter": (426, 426, (-1, 1, 0, 0, 0, 0)),
    "io_uring_register": (427, 427, (-1, 0, 0, 0)),
    "keyctl": (250, 219, (0, -3, 1)),
    "add_key": (248, 217, (ctypes.c_char_p(b"user"), ctypes.c_char_p(b"k"), ctypes.c_char_p(b"v"), 1, -2)),
    "request_key": (249, 218, (ctypes.c_char_p(b"user"), ctypes.c_char_p(b"k"), 0, 0)),
    "bpf": (321, 280, (0, _BUFFER, 72)),
    "perf_event_open": (298, 241, (_BUFFER, 0, -1, -1, 0)),
    "userfaultfd": (323, 282, (1,)),
    "ptrace": (101, 117, (0, 0, 0, 0)),
    "process_vm_readv": (310, 270, (1, _BUFFER, 1, _BUFFER, 1, 0)),
    "process_vm_writev": (311, 271, (1, _BUFFER, 1, _BUFFER, 1, 0)),
    "process_madvise": (440, 440, (0, 0, 0, 0, 0)),
    "pidfd_getfd": (438, 438, (0, 0, 0)),
    "kcmp": (312, 272, (os.getpid(), os.getpid(), 1, 0, 0)),
    "open_by_handle_at": (304, 265, (-100, _BUFFER, 0)),
    "name_to_handle_at": (303, 264, (-100, _PATH, _BUFFER, _BUFFER, 0)),
    "unshare_user": (272, 97, (CLONE_NEWUSER,)),
    "unshare_mount": (272, 97, (CLONE_NEWNS,)),
    "unshare_files": (272, 97, (0x400,)),
    "setns": (308, 268, (-1, 0)),
    "io_setup": (206, 0, (1, ctypes.byref(_CONTEXT))),
    "mount": (165, 40, (_NONE, _PATH, _TMPFS, 0, 0)),
    "umount2": (166, 39, (_PATH, 2)),
    "pivot_root": (155, 41, (_NONE, _NONE)),  # else the root of every process changed, where it is let through
    "chroot": (161, 51, (_PATH,)),
    "fsopen": (430, 430, (_TMPFS, 0)),
    "open_tree": (428, 428, (-100, _ROOT, 1)),
    "move_mount": (429, 429, (-100, _PATH, -100, _PATH, 0)),
    "mount_setattr": (442, 442, (-100, _PATH, 0, _BUFFER, 32)),
    "quotactl": (179, 60, (0x80000001, _PATH, 0, _BUFFER)),
    "syslog": (103, 116, (3, _BUFFER, 4096)),
    "clock_settime": (227, 112, (0, _NO_TIME)),
    "settimeofday": (164, 170, (_NO_TIME, 0)),
    "adjtimex": (159, 171, (_BUFFER,)),
    "clock_adjtime": (305, 266, (0, _BUFFER)),
    "fanotify_init": (300, 262, (0, 0)),
    "fanotify_mark": (301, 263, (-1, 1, 8, -100, _PATH)),
    "mbind": (237, 235, (0, 4096, 0, 0, 0, 0)),
    "set_mempolicy": (238, 237, (0, 0, 0)),
    "get_mempolicy": (239, 236, (0, 0, 0, 0, 0)),
    "migrate_pages": (256, 238, (0, 0, 0, 0)),
    "move_pages": (279, 239, (0, 0, 0, 0, 0, 0)),
    "splice": (275, 76, (-1, 0, -1, 0, 1, 0)),
    "tee": (276, 77, (-1, -1, 1, 0)),
    "vmsplice": (278, 75, (-1, _BUFFER, 1, 0)),
    "memfd_secret": (447, 447, (0,)),
    "cachestat": (451, 451, (-1, _BUFFER, _BUFFER, 0)),
    "statmount": (457, 457, (_BUFFER, _BUFFER, 512, 0)),
    "listmount": (458, 458, (_BUFFER, _BUFFER, 8, 0)),
    "mincore": (27, 232, (0, 0, 0)),
    "modify_ldt": (154, None, (0, _BUFFER, 16)),
    "iopl": (172, None, (3,)),
    "ioperm": (173, None, (0, 1, 1)),
    "kexec_load": (246, 104, (0, 0, 0, 0xFFFF)),  # no such flags: nothing that is loaded goes
    "init_module": (175, 105, (_BUFFER, 0, _BUFFER)),
    "finit_module": (313, 273, (-1, _BUFFER, 0)),
    "delete_module": (176, 106, (_NONE, 0)),
    "reboot": (169, 142, (0, 0, 0, 0)),
    "swapon": (167, 224, (_PATH, 0)),
    "acct": (163, 89, (0,)),
    "sethostname": (170, 161, (_NONE, 4)),
    "setdomainname": (171, 162, (_NONE, 4)),
    "vhangup": (153, 58, ()),
    "lookup_dcookie": (212, 18, (0, _BUFFER, 8)),
    "clone3": (435, 435, (_BUFFER, 64)),
}


def _system_call(name: str) -> Callable[[], str]:
    x86, arm, arguments = SYSTEM_CALLS[name]
    return lambda: call(x86, arm, *arguments)


PROBES.update({f"call_{name}": _system_call(name) for name in SYSTEM_CALLS})

# --- clone, sockets and their 64-bit tricks -------------------------------------------------------

for _name, _flag in {"user": CLONE_NEWUSER, "mount": CLONE_NEWNS, "net": CLONE_NEWNET, "pid": CLONE_NEWPID}.items():

    def _clone(flag: int = _flag) -> str:
        return call(56, 220, flag | signal.SIGCHLD, 0, 0, 0, 0)

    PROBES[f"clone_new_{_name}"] = _clone
    PROBES[f"clone_new_{_name}_high_bits"] = lambda flag=_flag: _clone(flag | 1 << 32)  # type: ignore[misc]

FAMILIES = {
    "alg": 38,
    "vsock": 40,
    "packet": 17,
    "bluetooth": 31,
    "can": 29,
    "tipc": 30,
    "rds": 21,
    "xdp": 44,
    "key": 15,
}
NETLINKS = {"xfrm": 6, "netfilter": 12, "audit": 9, "kobject_uevent": 15, "crypto": 21, "generic": 16, "sock_diag": 4}
for _name, _family in FAMILIES.items():
    PROBES[f"socket_{_name}"] = lambda family=_family: call(41, 198, family, 2, 0)  # type: ignore[misc]
    PROBES[f"socket_{_name}_high_bits"] = lambda family=_family: call(41, 198, family | 1 << 32, 2, 0)  # type: ignore[misc]
    PROBES[f"socketpair_{_name}"] = lambda family=_family: call(53, 199, family, 1, 0, _BUFFER)  # type: ignore[misc]
for _name, _protocol in NETLINKS.items():
    PROBES[f"netlink_{_name}"] = lambda number=_protocol: call(41, 198, 16, 3, number)  # type: ignore[misc]
    PROBES[f"netlink_{_name}_high_bits"] = lambda number=_protocol: call(41, 198, 16, 3, number | 1 << 32)  # type: ignore[misc]


_SO_ATTACH_FILTER, _SO_ATTACH_REUSEPORT_CBPF = 26, 51
_ACCEPT_ALL = struct.pack("HBBI", 0x06, 0, 0, 0xFFFF)


def _attach(option: int, level: int = socket.SOL_SOCKET) -> str:
    code = ctypes.create_string_buffer(_ACCEPT_ALL)
    program = struct.pack("HxxxxxxQ", 1, ctypes.addressof(code))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        return call(54, 208, one.fileno(), level, option, program, len(program))


PROBES["attach_a_filter"] = lambda: _attach(_SO_ATTACH_FILTER)
PROBES["attach_a_filter_high_bits"] = lambda: _attach(_SO_ATTACH_FILTER | 1 << 32)
PROBES["attach_a_filter_high_bits_of_the_level"] = lambda: _attach(_SO_ATTACH_FILTER, socket.SOL_SOCKET | 1 << 32)
PROBES["attach_a_reuseport_filter"] = lambda: _attach(_SO_ATTACH_REUSEPORT_CBPF)


@probe
def socket_raw() -> str:
    return attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close())


@probe
def personality_read_implies_exec() -> str:
    return call(135, 92, 0x0400000)


@probe
def personality_no_randomisation() -> str:
    return call(135, 92, 0x0040000)


@probe
def system_call_of_the_x32_table() -> str:
    return call(0x40000000 + 39, None)


@probe
def system_call_of_the_i386_table() -> str:
    """getpid(2) by `int 0x80`, which a 64-bit program may execute as well."""
    if not X86:
        return "absent"
    code = b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3"  # push rbx; mov eax, 20; int 0x80; pop rbx; ret
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    return "OK" if result == os.getpid() else errno.errorcode.get(-result, str(result))
