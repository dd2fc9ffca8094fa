"""Why a probe is not seen to fail: its control cannot be taken away without harm, or cannot be taken away at all.

By runtime, since docker has no user namespace and crun no Engine. Whatever is not named here is taken away by the
tests, and the probe notices.
"""

from __future__ import annotations

from collections.abc import Mapping

from envserver.probes.base import Control

RUNTIMES = ("crun", "docker")
_CODE = "a rule of our own code, which no configuration takes away; its own tests break it"
_CONTROLS: Mapping[Control, str] = {
    Control.SEPARATE_ROOTS: "there is no sandbox without a root of its own",
    Control.HOST_SETTINGS: "a setting of the whole host",
    Control.FILE_RULES: _CODE,
    Control.FRAME_RULES: _CODE,
    Control.REQUEST_RULES: _CODE,
}
_HOSTS = "the kernel asks for a capability over the host, which no user namespace gives"
_WHOLE_HOST = "it would take a capability over the whole host"
_REACHES_OUT = "it would reach out of the machine"
_EMPTY = "the launcher's own network, which it would share, is as empty"
_HANDED_ON = "what the agent hands on is chosen in its own code"
_STARVES = "the whole host would miss what it took; taking it alone is seen by another probe"

_BOTH: Mapping[str, str] = {
    "system_call_of_the_x32_table": "few kernels have the table",
    "mknod_fifo": "no denial: named pipes must work",
    "set_uid_programs": "mounts, runtime and agent deny it each, the agent in its own code",
    "block_devices_and_raw_memory": "the owners of the host's devices deny it as well",
    "writable_kernel_files": "the owners of the host's files deny it as well, and root's writing would harm the host",
    "connect_internet": _REACHES_OUT,
    "connect_internet_6": _REACHES_OUT,
    "connect_metadata": _REACHES_OUT,
    "connect_docker_gateway": _REACHES_OUT,
    "resolve_a_name": _REACHES_OUT,
    "fill_pipes": "the kernel stops an unprivileged user's pipes before the memory limit does",
    "leak_processes": "the agent, told to kill all that is left, would see the processes of others",
    "starve_pending_signals": _STARVES,
    "starve_terminals": _STARVES,
    "share_host_uids": "the launcher is asked, whose sandboxes stay apart; starve_pipe_pages notices",
    "act_as_the_neighbours_uid": _CODE,
    "agent_command_line": _HANDED_ON,
    "inherited_descriptors": _HANDED_ON,
    "inherited_environment": _HANDED_ON,
    "kill_everything": "the kernel shields a namespace's first process from its own",
}
_ONE: Mapping[str, Mapping[str, str]] = {
    "crun": {
        **dict.fromkeys(
            """
            call_syslog call_fanotify_init call_swapon call_acct call_vhangup mknod_character mknod_block
            mknod_high_bits raise_open_files raise_pending_signals raise_priority schedule_in_real_time
            """.split(),
            _HOSTS,
        ),
        "interfaces": _EMPTY,
        "send_datagram": _EMPTY,
    },
    "docker": {
        **dict.fromkeys(
            """
            call_syslog call_reboot call_acct call_vhangup raise_open_files raise_pending_signals raise_priority
            schedule_in_real_time
            """.split(),
            _WHOLE_HOST,
        ),
        "devices": "the Engine makes /dev, and leaves out what is not asked for",
        "writing_to_dev": "root owns it, whatever else is taken away",
        "hard_link_to_a_root_file": "the workspace is a file system of its own",
        "connect_host_abstract_socket": "it listens in the launcher's network, not in the host's",
    },
}


def reasons(name: str, control: Control) -> Mapping[str, str]:
    """By runtime, for those where the probe named so is not seen to fail."""
    common = _BOTH.get(name) or _CONTROLS.get(control)
    if common is not None:
        return dict.fromkeys(RUNTIMES, common)
    return {runtime: texts[name] for runtime, texts in _ONE.items() if name in texts}
