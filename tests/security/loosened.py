"""Runs probes in sandboxes that lack one control. Runs in a node's container.

    python - RUNTIME CONTROL NAME... < loosened.py

Makes sandboxes with a maker of its own beside the container's launcher, its template changed. Prints one JSON object:
what each probe said, by name. Proves that a probe fails where its control is missing: else one that never works would
pass for ever. What is taken away is bounded: a limit becomes a few times larger than what a probe takes, never none.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from envserver.guest.connection import GuestConnection
from envserver.launcher import bundle, cgroups, idmap, images
from envserver.launcher.bundle import SOCKET_NAME, BundleLimits
from envserver.launcher.cgroups import UsageReader
from envserver.launcher.docker import records, template
from envserver.launcher.docker.engine import Engine
from envserver.launcher.docker.sandboxes import DockerMaker, DockerPaths
from envserver.launcher.paths import Paths
from envserver.launcher.records import SandboxRequest
from envserver.launcher.sandboxes import SandboxMaker
from envserver.probes import Settings, run
from envserver.runtimes.base import MIB, Command, CommandResult, Ending, Output, SandboxSpec
from envserver.runtimes.crun import CrunRuntime
from envserver.runtimes.crun.runtime import CrunSandbox
from envserver.runtimes.docker import DockerRuntime
from envserver.runtimes.docker.runtime import DockerSandbox

DATA = Path("/var/lib/envserver")
RUN = Path("/run/envserver/loosened")
NODE = "1005e00000"
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/home/user"}
LARGE_BYTES = 512 * MIB
QUEUE_BYTES, CORE_BYTES = 800_000, 1 << 21
CAPABILITIES = """
CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_RAW NET_ADMIN SYS_CHROOT MKNOD SETFCAP SYS_ADMIN
SYS_PTRACE
""".split()
"""Of what enters a sandbox. None that could touch the host's clock, modules, devices or power."""
Config = dict[str, Any]


def _unchanged(_config: Config) -> None:
    return


@dataclass(frozen=True)
class Removal:
    """How a control is taken away: from a bundle, from a body of the Engine's create call, from a request."""

    crun: Callable[[Config], None] = _unchanged
    docker: Callable[[Config], None] = _unchanged
    request: Callable[[SandboxRequest], SandboxRequest] = lambda request: request
    enter: bool = False
    """Run the programs beside the agent instead of through it: as root, with all capabilities, unfiltered."""
    rlimits: Mapping[str, int] = field(default_factory=dict)
    patches: Sequence[tuple[Any, str, Any]] = ()


# --- bundles ------------------------------------------------------------------------------------------------


def _no_seccomp(config: Config) -> None:
    del config["linux"]["seccomp"]


def _without_namespace(kind: str) -> Callable[[Config], None]:
    def remove(config: Config) -> None:
        linux = config["linux"]
        linux["namespaces"] = [each for each in linux["namespaces"] if each["type"] != kind]
        if kind == "ipc":
            linux["sysctl"] = {}

    return remove


def _privileged(config: Config) -> None:
    """In its user namespace: nothing of the host's is gained by it."""
    _no_seccomp(config)
    names = [f"CAP_{name}" for name in CAPABILITIES]
    config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted", "inheritable"), names)
    config["process"]["noNewPrivileges"] = False


def _host_devices(config: Config) -> None:
    for mount in config["mounts"]:
        if mount["destination"] == "/dev":
            mount.update(source="/dev", options=["bind", "rw"])


def _unmasked(config: Config) -> None:
    config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []
    config["mounts"].append({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]})


def _mount_options(target: str, *options: str) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        for mount in config["mounts"]:
            if mount["destination"] == target:
                mount["options"] = list(options)

    return change


def _open_control_directory(config: Config) -> None:
    (control,) = (mount["source"] for mount in config["mounts"] if mount["destination"] == bundle.CONTROL_DIRECTORY)
    Path(control).chmod(0o755)


def _resource(kind: str, name: str, value: int) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        config["linux"]["resources"][kind][name] = value

    return change


