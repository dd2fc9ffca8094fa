"""Checks of the machine: the kernel and what it offers, devices, memory, Python."""

from __future__ import annotations

import re

from envserver.doctor.findings import Finding, Level, Settings
from envserver.doctor.host import Host

MIB = 1 << 20
GIB = 1 << 30

OLDEST_PYTHON = (3, 11)
OLDEST_KERNEL = (5, 19)
"""Id-mapped mounts came with 5.12, beneath overlayfs with 5.19."""
CONTROLLERS = ("cpu", "memory", "pids")
RESERVE_BYTES = 512 * MIB
"""The server starts no episode while the machine has less left."""
ROOMY_BYTES = 2 * GIB


def version(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with; empty when it begins with none."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", text.strip())
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def python(host: Host, _settings: Settings) -> Finding:
    said = ".".join(map(str, host.python))
    if tuple(host.python[:2]) < OLDEST_PYTHON:
        return Finding("python", Level.FAIL, said, "install Python 3.11 or newer, and set PYTHON for make")
    return Finding("python", Level.OK, said)


def kernel(host: Host, _settings: Settings) -> Finding:
    number = version(host.kernel)[:2]
    if number < (5, 12):
        detail = f"{host.kernel}: no id-mapped mounts"
    elif number < OLDEST_KERNEL:
        detail = f"{host.kernel}: no id-mapped mounts beneath overlayfs"
    else:
        return Finding("kernel", Level.OK, host.kernel)
    return Finding("kernel", Level.FAIL, detail, "boot Linux 5.19 or newer")


def _file_system(host: Host, name: str, remedy: str) -> Finding:
    if re.search(rf"\b{name}$", host.read("/proc/filesystems") or "", re.MULTILINE):
        return Finding(name, Level.OK, "in the kernel")
    modules = f"/lib/modules/{host.kernel}"
    for listing in ("modules.builtin", "modules.dep"):
        if re.search(rf"/{name}\.ko", host.read(f"{modules}/{listing}") or ""):
            return Finding(name, Level.OK, "a module that the kernel loads when it is needed")
    return Finding(name, Level.FAIL, f"the kernel {host.kernel} has no {name}", remedy)


def overlay(host: Host, _settings: Settings) -> Finding:
    return _file_system(host, "overlay", "`modprobe overlay`, or boot a kernel with CONFIG_OVERLAY_FS")


def btrfs(host: Host, _settings: Settings) -> Finding:
    return _file_system(host, "btrfs", "`modprobe btrfs`, or boot a kernel with CONFIG_BTRFS_FS")


def user_namespaces(host: Host, _settings: Settings) -> Finding:
    path = "/proc/sys/user/max_user_namespaces"
    most = (host.read(path) or "").strip()
    if not most.isdecimal():
        return Finding("user namespaces", Level.FAIL, f"no {path}", "boot a kernel with CONFIG_USER_NS")
    if int(most) == 0:
        remedy = "`sysctl user.max_user_namespaces=10000`, and the same in /etc/sysctl.d"
        return Finding("user namespaces", Level.FAIL, "switched off", remedy)
    return Finding("user namespaces", Level.OK, f"at most {most}")


def seccomp(host: Host, _settings: Settings) -> Finding:
    actions = (host.read("/proc/sys/kernel/seccomp/actions_avail") or "").split()
    if "errno" not in actions:
        return Finding("seccomp", Level.FAIL, "no filters", "boot a kernel with CONFIG_SECCOMP_FILTER")
    return Finding("seccomp", Level.OK, "filters")


def cgroups(host: Host, _settings: Settings) -> Finding:
    unified = host.read("/sys/fs/cgroup/cgroup.controllers")
    if unified is not None:
        kind, there = "version 2", set(unified.split())
    else:
        kind, there = _version_1(host)
    if missing := [name for name in CONTROLLERS if name not in there]:
        remedy = "boot with systemd or mount the hierarchies below /sys/fs/cgroup; for memory: cgroup_enable=memory"
        return Finding("cgroups", Level.FAIL, f"{kind}, without {', '.join(missing)}", remedy)
    if kind == "version 2":
        remedy = "watch the first episodes, or boot with systemd.unified_cgroup_hierarchy=0"
        return Finding("cgroups", Level.WARN, "version 2 alone, which is less tried than 1 and hybrid", remedy)
    return Finding("cgroups", Level.OK, kind)


def _version_1(host: Host) -> tuple[str, set[str]]:
    mounts = [line.split() for line in (host.read("/proc/mounts") or "").splitlines()]
    hierarchies = [fields for fields in mounts if len(fields) > 3 and fields[2] == "cgroup"]
    hybrid = any(len(fields) > 2 and fields[2] == "cgroup2" for fields in mounts)
    there = {option for fields in hierarchies for option in fields[3].split(",")}
    if not hierarchies:
        return "none mounted", set()
    return "hybrid" if hybrid else "version 1", there


def loop_devices(host: Host, _settings: Settings) -> Finding:
    remedy = "`modprobe loop`; inside a container, pass --device /dev/loop-control"
    if not host.exists("/dev/loop-control"):
        return Finding("loop devices", Level.FAIL, "no /dev/loop-control", remedy)
    devices = [name for name in host.names("/sys/block") if name.startswith("loop")]
    used = [name for name in devices if host.exists(f"/sys/block/{name}/loop/backing_file")]
    detail = f"{len(devices) - len(used)} of {len(devices)} free, more are made when needed"
    return Finding("loop devices", Level.OK, detail)


def tun(host: Host, _settings: Settings) -> Finding:
    if not host.exists("/dev/net/tun"):
        return Finding("tun", Level.FAIL, "no /dev/net/tun, which CRIU looks for", "`modprobe tun`")
    return Finding("tun", Level.OK, "/dev/net/tun")


def memory(host: Host, _settings: Settings) -> Finding:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", host.read("/proc/meminfo") or "", re.MULTILINE)
    if found is None:
        return Finding("memory", Level.WARN, "/proc/meminfo does not say", "mount /proc")
    available = int(found[1]) * 1024
    detail = f"{available / GIB:.1f} GiB available"
    if available < RESERVE_BYTES:
        remedy = "free memory, or lower ENVSERVER_MIN_AVAILABLE_MEMORY_BYTES"
        return Finding("memory", Level.FAIL, f"{detail}: no episode starts below 0.5 GiB", remedy)
    if available < ROOMY_BYTES:
        return Finding("memory", Level.WARN, detail, "free memory: few episodes fit into less than 2 GiB")
    return Finding("memory", Level.OK, detail)
