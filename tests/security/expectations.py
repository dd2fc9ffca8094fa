"""What each probe of inside/ must report, where the control that it tries holds."""

from __future__ import annotations

EPERM, ENOSYS, EACCES = frozenset(("EPERM",)), frozenset(("ENOSYS",)), frozenset(("EACCES",))
ABSENT = frozenset(("absent",))
NONE = frozenset(("none",))
KILLED = frozenset(("killed by SIGSYS",))
UNREACHABLE = frozenset(("ENETUNREACH",))

_FALLS_BACK = """
io_uring_setup userfaultfd memfd_secret splice tee vmsplice cachestat statmount listmount clone3
""".split()
"""Answered "not in this kernel", so that programs fall back instead of failing."""

EXPECTED: dict[str, frozenset[str]] = {
    **{f"call_{name}": ENOSYS for name in _FALLS_BACK},
    "system_call_of_the_x32_table": KILLED | ENOSYS | ABSENT,
    "system_call_of_the_i386_table": KILLED | ABSENT,
    "mknod_fifo": frozenset(("OK",)),
    "devices": frozenset(("fd full null ptmx pts random shm stderr stdin stdout tty urandom zero",)),
    "block_devices_and_raw_memory": NONE,
    "writing_to_dev": frozenset(("EROFS",)),
    "writable_kernel_files": NONE,
    "readable_secrets": NONE,
    "sys_is_empty": NONE,
    "control_groups_named": frozenset(("/",)),
    "list_the_control_directory": EACCES,
    "dial_the_agent": EACCES,
    "replace_the_agent": EACCES,
    "set_uid_programs": frozenset(("1000 1000",)),
    "capabilities": frozenset((" ".join(["0" * 16] * 4 + ["1", "2"]),)),
    "give_up_no_new_privileges": frozenset(("EINVAL",)),
    "interfaces": frozenset(("lo",)),
    "connect_internet": UNREACHABLE,
    "connect_metadata": UNREACHABLE,
    "connect_docker_gateway": UNREACHABLE,
    "connect_internet_6": UNREACHABLE,
    "send_datagram": UNREACHABLE,
    "resolve_a_name": frozenset(("gaierror",)),
    "abstract_sockets": NONE,
    "connect_host_abstract_socket": frozenset(("ECONNREFUSED",)),
    "fill_shared_memory": frozenset(("ENOSPC",)),
    "exhaust_shared_memory_inodes": frozenset(("ENOSPC",)),
    "other_tmpfs": frozenset(("/dev/shm",)),
    "dump_core": frozenset(("EPERM none",)),
    "message_queues": frozenset(("EMFILE",)),
    "write_system_files": EACCES,
    "host_paths": NONE,
}
"""Every other probe must report EPERM."""

ABSENT_ON_ARM = frozenset(("call_modify_ldt", "call_iopl", "call_ioperm", "mknod_high_bits"))


def holds(name: str, outcome: str) -> bool:
    """Whether the control that the probe tries was there."""
    return outcome in EXPECTED.get(name, EPERM) or (name in ABSENT_ON_ARM and outcome == "absent")