def _large_memory(config: Config) -> None:
    config["linux"]["resources"]["memory"] = {"limit": 2 * LARGE_BYTES, "swap": 2 * LARGE_BYTES}


def _no_socket_limit(config: Config) -> None:
    config["linux"]["resources"]["memory"].pop("kernelTCP")


def _no_system_v(config: Config) -> None:
    config["linux"]["sysctl"] = {}


def _no_hard_limits(config: Config) -> None:
    config["process"]["rlimits"] = [
        {"type": "RLIMIT_CORE", "hard": CORE_BYTES, "soft": 0},
        {"type": "RLIMIT_MSGQUEUE", "hard": QUEUE_BYTES, "soft": QUEUE_BYTES},
    ]


# --- bodies of the Engine's create call -----------------------------------------------------------------------


def _host(**changes: Any) -> Callable[[Config], None]:
    def change(body: Config) -> None:
        body["HostConfig"].update(changes)

    return change


def _unfiltered(body: Config) -> None:
    body["HostConfig"]["SecurityOpt"] = ["no-new-privileges", "seccomp=unconfined"]


def _privileged_container(body: Config) -> None:
    """What enters it is root of the host in namespaces of its own, for calls whose arguments do nothing."""
    body["HostConfig"].update(SecurityOpt=["seccomp=unconfined"], CapAdd=CAPABILITIES)


def _writable_container(body: Config) -> None:
    _privileged_container(body)
    body["HostConfig"]["ReadonlyRootfs"] = False


def _host_network(body: Config) -> None:
    body["HostConfig"]["NetworkMode"] = "host"
    del body["NetworkDisabled"]


def _tmpfs(target: str, options: str | None) -> Callable[[Config], None]:
    def change(body: Config) -> None:
        body["HostConfig"]["Tmpfs"].pop(target)
        if options is not None:
            body["HostConfig"]["Tmpfs"][target] = options

    return change


def _unmasked_container(body: Config) -> None:
    body["HostConfig"].update(MaskedPaths=[], ReadonlyPaths=[])


def _engine_terminals(body: Config) -> None:
    body["HostConfig"]["Mounts"] = [each for each in body["HostConfig"]["Mounts"] if each["Target"] != "/dev/pts"]


def _open_control_bind(body: Config) -> None:
    (source,) = (each["Source"] for each in body["HostConfig"]["Mounts"] if each["Target"] == bundle.CONTROL_DIRECTORY)
    (RUN / Path(source).relative_to(Path(os.environ["ENVSERVER_ENGINE_RUN"]) / RUN.name)).chmod(0o755)


def _ulimits(**values: int) -> Callable[[Config], None]:
    def change(body: Config) -> None:
        kept = [each for each in body["HostConfig"]["Ulimits"] if each["Name"] not in values]
        body["HostConfig"]["Ulimits"] = kept + [{"Name": n, "Soft": v, "Hard": v} for n, v in values.items()]

    return change


def _more_disk(request: SandboxRequest) -> SandboxRequest:
    return replace(request, disk_bytes=LARGE_BYTES)


def _more_processor(request: SandboxRequest) -> SandboxRequest:
    return replace(request, limits=replace(request.limits, cpus=64.0))


_SAME_UID = ((idmap.RangePool, "take", lambda _pool: 4), (idmap.RangePool, "give_back", lambda _pool, _index: None))
_LARGE_SHM = f"size={LARGE_BYTES},mode=1777"

