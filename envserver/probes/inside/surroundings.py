"""What lies around a program in a sandbox: devices, the kernel's files, the agent, other processes, identities."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import socket
import subprocess

from .probing import attempt, call, libc, opened, probe

# --- devices and special files ----------------------------------------------------------------------


@probe
def mknod_character() -> str:
    return attempt(lambda: os.mknod("/tmp/kmsg", 0o600 | 0o020000, os.makedev(1, 11)))


@probe
def mknod_block() -> str:
    return attempt(lambda: os.mknod("/tmp/disk", 0o600 | 0o060000, os.makedev(254, 0)))


@probe
def mknod_high_bits() -> str:
    return call(133, None, ctypes.c_char_p(b"/tmp/trick"), 0o020600 | 1 << 32, os.makedev(1, 1))


@probe
def mknod_fifo() -> str:
    return attempt(lambda: os.mkfifo("/tmp/fifo"))


_DEVICES = set(
    "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero core".split()
)  # fmt: skip


@probe
def devices() -> str:
    """Names in /dev beyond those that hold nothing of the host."""
    return " ".join(sorted(set(os.listdir("/dev")) - _DEVICES)) or "none"


@probe
def block_devices_and_raw_memory() -> str:
    found = [name for name in ("mem", "kmem", "kmsg", "port", "vda", "sda", "loop0", "loop-control", "fuse", "kvm")
             if opened(f"/dev/{name}") == "OK"]  # fmt: skip
    return " ".join(found) or "none"


@probe
def writing_to_dev() -> str:
    return attempt(lambda: os.close(os.open("/dev/new", os.O_CREAT | os.O_WRONLY)))


# --- /proc and /sys -----------------------------------------------------------------------------------

_WRITES = """
/proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/kernel/randomize_va_space /proc/sys/vm/drop_caches
/proc/sys/vm/overcommit_memory /proc/sys/net/ipv4/ip_forward /proc/sys/fs/file-max /proc/sysrq-trigger
/proc/irq/default_smp_affinity /proc/1/oom_score_adj /proc/1/mem /proc/1/attr/current /proc/1/uid_map
/proc/self/uid_map /proc/self/setgroups
/proc/self/loginuid /proc/1/clear_refs /proc/1/coredump_filter /proc/1/timens_offsets /sys/kernel/uevent_helper
/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cgroup.procs /sys/power/state /sys/module/kernel/parameters
""".split()


@probe
def writable_kernel_files() -> str:
    found = []
    for path in _WRITES:
        try:
            fd = os.open(path, os.O_WRONLY)
        except OSError:
            continue
        if attempt(lambda fd=fd: os.write(fd, b"0 0 1\n")) == "OK":  # type: ignore[misc]
            found.append(path)
    return " ".join(found) or "none"


_SECRETS = """
/proc/kcore /proc/kallsyms /proc/keys /proc/timer_list /proc/modules /proc/1/environ /proc/1/maps /proc/1/mem
/proc/1/auxv /proc/1/stack /proc/1/syscall /proc/1/io /proc/1/root /proc/1/cwd/. /proc/1/fd /proc/1/task/1/mem
/proc/kpagecount /proc/vmallocinfo /proc/slabinfo /etc/shadow
""".split()


@probe
def readable_secrets() -> str:
    found = []
    for path in _SECRETS:
        try:
            seen = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(64)
        except OSError:
            continue
        if seen:
            found.append(path)
    return " ".join(found) or "none"


@probe
def sys_is_empty() -> str:
    return (" ".join(os.listdir("/sys")) if os.path.isdir("/sys") else "") or "none"


@probe
def control_groups_named() -> str:
    with open("/proc/self/cgroup") as file:
        return " ".join(sorted({line.strip().split(":", 2)[2] for line in file}))


# --- the agent, and other processes -------------------------------------------------------------------


@probe
def kill_the_agent() -> str:
    return attempt(lambda: os.kill(1, signal.SIGKILL))


@probe
def kill_the_keepers() -> str:
    """Parents of ours that are the agent's: every process that is not of our uid."""
    spared = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{name}").st_uid != os.getuid():
                spared.append(attempt(lambda name=name: os.kill(int(name), signal.SIGKILL)))  # type: ignore[misc]
        except OSError:
            continue
    return " ".join(sorted(set(spared))) or "none"


