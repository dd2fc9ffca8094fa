"""Ways out of a sandbox: the network, memory file systems, dumps, links, and places of the host."""

from __future__ import annotations

import ctypes
import errno
import os
import socket

from .probing import PROBES, attempt, libc, opened, probe

# --- network ------------------------------------------------------------------------------------------


@probe
def interfaces() -> str:
    return " ".join(name for _, name in socket.if_nameindex())


def _connects(address: tuple[str, int], family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> str:
    with socket.socket(family, kind) as client:
        client.settimeout(2)
        return attempt(lambda: client.connect(address))


PROBES["connect_internet"] = lambda: _connects(("1.1.1.1", 53))
PROBES["connect_metadata"] = lambda: _connects(("169.254.169.254", 80))
PROBES["connect_docker_gateway"] = lambda: _connects(("172.17.0.1", 22))
PROBES["connect_internet_6"] = lambda: _connects(("2606:4700:4700::1111", 53), socket.AF_INET6)
PROBES["send_datagram"] = lambda: _connects(("8.8.8.8", 53), socket.AF_INET, socket.SOCK_DGRAM)


@probe
def resolve_a_name() -> str:
    try:
        socket.getaddrinfo("example.com", 80)
    except socket.gaierror:
        return "gaierror"
    return "OK"


@probe
def abstract_sockets() -> str:
    """Names that the network namespace has; those of the host would be here."""
    with open("/proc/net/unix") as file:
        return " ".join(sorted({line.split()[-1] for line in file if "@" in line})) or "none"


@probe
def connect_host_abstract_socket() -> str:
    return attempt(lambda: socket.socket(socket.AF_UNIX).connect("\0envserver-probe"))


# --- memory file systems, dumps, links ------------------------------------------------------------------


@probe
def fill_shared_memory() -> str:
    try:
        with open("/dev/shm/big", "wb") as file:
            for _ in range(64):
                file.write(bytes(1 << 20))
        return "OK"
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        os.unlink("/dev/shm/big")


@probe
def exhaust_shared_memory_inodes() -> str:
    made = 0
    try:
        for made in range(100_000):
            os.close(os.open(f"/dev/shm/{made}", os.O_CREAT | os.O_WRONLY, 0o600))
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        for number in range(made):
            os.unlink(f"/dev/shm/{number}")
    return "OK"


@probe
def other_tmpfs() -> str:
    with open("/proc/self/mounts") as file:
        found = [line.split()[1] for line in file if line.split()[2] == "tmpfs"]
    return " ".join(sorted(path for path in found if os.path.isdir(path) and os.access(path, os.W_OK)))


@probe
def dump_core() -> str:
    import resource

    raised = attempt(lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)))
    pid = os.fork()
    if pid == 0:
        os.abort()
    _, status = os.waitpid(pid, 0)
    return f"{raised} {'dumped' if os.WCOREDUMP(status) else 'none'}"


@probe
def message_queues() -> str:
    try:
        raised = libc.mq_open(b"/q", os.O_CREAT | os.O_RDWR, 0o600, None)
    except AttributeError:
        raised = ctypes.CDLL("librt.so.1", use_errno=True).mq_open(b"/q", os.O_CREAT | os.O_RDWR, 0o600, None)
    return "OK" if raised >= 0 else errno.errorcode[ctypes.get_errno()]


@probe
def raise_open_files() -> str:
    import resource

    return attempt(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20)))


@probe
def hard_link_to_a_root_file() -> str:
    return attempt(lambda: os.link("/etc/shadow", "/workspace/shadow"))


@probe
def write_system_files() -> str:
    tried = {opened(path, os.O_WRONLY | os.O_CREAT) for path in ("/etc/passwd", "/usr/bin/python3", "/etc/new", "/new")}
    return " ".join(sorted(tried))


@probe
def host_paths() -> str:
    """Places of the host that a layer or a mount might show."""
    places = ("/var/lib/envserver", "/var/lib/docker", "/run/envserver", "/run/envserver-work", "/run/docker.sock",
              "/var/run/docker.sock", "/var/lib/envserver-images", "/opt/envserver",
              "/boot/vmlinuz", "/usr/lib/envserver/agent")  # fmt: skip
    return " ".join(path for path in places if os.path.exists(path)) or "none"


_MOUNTS = set(
    "/ /proc /sys /sys/fs/cgroup /dev /dev/pts /dev/shm /dev/mqueue /workspace /home /tmp /etc/hostname /etc/passwd "
    "/etc/group /.envserver/agent /.envserver/run".split()
)


@probe
def mounts_named() -> str:
    """Mount points beyond those of the two runtimes' templates; what covers a file of /proc counts as none."""
    with open("/proc/self/mountinfo") as file:
        points = {line.split()[4] for line in file}
    return " ".join(sorted(point for point in points - _MOUNTS if not point.startswith("/proc/"))) or "none"


_OPTIONS = set(
    "--socket --orphan-timeout-s --peer-uid --mount /.envserver/run/agent.sock /workspace /home /tmp".split()
)


@probe
def agent_command_line() -> str:
    """Words of the agent's command line that are neither its options nor numbers."""
    with open("/proc/1/cmdline") as file:
        words = [word for word in file.read().split("\0") if word]
    program, rest = words[0], words[1:]
    odd = [word for word in rest if word not in _OPTIONS and not word.isdigit()]
    if not program.startswith("/.envserver/agent"):
        odd.append(program)
    return " ".join(odd) or "none"
