"""What CRIU's log and images tell: which process and descriptor were in the way, and what could not be restored."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from envserver.launcher import criu_images, criu_log

HEADER = struct.pack("<II", 0x54564319, 0x12345678)
NOISE = "(00.000676) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n"


def log(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "dump.log"
    file.write_text(text)
    return file


def test_a_refusal_names_the_process_and_the_descriptor(tmp_path: Path) -> None:
    pid, descriptor = os.getpid(), os.open("/dev/null", os.O_RDONLY)
    try:
        text = (
            f"{NOISE}(00.034552) {pid} fdinfo 4: pos: 0 flags: 1/0\n(00.034563) {pid} fdinfo {descriptor}: pos: 0\n"
            "(00.039854) Error (criu/fsnotify.c:284): fsnotify: \tCan't dump that handle\n"
            f"(00.039946) Error (criu/cr-dump.c:1681): Dump files (pid: {pid}) failed with -1\n"
            "(00.040642) Error (criu/cr-dump.c:2111): Dumping FAILED.\n"
        )
        told = criu_log.explain(log(tmp_path, text))
    finally:
        os.close(descriptor)
    comm = Path("/proc/self/comm").read_text().strip()
    assert told == f"process {pid} ({comm}), descriptor {descriptor} (/dev/null): fsnotify: Can't dump that handle"


def test_a_process_that_is_gone_is_named_by_its_number(tmp_path: Path) -> None:
    text = "(0.1) 4194999 fdinfo 5: pos: 0\n(0.2) Error (criu/x.c:1): no\n"
    assert criu_log.explain(log(tmp_path, text)) == "process 4194999 of the host: no"


def test_where_there_is_no_reason_none_is_given(tmp_path: Path) -> None:
    assert criu_log.explain(tmp_path / "missing") == ""
    assert criu_log.explain(log(tmp_path, NOISE + "(0.1) 7 fdinfo 5: pos: 0\n")) == ""


def _entry(*fields: int) -> bytes:
    body = bytes(fields)
    return struct.pack("<I", len(body)) + body


def test_files_of_dead_processes_and_system_v_memory_are_found(tmp_path: Path) -> None:
    assert criu_images.unrestorable(tmp_path) is None
    remaps = tmp_path / "remap-fpath.img"
    remaps.write_bytes(HEADER + _entry(0x08, 0x02, 0x10, 0x07, 0x18, 0x01) + _entry(0x08, 0x09, 0x10, 0x03, 0x18, 0x00))
    assert criu_images.unrestorable(tmp_path) is None, "ids of 2 are no kinds"
    remaps.write_bytes(remaps.read_bytes() + _entry(0x08, 0x81, 0x01, 0x10, 0x03, 0x18, 0x02))
    assert "/proc" in str(criu_images.unrestorable(tmp_path))
    remaps.unlink()
    (tmp_path / "ipcns-shm-11.img").write_bytes(HEADER)
    assert criu_images.unrestorable(tmp_path) is None
    (tmp_path / "ipcns-shm-11.img").write_bytes(HEADER + _entry(1))
    assert "System V" in str(criu_images.unrestorable(tmp_path))


def test_links_made_for_the_dump_count_where_a_snapshot_would_miss_them(tmp_path: Path) -> None:
    files = tmp_path / "files.img"
    assert not criu_images.links_in_layer(tmp_path)
    files.write_bytes(b"\x08\x1ddev/shm/link_remap.22\x18\x00")
    assert not criu_images.links_in_layer(tmp_path)
    files.write_bytes(files.read_bytes() + b"\x12\x17workspace/link_remap.29\x18")
    assert criu_images.links_in_layer(tmp_path)
