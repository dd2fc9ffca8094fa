"""Every probe: what it tries, which outcomes show that its control held, and where and why a runtime differs.

The entries of system calls, socket families and netlink protocols are made from the tables of `inside/system_calls.py`,
so that none is tried without a condition. `tests/security` takes each control away and sees the probe notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from envserver.probes import kept
from envserver.probes.base import Category, Control, Difference, Place, Probe
from envserver.probes.inside import system_calls

EPERM, ENOSYS, EACCES = frozenset(("EPERM",)), frozenset(("ENOSYS",)), frozenset(("EACCES",))
NONE, UNREACHABLE, NO_SPACE = frozenset(("none",)), frozenset(("ENETUNREACH",)), frozenset(("ENOSPC",))
QUOTA, LEFT_ALONE, BOUNDED = frozenset(("EDQUOT", "ENOSPC")), frozenset(("OK",)), frozenset(("bounded",))
REFUSED, NOT_FOUND, HUNG_UP = frozenset(("refused",)), frozenset(("ENOENT",)), frozenset(("hung up",))
MALFORMED, BAD_REQUEST = frozenset(("GuestMalformed",)), frozenset(("bad_request",))

_FALLS_BACK = """
io_setup io_uring_setup userfaultfd memfd_secret splice tee vmsplice cachestat statmount listmount clone3
""".split()
"""Answered "not in this kernel", so that programs fall back instead of failing."""
_ONLY_X86 = {"modify_ldt", "iopl", "ioperm"}
_PRIVILEGED = """
quotactl syslog settimeofday mount umount2 pivot_root chroot fsopen open_tree move_mount mount_setattr fanotify_init
kexec_load init_module finit_module delete_module reboot swapon acct sethostname setdomainname vhangup adjtimex
clock_adjtime clock_settime bpf perf_event_open setns unshare_mount lookup_dcookie open_by_handle_at ptrace
""".split()
"""Calls that the kernel refuses an unprivileged user as well: only both together, taken away, let them through."""


def _call(name: str) -> Probe:
    passes = ENOSYS if name in _FALLS_BACK else EPERM
    control = Control.PRIVILEGES if name in _PRIVILEGED else Control.SYSTEM_CALLS
    category = Category.EXHAUSTION if name == "io_setup" else Category.ESCAPE
    tries = f"make the system call {name.replace('_', ' ') if name.startswith('unshare') else name}(2) by its number"
    return _probe(f"call_{name}", category, tries, passes | ({"absent"} if name in _ONLY_X86 else set()), control)


def _probe(
    name: str,
    category: Category,
    tries: str,
    passes: Iterable[str],
    control: Control,
    place: Place = Place.QUIET,
    docker: tuple[Iterable[str], str] | None = None,
) -> Probe:
    differs: Mapping[str, Difference] = {}
    if docker is not None:
        differs = {"docker": Difference(frozenset(docker[0]), docker[1])}
    return Probe(name, category, tries, frozenset(passes), control, place, differs, kept.reasons(name, control))


def _families() -> Iterable[Probe]:
    for name in system_calls.FAMILIES:
        for probe, how in (
            (f"socket_{name}", "open a socket"),
            (f"socket_{name}_high_bits", "open a socket, a high bit of the family set,"),
            (f"socketpair_{name}", "open a pair of sockets"),
        ):
            control = Control.PRIVILEGES if name in ("packet", "xdp") else Control.SYSTEM_CALLS
            yield _probe(probe, Category.EGRESS, f"{how} of the family {name}", EPERM, control)
    for name in system_calls.NETLINKS:
        for probe, how in ((f"netlink_{name}", ""), (f"netlink_{name}_high_bits", ", a high bit of its number set")):
            tries = f"open a socket of the netlink protocol {name}{how}"
            yield _probe(probe, Category.ESCAPE, tries, EPERM, Control.SYSTEM_CALLS)
    for name in ("user", "mount", "net", "pid"):
        for probe, how in ((f"clone_new_{name}", ""), (f"clone_new_{name}_high_bits", ", a high bit of the flags set")):
            control = Control.SYSTEM_CALLS if name == "user" else Control.PRIVILEGES
            yield _probe(probe, Category.ESCAPE, f"clone into a {name} namespace{how}", EPERM, control)


_E, _P, _X, _N, _L, _C = Category
_ESCAPES = (
    _probe("system_call_of_the_x32_table", _E, "make a system call of the x32 table",
           ("killed by SIGSYS", "ENOSYS", "absent"), Control.SYSTEM_CALLS),
    _probe("system_call_of_the_i386_table", _E, "make a system call by int 0x80",
           ("killed by SIGSYS", "absent"), Control.SYSTEM_CALLS),
    _probe("personality_read_implies_exec", _E, "make all readable memory executable", EPERM, Control.SYSTEM_CALLS),
    _probe("personality_no_randomisation", _E, "switch the randomisation of addresses off", EPERM,
           Control.SYSTEM_CALLS),
    _probe("socket_raw", _N, "open a raw socket", EPERM, Control.PRIVILEGES),
    _probe("mknod_character", _E, "make a character device", EPERM, Control.PRIVILEGES),
    _probe("mknod_block", _E, "make a block device", EPERM, Control.PRIVILEGES),
    _probe("mknod_high_bits", _E, "make a device, a high bit of the mode set", ("EPERM", "absent"), Control.PRIVILEGES),
    _probe("mknod_fifo", _E, "make a named pipe, which shells need: it must work", LEFT_ALONE, Control.SYSTEM_CALLS),
    _probe("devices", _E, "find a device that holds anything of the host", NONE, Control.DEVICES),
    _probe("block_devices_and_raw_memory", _E, "open disks, raw memory, loop devices, FUSE or KVM", NONE,
           Control.DEVICES),
    _probe("writing_to_dev", _E, "make a file in /dev", ("EROFS",), Control.DEVICES,
           docker=(("EACCES",), "the Engine's /dev is a writable file system of the sandbox's own, and root's")),
    _probe("writable_kernel_files", _E, "write to files of /proc and /sys that act on the kernel", NONE, Control.MASKS),
    _probe("readable_secrets", _E, "read the agent's memory, kernel addresses and password hashes", NONE,
           Control.MASKS),
    _probe("sys_is_empty", _E, "find anything in /sys", NONE, Control.MASKS),
    _probe("control_groups_named", _E, "read where its control groups are on the host", ("/",), Control.CONTROL_GROUPS),
    _probe("host_paths", _E, "find directories of the host", NONE, Control.SEPARATE_ROOTS),
    _probe("mounts_named", _E, "find a mount that is not of the template", NONE, Control.SEPARATE_ROOTS),
    _probe("hard_link_to_a_root_file", _E, "link a file of root's into its own directory", EPERM, Control.ROOT,
           docker=(("EXDEV",), "the workspace is a file system of its own")),
    _probe("write_system_files", _E, "write to programs and settings of the image", EACCES, Control.ROOT,
           docker=(("EACCES EROFS", "EROFS"), "the image is read-only beneath the owners' rights")),
)  # fmt: skip
_PRIVILEGES = (
    _probe("become_root", _P, "set its uid, gid and groups to root's", EPERM, Control.PRIVILEGES),
    _probe("set_uid_programs", _P, "gain another uid by set-uid programs, the image's and its own", ("unchanged",),
           Control.NO_NEW_PRIVILEGES),
    _probe("capabilities", _P, "hold any capability, or run without the filter",
           (" ".join(["0" * 16] * 4 + ["1", "2"]),), Control.PRIVILEGES),
    _probe("give_up_no_new_privileges", _P, "take no_new_privs back", ("EINVAL 1",), Control.NO_NEW_PRIVILEGES),
    _probe("raise_open_files", _P, "raise its hard limit of open files", EPERM, Control.PRIVILEGES),
    _probe("raise_pending_signals", _P, "raise its hard limit of queued signals", EPERM, Control.PRIVILEGES,
           Place.WORN),
    _probe("raise_priority", _P, "raise its priority", EACCES, Control.PRIVILEGES, Place.WORN),
    _probe("schedule_in_real_time", _P, "be scheduled before all others", EPERM, Control.PRIVILEGES, Place.WORN),
)  # fmt: skip
_EXHAUSTION = (
    _probe("fork_processes", _X, "fork without end", ("EAGAIN",), Control.PIDS, Place.WORN),
    _probe("start_threads", _X, "start threads without end", ("EAGAIN",), Control.PIDS, Place.WORN),
    _probe("fill_memory", _X, "take memory without end", ("killed by SIGKILL", "no answer in time"), Control.MEMORY,
           Place.WORN),  # on a busy host the kernel may look for pages for longer than a probe has
    _probe("fill_pipes", _X, "take memory by full pipes", ("EPERM", "EMFILE", "killed by SIGKILL"),
           Control.MEMORY, Place.WORN),
    _probe("fill_the_workspace", _X, "fill the disk from /workspace", QUOTA, Control.DISK, Place.WORN),
    _probe("fill_the_home", _X, "fill the disk from /home/user", QUOTA, Control.DISK, Place.WORN),
    _probe("fill_temporary_files", _X, "fill the disk from /tmp", QUOTA, Control.DISK, Place.WORN),
    _probe("fill_a_sparse_file", _X, "fill the disk through the holes of a sparse file", QUOTA, Control.DISK,
           Place.WORN),
    _probe("reserve_the_disk", _X, "reserve disk without writing", QUOTA, Control.DISK, Place.WORN),
    _probe("fill_the_disk_with_small_files", _X, "fill the disk with inodes and long names", QUOTA, Control.DISK,
           Place.WORN),
    _probe("fill_shared_memory", _X, "fill /dev/shm", NO_SPACE, Control.SHARED_MEMORY),
    _probe("exhaust_shared_memory_inodes", _X, "fill /dev/shm with inodes", NO_SPACE, Control.SHARED_MEMORY),
    _probe("other_tmpfs", _X, "find another writable memory file system", ("/dev/shm",), Control.SEPARATE_ROOTS),
    _probe("open_files", _X, "open files without end", ("EMFILE",), Control.DESCRIPTORS, Place.WORN),
    _probe("open_sockets", _X, "open sockets without end", ("EMFILE",), Control.DESCRIPTORS, Place.WORN),
    _probe("open_terminals", _X, "take the terminals of the host", ("ENOSPC",), Control.TERMINALS, Place.WORN),
    _probe("queue_signals", _X, "take the queued signals of the host", ("EAGAIN",), Control.SIGNALS, Place.WORN),
    _probe("make_timers", _X, "take them by timers", ("EAGAIN",), Control.SIGNALS, Place.WORN),
    _probe("fill_stream_sockets", _X, "take memory by TCP buffers of the loopback", BOUNDED, Control.SOCKET_MEMORY,
           Place.WORN),
    _probe("fill_datagram_sockets", _X, "take memory by UDP buffers of the loopback", BOUNDED, Control.SOCKET_MEMORY,
           Place.WORN),
    _probe("system_v_segments", _X, "take memory by System V segments", NO_SPACE, Control.SYSTEM_V, Place.WORN),
    _probe("system_v_queues", _X, "take memory by System V queues", NO_SPACE, Control.SYSTEM_V, Place.WORN),
    _probe("message_queues", _X, "take memory by POSIX message queues", ("EMFILE",), Control.RESOURCE_LIMITS),
    _probe("dump_core", _X, "raise the limit of core dumps and dump one", ("EPERM none",), Control.RESOURCE_LIMITS),
    *(_probe(name, _X, f"take the host's memory for machine code by {how}", EPERM, Control.SYSTEM_CALLS)
      for name, how in (
        ("attach_a_filter", "a socket's filter"),
        ("attach_a_filter_high_bits", "a socket's filter, a high bit of the option set"),
        ("attach_a_filter_high_bits_of_the_level", "a socket's filter, a high bit of the level set"),
        ("attach_a_reuseport_filter", "a filter among sockets of one port"),
    )),
    _probe("burn_processor", _X, "use more processor time than it has", BOUNDED, Control.PROCESSOR, Place.OUTSIDE),
    _probe("flood_output", _X, "print without end", ("stopped",), Control.FRAME_RULES, Place.OUTSIDE),
    _probe("outlive_a_step", _X, "leave a process behind that no step waits for", ("0",), Control.AGENT, Place.OUTSIDE),
)  # fmt: skip
_EGRESS = (
    _probe("interfaces", _N, "find an interface beyond loopback", ("lo",), Control.NETWORK),
    _probe("connect_internet", _N, "connect to an address of the internet", UNREACHABLE, Control.NETWORK),
    _probe("connect_internet_6", _N, "connect to one of IPv6", UNREACHABLE, Control.NETWORK),
    _probe("connect_metadata", _N, "connect to a cloud's metadata service", UNREACHABLE, Control.NETWORK),
    _probe("connect_docker_gateway", _N, "connect to the host", UNREACHABLE, Control.NETWORK),
    _probe("send_datagram", _N, "send a datagram to a resolver", UNREACHABLE, Control.NETWORK),
    _probe("resolve_a_name", _N, "resolve a name", ("gaierror",), Control.NETWORK),
    _probe("abstract_sockets", _N, "see abstract sockets of the host", NONE, Control.NETWORK),
    _probe("connect_host_abstract_socket", _N, "connect to an abstract socket of the server's", ("ECONNREFUSED",),
           Control.NETWORK),
)  # fmt: skip
_LEAKAGE = (
    _probe("leak_files", _L, "find files that a neighbour planted", NONE, Control.SEPARATE_ROOTS, Place.OUTSIDE),
    _probe("leak_processes", _L, "see a neighbour's processes", NONE, Control.PROCESSES, Place.OUTSIDE),
    _probe("leak_abstract_sockets", _L, "connect to a neighbour's abstract socket", ("ECONNREFUSED",), Control.NETWORK,
           Place.OUTSIDE),
    _probe("leak_loopback", _L, "connect to a neighbour's loopback", ("ECONNREFUSED",), Control.NETWORK, Place.OUTSIDE),
    _probe("leak_system_v_memory", _L, "find a neighbour's System V memory", NOT_FOUND, Control.IPC, Place.OUTSIDE),
    _probe("leak_system_v_queues", _L, "find a neighbour's System V queue", NOT_FOUND, Control.IPC, Place.OUTSIDE),
    _probe("leak_system_v_semaphores", _L, "find a neighbour's System V semaphores", NOT_FOUND, Control.IPC,
           Place.OUTSIDE),
    _probe("starve_pipe_pages", _L, "miss pages of pipes that a neighbour took", LEFT_ALONE, Control.UIDS,
           Place.OUTSIDE),
    _probe("starve_watchers", _L, "miss inotify instances that a neighbour took", LEFT_ALONE, Control.HOST_SETTINGS,
           Place.OUTSIDE),
    _probe("starve_pending_signals", _L, "miss timers that a neighbour took", LEFT_ALONE, Control.SIGNALS,
           Place.OUTSIDE),
    _probe("starve_terminals", _L, "miss terminals that a neighbour took", LEFT_ALONE, Control.TERMINALS,
           Place.OUTSIDE),
    _probe("leave_files_to_the_next", _L, "find files of the sandbox before it", NONE, Control.SEPARATE_ROOTS,
           Place.OUTSIDE),
    _probe("name_of_the_neighbour", _L, "read a neighbour's name from its own mounts", NONE, Control.SEPARATE_ROOTS,
           Place.OUTSIDE),
    _probe("read_a_file_of_the_neighbour", _L, "read a neighbour's file by its path", NONE, Control.SEPARATE_ROOTS,
           Place.OUTSIDE),
    _probe("share_host_uids", _L, "share a host uid with a neighbour", ("different",), Control.UIDS, Place.OUTSIDE),
    _probe("act_as_the_neighbours_uid", _L, "run as the host uid of a neighbour", REFUSED, Control.UIDS, Place.OUTSIDE),
)  # fmt: skip


def _offers() -> Iterable[Probe]:
    for plant in ("a_link", "a_link_above", "a_link_through_proc", "a_link_to_itself"):
        yield _file(f"offer_{plant}", f"have the server read {plant.replace('_', ' ')} in a file's place", ("is_link",))
    for plant in ("a_pipe", "a_socket", "a_directory"):
        tries = f"have the server wait for {plant.replace('_', ' ')} in a file's place"
        yield _file(f"offer_{plant}", tries, ("not_a_file",))
    yield _file("offer_a_sparse_file", "have the server read 50 GiB that take no disk", ("too_large",))
    for name, path in (("an_endless_device", "/dev/zero"), ("the_agents_memory", "/proc/1/mem"),
                       ("the_password_file", "/etc/shadow"), ("by_a_climbing_path", "a path that climbs")):  # fmt: skip
        yield _file(f"read_{name}", f"have the server read {path}", REFUSED)
    yield _file("write_through_a_link", "have the server write through a link", ("is_link",))
    yield _file("list_a_deep_tree", "have the server descend without end", BOUNDED)
    yield _file("list_many_files", "have the server list without end", BOUNDED)


def _file(name: str, tries: str, passes: Iterable[str]) -> Probe:
    return _probe(name, _C, tries, passes, Control.FILE_RULES, Place.OUTSIDE)


_AGENT = (
    *(_probe(name, _C, tries, EPERM, Control.AGENT) for name, tries in (
        ("kill_the_agent", "kill the agent"),
        ("kill_the_keepers", "kill processes of the agent's that keep its own"),
        ("limit_the_agent", "take the agent's descriptors by prlimit"),
        ("schedule_the_agent", "bind the agent to one processor"),
        ("renice_the_agent", "lower the agent's priority"),
        ("signal_the_agent_by_descriptor", "kill the agent by a pidfd"),
    )),
    _probe("list_the_control_directory", _C, "list the control directory", EACCES, Control.CONTROL_DIRECTORY),
    _probe("dial_the_agent", _C, "dial the agent's socket", EACCES, Control.CONTROL_DIRECTORY),
    _probe("replace_the_agent", _C, "replace the agent's program", EACCES, Control.ROOT,
           docker=(("EROFS", "EBUSY EROFS"), "the image is read-only, the program a read-only mount")),
    _probe("agent_command_line", _C, "read anything of the host from the agent's arguments", NONE, Control.AGENT),
    _probe("inherited_descriptors", _C, "find a descriptor that the agent left open", NONE, Control.AGENT),
    _probe("inherited_environment", _C, "find a variable of the image or the server", NONE, Control.AGENT),
    _probe("kill_everything", _C, "stop and kill all that it may", ("survived",), Control.AGENT, Place.OUTSIDE),
)  # fmt: skip


def _lies() -> Iterable[Probe]:
    for name, tries, passes in (
        ("answer_without_a_length", "answer a call of a session with a text for a length", ("bad_message",)),
        ("answer_with_a_giant_length", "answer it with a giant length", ("bad_message",)),
        ("answer_never", "answer it never", ("timeout",)),
    ):
        yield _probe(name, _C, tries, passes, Control.FRAME_RULES, Place.OUTSIDE)
    for name in """an_endless_frame an_empty_frame no_message_pack a_deep_nesting another_protocol a_greeting_of_lies
            a_second_greeting an_answer_to_nobody an_answer_of_another_type output_without_end""".split():
        tries = f"send the server {name.replace('_', ' ')}, as an agent that was taken over"
        yield _probe(f"send_{name}", _C, tries, MALFORMED, Control.FRAME_RULES, Place.OUTSIDE)
    yield _probe("send_nothing_and_hang_up", _C, "hang up on the server again and again, without a greeting",
                 ("GuestGone", "GuestMalformed"), Control.FRAME_RULES, Place.OUTSIDE)  # fmt: skip


def _requests() -> Iterable[Probe]:
    for (
        name
    ) in """ask_for_an_unknown_operation restore_from_a_path destroy_a_checkpoint_by_path create_on_another_runtime
            create_without_end create_with_negative_memory create_with_no_number create_with_limits_of_another_type
            create_with_shared_memory_beyond_memory create_with_labels_without_end checkpoint_a_path claim_a_path
            adopt_a_path pause_a_path resume_a_path hibernate_a_path""".split():
        yield _request(name, f"have the launcher {name.replace('_', ' ')}", BAD_REQUEST)
    yield _request("create_from_a_path", "have the launcher create a sandbox from a path", ("image_not_found",))
    yield _request("destroy_by_path", "have the launcher destroy a path", ("nothing destroyed",))
    for name in ("a_giant_length", "no_json", "no_object", "a_deep_nesting", "half_a_frame"):
        yield _request(f"frame_{name}", f"send the launcher {name.replace('_', ' ')}", HUNG_UP)
    yield _request("ask_the_launcher_as_nobody", "speak to the launcher as another uid than the server's", HUNG_UP)
    yield _request("dial_an_agent_as_nobody", "dial an agent as another uid than the server's", EACCES)


def _request(name: str, tries: str, passes: Iterable[str]) -> Probe:
    return _probe(name, _C, tries, passes, Control.REQUEST_RULES, Place.OUTSIDE)


CATALOGUE: Mapping[str, Probe] = {
    probe.name: probe
    for entries in (
        map(_call, system_calls.SYSTEM_CALLS), _families(), _ESCAPES, _PRIVILEGES, _EXHAUSTION, _EGRESS, _LEAKAGE,
        _AGENT, _offers(), _lies(), _requests(),
    )
    for probe in entries
}  # fmt: skip
"""Every probe by its name."""