REMOVALS: dict[str, Removal] = {
    "nothing": Removal(),
    "SYSTEM_CALLS": Removal(_no_seccomp, _unfiltered),
    "PRIVILEGES": Removal(_privileged, _privileged_container, enter=True),
    "NO_NEW_PRIVILEGES": Removal(_privileged, _privileged_container, enter=True),
    "DEVICES": Removal(_host_devices),
    "MASKS": Removal(_unmasked, _unmasked_container),
    "ROOT": Removal(_privileged, _writable_container, enter=True),
    "NETWORK": Removal(_without_namespace("network"), _host_network),
    "CONTROL_GROUPS": Removal(_without_namespace("cgroup"), _host(CgroupnsMode="host")),
    "IPC": Removal(_without_namespace("ipc"), _host(IpcMode="host", Sysctls={})),
    "UIDS": Removal(patches=_SAME_UID),
    "AGENT": Removal(_privileged, _privileged_container, enter=True),
    "CONTROL_DIRECTORY": Removal(_open_control_directory, _open_control_bind),
    "MEMORY": Removal(_large_memory, _host(Memory=2 * LARGE_BYTES, MemorySwap=2 * LARGE_BYTES)),
    "PROCESSOR": Removal(request=_more_processor),
    "PIDS": Removal(_resource("pids", "limit", 1000), _host(PidsLimit=1000)),
    "DISK": Removal(request=_more_disk),
    "SHARED_MEMORY": Removal(
        _mount_options("/dev/shm", "nosuid", "nodev", "mode=1777", f"size={LARGE_BYTES}"),
        _tmpfs("/dev/shm", _LARGE_SHM),
    ),
    "SYSTEM_V": Removal(_no_system_v, _host(Sysctls={})),
    "SOCKET_MEMORY": Removal(_no_socket_limit, patches=((cgroups, "limit_sockets", lambda *_: None),)),
    "DESCRIPTORS": Removal(rlimits={"nofile": 5000}),
    "SIGNALS": Removal(
        docker=_ulimits(sigpending=20_000),
        patches=((SandboxMaker, "_limit_signals", staticmethod(lambda _pid: None)),),
    ),
    "TERMINALS": Removal(
        _mount_options("/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"), _engine_terminals
    ),
    "RESOURCE_LIMITS": Removal(
        _no_hard_limits,
        _ulimits(core=CORE_BYTES, msgqueue=QUEUE_BYTES),
        rlimits={"core": CORE_BYTES, "msgqueue": QUEUE_BYTES},
    ),
}
"""By the name of a `Control`."""


# --- runtimes -----------------------------------------------------------------------------------------------


def _store() -> images.ImageStore:
    return images.ImageStore(
        Path(os.environ.get("ENVSERVER_IMAGES", DATA / "images")), Path("/usr/lib/envserver/agent")
    )


def _request(spec: SandboxSpec) -> SandboxRequest:
    limits = spec.limits
    numbers = BundleLimits(limits.memory_bytes, limits.cpus, limits.pids, limits.shm_bytes, limits.nofile)
    return SandboxRequest(spec.image, numbers, limits.disk_bytes, dict(spec.labels), spec.ttl_s)


def _result(code: int, stdout: bytes, stderr: bytes) -> CommandResult:
    out, err = (Output(data, b"", len(data)) for data in (stdout, stderr))
    return CommandResult(Ending.EXITED, out, err, duration_s=0.0, exit_code=code)


class EnteredCrun(CrunSandbox):
    """Runs programs as root of the sandbox's namespaces, which the agent refuses."""

    pid = 0

    async def run(self, command: Command, **_options: Any) -> CommandResult:
        argv = ["nsenter", "--target", str(self.pid), "--all", f"--wdns={command.cwd}", *command.argv]
        process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=PIPE, env=ENVIRONMENT)
        stdout, stderr = await process.communicate()
        return _result(process.returncode or 0, stdout, stderr)


class EnteredDocker(DockerSandbox):
    """The same through the Engine."""

    api: Any = None
    name = ""

    async def run(self, command: Command, **_options: Any) -> CommandResult:
        def execute() -> CommandResult:
            made = self.api.exec_create(self.name, list(command.argv), user="0", workdir=command.cwd)
            stdout, stderr = self.api.exec_start(made["Id"], demux=True)
            return _result(self.api.exec_inspect(made["Id"])["ExitCode"], stdout or b"", stderr or b"")

        return await asyncio.to_thread(execute)


