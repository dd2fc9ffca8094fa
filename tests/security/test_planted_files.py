"""Files planted by a sandbox to lead the server's reading and writing astray: links, swaps, pipes, endless files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from envserver.runtimes.base import MIB, Command, Sandbox, SandboxFileError
from envserver.runtimes.conformance import sandbox, shell
from envserver.runtimes.crun import CrunRuntime

pytestmark = pytest.mark.node


@pytest_asyncio.fixture
async def box(runtime: CrunRuntime) -> AsyncIterator[Sandbox]:
    async with sandbox(runtime, "code") as made:
        yield made


PLANTS = {
    "a link to a file": ("ln -s /etc/shadow planted", "is_link"),
    "a link to a directory above it": ("ln -s /etc /workspace/up", "is_link"),
    "a link to itself": ("ln -s planted planted", "is_link"),
    "a link through /proc": ("ln -s /proc/self/root/etc/shadow planted", "is_link"),
    "a directory": ("mkdir planted", "not_a_file"),
    "a pipe that nobody writes": ("mkfifo planted", "not_a_file"),
    "a socket": ("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"planted\")'", "not_a_file"),
    "a file without rights": ("touch planted; chmod 000 planted", "denied"),
    "nothing": ("true", "not_found"),
}


@pytest.mark.parametrize("plant", PLANTS)
async def test_a_planted_file_is_refused_by_name_and_at_once(box: Sandbox, plant: str) -> None:
    script, code = PLANTS[plant]
    await shell(box, script)
    path = "/workspace/up/shadow" if "above" in plant else "/workspace/planted"
    began = time.monotonic()
    with pytest.raises(SandboxFileError) as refusal:
        await box.read_file(path)
    assert refusal.value.code == code
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("path", ["/proc/self/environ", "/proc/1/status", "/dev/zero", "/dev/shm/x", "/etc/shadow"])
async def test_neither_other_mounts_nor_other_owners_files_are_read(box: Sandbox, path: str) -> None:
    await shell(box, "echo planted > /dev/shm/x")
    with pytest.raises(SandboxFileError):
        await box.read_file(path)


@pytest.mark.parametrize("path", ["relative", "/workspace/../etc/hostname", "/" + "a" * 5000, "/workspace/a\0b", ""])
async def test_an_odd_path_is_an_error_of_its_own_and_the_sandbox_lives_on(box: Sandbox, path: str) -> None:
    with pytest.raises(SandboxFileError):
        await box.read_file(path)
    with pytest.raises(SandboxFileError):
        await box.write_file(path, b"x")
    assert (await shell(box, "echo alive")).stdout.text == "alive\n"


async def test_writing_follows_no_link_and_replaces_no_directory(box: Sandbox) -> None:
    await shell(box, "echo kept > target; ln -s target link; ln -s /tmp up; mkdir dir; mkfifo pipe")
    for path in ("/workspace/link", "/workspace/up/x", "/workspace/dir", "/workspace/pipe"):
        with pytest.raises(SandboxFileError):
            await box.write_file(path, b"overwritten")
    assert await box.read_file("/workspace/target") == b"kept\n"
    assert (await shell(box, "ls /tmp/x")).exit_code != 0


async def test_a_path_swapped_while_it_is_read_never_yields_another_s_file(box: Sandbox) -> None:
    """A directory and a link to /etc change places as fast as they can; only the directory's file may come."""
    swap = """
import ctypes, os
os.symlink("/etc", "/workspace/l")
libc = ctypes.CDLL(None)
while True:
    libc.renameat2(-100, b"/workspace/d", -100, b"/workspace/l", 2)
"""
    await box.write_file("/workspace/d/shells", b"ours")
    swapping = asyncio.ensure_future(box.run(Command(["python3", "-c", swap]), timeout_s=30))
    seen: set[bytes | str] = set()
    async with asyncio.timeout(20):
        while not {b"ours", "is_link"} <= seen:
            try:
                seen.add(await box.read_file("/workspace/d/shells"))
            except SandboxFileError as error:
                seen.add(error.code)
    await box.stop_processes()
    await swapping
    assert {each for each in seen if isinstance(each, bytes)} == {b"ours"}


async def test_a_file_that_grows_while_it_is_read_is_bounded(box: Sandbox) -> None:
    growing = asyncio.ensure_future(
        box.run(Command(["sh", "-c", "yes > grows & while test -d /; do :; done"]), timeout_s=20)
    )
    async with asyncio.timeout(15):
        while True:
            try:
                await box.read_file("/workspace/grows", max_bytes=MIB)
            except SandboxFileError as error:
                if error.code == "too_large":
                    break
    await box.stop_processes()
    await growing


async def test_a_deep_and_wide_tree_is_listed_within_bounds(box: Sandbox) -> None:
    await box.run(
        Command(["python3", "-c", "import os\nfor n in range(3000): open(f'f{n}', 'w')\nd = 'd'\n"
                 "for _ in range(100): os.mkdir(d); d += '/d'\nos.symlink('..', 'loop')"]),
        timeout_s=20,
    )  # fmt: skip
    entries, truncated = await box.list_files("/workspace", max_entries=1000)
    assert (len(entries), truncated) == (1000, True)
    entries, _ = await box.list_files("/workspace", max_depth=10)
    assert max(entry.path.count("/") for entry in entries) <= 10
    assert not any(entry.path.startswith("loop/") for entry in entries)
