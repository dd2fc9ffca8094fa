"""The filter's form: an allow-list of exact values. Its effect is tried in tests/security."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from envserver.launcher import seccomp
from envserver.probes.inside.system_calls import SYSTEM_CALLS

RULES = seccomp.profile()["syscalls"]
ALLOWED = {name for rule in RULES if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
UNCONDITIONAL = {
    name for rule in RULES if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args") for name in rule["names"]
}


def test_what_is_not_listed_is_refused() -> None:
    profile = seccomp.profile()
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert {rule["action"] for rule in RULES} == {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"}


@pytest.mark.parametrize(("machine", "architecture"), [("x86_64", "X86_64"), ("aarch64", "AARCH64")])
def test_only_the_native_architecture_passes(machine: str, architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert seccomp.profile()["architectures"] == [f"SCMP_ARCH_{architecture}"]


def test_another_architecture_has_no_profile_rather_than_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(KeyError):
        seccomp.profile()


def test_arguments_are_compared_for_equality_alone() -> None:
    """A rule that forbids a value is passed by the same value with a high bit set; one that allows it is not."""
    operators = {argument["op"] for rule in RULES for argument in rule.get("args", [])}
    assert operators == {"SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"}
    conditional = {name for rule in RULES if rule.get("args") for name in rule["names"]}
    assert conditional == {"socket", "socketpair", "setsockopt", "personality", "clone", "mknod", "mknodat"}
    assert conditional & UNCONDITIONAL == set()


def test_no_call_that_the_probes_try_is_listed() -> None:
    tried = set(SYSTEM_CALLS) - {"unshare_user", "unshare_mount", "unshare_files"} | {"unshare", "socketcall"}
    assert tried & ALLOWED == set()


def test_clone_may_carry_no_namespace_flag() -> None:
    (rule,) = (rule for rule in RULES if "clone" in rule["names"])
    (argument,) = rule["args"]
    flags = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
    assert all(argument["value"] & flag for flag in flags)
    assert argument["valueTwo"] == 0


def _lets_through(name: str, **arguments: int) -> bool:
    """Whether a rule allows the call, as the kernel compares: 64 bits of each argument (`a1`, `a2`)."""

    def passes(argument: dict[str, Any]) -> bool:
        given = arguments[f"a{argument['index']}"]
        if argument["op"] == "SCMP_CMP_EQ":
            return bool(given == argument["value"])
        return bool(given & argument["value"] == argument["valueTwo"])

    rules = [rule for rule in RULES if name in rule["names"]]
    return any(all(map(passes, rule.get("args", []))) for rule in rules)


@pytest.mark.parametrize("high", [0, 1 << 32, 1 << 63])
@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_RCVBUF, 26, 27, 50, 51, 52, 127])
def test_every_socket_option_passes_but_those_that_attach_a_filter(option: int, high: int) -> None:
    assert _lets_through("setsockopt", a1=socket.SOL_SOCKET, a2=option | high) is (option not in (26, 51))
    assert not _lets_through("setsockopt", a1=socket.SOL_SOCKET | 1 << 32, a2=option | high)


def test_options_of_other_levels_pass_whatever_their_number() -> None:
    assert _lets_through("setsockopt", a1=socket.IPPROTO_IPV6, a2=socket.IPV6_V6ONLY)
    assert socket.IPV6_V6ONLY == 26


def test_no_name_is_listed_twice() -> None:
    listed = [name for rule in RULES if not rule.get("args") for name in rule["names"]]
    assert len(listed) == len(set(listed))