class LoosenedCrun(CrunRuntime):
    """Makes sandboxes itself; the launcher's directory has nothing of them."""

    def __init__(self, removal: Removal) -> None:
        super().__init__(RUN)
        work = Path("/run/loosened-work")
        for directory in (RUN / "s", work / "bundles", work / "crun", work / "errors"):
            directory.mkdir(parents=True, exist_ok=True)
        for directory in (RUN, RUN / "s", work, work / "bundles"):
            directory.chmod(0o711)
        paths = Paths(layers=DATA / "layers", run=RUN, work=work, checkpoints=DATA / "checkpoints", dev=DATA / "dev")
        self._removal = removal
        self.maker = SandboxMaker(NODE, paths, _store(), server_uid=0, server_gid=0, reserve_bytes=0)

    async def create(self, spec: SandboxSpec) -> CrunSandbox:
        record = await asyncio.to_thread(self.maker.create, self._removal.request(_request(spec)))
        guest = await GuestConnection.dial(RUN / "s" / record.sandbox_id / SOCKET_NAME)
        kind = EnteredCrun if self._removal.enter else CrunSandbox
        made = kind(self, record.sandbox_id, spec, guest, UsageReader(record.cgroup))
        if isinstance(made, EnteredCrun):
            made.pid = record.pid
        return made

    async def destroy(self, sandbox_id: str) -> None:
        await asyncio.to_thread(self.maker.destroy, sandbox_id)


class LoosenedDocker(DockerRuntime):
    """The same with an Engine."""

    def __init__(self, removal: Removal) -> None:
        super().__init__(RUN)
        RUN.mkdir(exist_ok=True)
        RUN.chmod(0o711)
        engine_run = Path(os.environ["ENVSERVER_ENGINE_RUN"]) / RUN.name
        paths = DockerPaths(DATA / "layers", RUN, engine_run, Path("/usr/lib/envserver/agent"))
        self._removal = removal
        engine = Engine(Path("/var/run/docker.sock"))
        self.maker = DockerMaker(NODE, paths, engine, _store(), lambda _: None, server_uid=0, server_gid=0)

    async def create(self, spec: SandboxSpec) -> DockerSandbox:
        record = await asyncio.to_thread(self.maker.create, self._removal.request(_request(spec)))
        made = records.describe(record)
        guest = await GuestConnection.dial(RUN / made["socket"])
        kind = EnteredDocker if self._removal.enter else DockerSandbox
        box = kind(self, record.sandbox_id, spec, guest, UsageReader(record.cgroup), record.uid)
        if isinstance(box, EnteredDocker):
            box.api, box.name = self.maker.engine._api(), self.maker._name(record.sandbox_id)
        return box

    async def destroy(self, sandbox_id: str) -> None:
        await asyncio.to_thread(self.maker.destroy, sandbox_id)


def _loosen(removal: Removal) -> list[Any]:
    """From now on, templates lack the control."""
    configuration, body = bundle.configuration, template.body

    def loosened_configuration(**arguments: Any) -> Config:
        config = configuration(**arguments)
        removal.crun(config)
        return config

    def loosened_body(**arguments: Any) -> Config:
        made = body(**arguments)
        removal.docker(made)
        return made

    return [
        mock.patch.object(bundle, "configuration", loosened_configuration),
        mock.patch.object(template, "body", loosened_body),
        *(mock.patch.object(*patch) for patch in removal.patches),
    ]


async def probe(runtime: str, control: str, names: Sequence[str]) -> dict[str, str | None]:
    """Outcomes by name."""
    removal = REMOVALS[control]
    for patch in _loosen(removal):
        patch.start()
    made = LoosenedCrun(removal) if runtime == "crun" else LoosenedDocker(removal)
    try:
        report = await run(made, None, Settings(names, rlimits=removal.rlimits))
    finally:
        await made.close()
        cgroups.release(NODE)
    return {result.probe.name: result.outcome for result in report.results}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(probe(sys.argv[1], sys.argv[2], sys.argv[3:]))))