@probe
def limit_the_agent() -> str:
    import resource

    return attempt(lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0)))


@probe
def schedule_the_agent() -> str:
    return attempt(lambda: os.sched_setaffinity(1, {0}))


@probe
def renice_the_agent() -> str:
    return attempt(lambda: os.setpriority(os.PRIO_PROCESS, 1, 19))


@probe
def signal_the_agent_by_descriptor() -> str:
    return attempt(lambda: signal.pidfd_send_signal(os.pidfd_open(1), signal.SIGKILL))


@probe
def list_the_control_directory() -> str:
    return attempt(lambda: os.listdir("/.envserver/run"))


@probe
def dial_the_agent() -> str:
    return attempt(lambda: socket.socket(socket.AF_UNIX).connect("/.envserver/run/agent.sock"))


@probe
def replace_the_agent() -> str:
    names = [name for name in os.listdir("/.envserver") if name.startswith("agent")]
    tries = {attempt(lambda name=name: os.unlink(f"/.envserver/{name}")) for name in names}  # type: ignore[misc]
    tries.add(attempt(lambda: os.rename("/.envserver", "/.other")))
    return " ".join(sorted(tries))


# --- identity -----------------------------------------------------------------------------------------


@probe
def become_root() -> str:
    return " ".join(
        sorted({attempt(lambda: os.setuid(0)), attempt(lambda: os.setgid(0)), attempt(lambda: os.setgroups([0]))})
    )


@probe
def set_uid_programs() -> str:
    """Whether `su`, while it asks for a password, or a copy of our own with the bit set has another uid than we."""
    read, write = os.pipe()
    prompt_read, prompt_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(read, 0)
        os.dup2(prompt_write, 1)
        os.dup2(prompt_write, 2)
        os.execv("/usr/bin/su", ["su", "-c", "true"])
    os.close(prompt_write)
    os.read(prompt_read, 1)  # the first letter of the prompt, or the end
    effective = _effective_uid(pid)
    os.close(write)
    os.close(read)
    os.kill(pid, signal.SIGKILL)
    copy = shutil.copy("/usr/bin/id", "/tmp/id")
    os.chmod(copy, 0o6755)
    own = subprocess.run([copy, "-u"], capture_output=True, text=True, check=False).stdout.strip()
    return "unchanged" if {effective, own} == {str(os.getuid())} else f"{effective} {own}"


def _effective_uid(pid: int) -> str:
    with open(f"/proc/{pid}/status") as file:
        return next(line.split()[2] for line in file if line.startswith("Uid:"))


@probe
def capabilities() -> str:
    with open("/proc/self/status") as file:
        fields = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    return " ".join(fields[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs", "Seccomp"))


@probe
def give_up_no_new_privileges() -> str:
    """What comes of the attempt, and whether it is still set."""
    said = "OK" if libc.prctl(38, 0, 0, 0, 0) == 0 else errno.errorcode[ctypes.get_errno()]
    return f"{said} {libc.prctl(39, 0, 0, 0, 0)}"


# --- what the agent leaves to a process -----------------------------------------------------------------

_LEFT_OPEN = sorted(
    name for name in os.listdir("/proc/self/fd") if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}")
)
"""Looked at before any probe opens something; the directory's own descriptor is closed again by then."""
_VARIABLES = set("HOME LANG LOGNAME PATH PWD SHLVL TERM USER OLDPWD LC_CTYPE".split())


@probe
def inherited_descriptors() -> str:
    return " ".join(_LEFT_OPEN) or "none"


@probe
def inherited_environment() -> str:
    return " ".join(sorted(set(os.environ) - _VARIABLES)) or "none"
