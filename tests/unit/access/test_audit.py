"""The audit log: complete, chained, and honest about a crash; `verify` names what was done to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from envserver.access import audit
from envserver.access.audit import AuditError, AuditLog, head_path
from envserver.access.verify import verify


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def write(path: Path, *events: str) -> None:
    log = AuditLog(path)
    for event in events:
        log.record(event, episode_id="ep_1", problem=None)
    log.close()


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_records_are_numbered_over_restarts_and_the_chain_holds(path: Path) -> None:
    write(path, "create", "close")
    write(path, "create")
    assert [record["seq"] for record in records(path)] == [1, 2, 3]
    assert [record["event"] for record in records(path)] == ["create", "close", "create"]
    assert "problem" not in records(path)[0]
    assert path.stat().st_mode & 0o777 == 0o600
    report = verify(path)
    assert (report.whole, report.records, report.notes) == (True, 3, [])


def change(lines: list[str]) -> None:
    lines[4] = lines[4].replace("ep_1", "ep_2")


def change_last(lines: list[str]) -> None:
    lines[-1] = lines[-1].replace("ep_1", "ep_2")


def remove(lines: list[str]) -> None:
    del lines[3:5]


def remove_first(lines: list[str]) -> None:
    del lines[0]


def cut(lines: list[str]) -> None:
    del lines[-2:]


def swap(lines: list[str]) -> None:
    lines[2], lines[3] = lines[3], lines[2]


def garble(lines: list[str]) -> None:
    lines[5] = lines[5][:20]


def repeat(lines: list[str]) -> None:
    lines.insert(3, lines[2])


DAMAGE: list[tuple[Callable[[list[str]], None], str]] = [
    (change, "record 5 was changed"),
    (change_last, "record 9 was changed"),
    (remove, "records 4 to 5 are missing before line 4"),
    (remove_first, "records 1 to 1 are missing"),
    (cut, "records 8 to 9 are cut from the end"),
    (swap, "record 3 stands behind record 4"),
    (garble, "line 6: no record can be read"),
    (repeat, "record 3 stands behind record 3"),
]


@pytest.mark.parametrize(("damage", "finding"), DAMAGE, ids=[damage.__name__ for damage, _ in DAMAGE])
def test_damage_is_found_and_named(path: Path, damage: Callable[[list[str]], None], finding: str) -> None:
    write(path, *["create"] * 9)
    lines = path.read_text().splitlines()
    damage(lines)
    path.write_text("".join(line + "\n" for line in lines))
    report = verify(path)
    assert not report.whole
    assert any(finding in found for found in report.findings), report.findings


def test_a_line_torn_by_a_crash_is_told_from_damage_and_the_chain_goes_on(path: Path) -> None:
    write(path, "create", "close")
    with path.open("a") as file:
        file.write('{"seq":3,"time":17')
    torn = verify(path)
    assert torn.whole
    assert "line 3: torn" in torn.notes[0]
    write(path, "create")
    report = verify(path)
    assert (report.whole, report.records) == (True, 4)
    assert "line 3: torn by a crash" in report.notes[0]
    lines = path.read_text().splitlines()
    path.write_text("".join(line + "\n" for line in [*lines[:2], lines[2] + "x", *lines[3:]]))
    assert "line 3: no record can be read" in verify(path).findings[0]


def test_without_a_head_the_report_says_what_it_cannot_see(path: Path) -> None:
    write(path, "create")
    head_path(path).unlink()
    assert "would not be seen" in verify(path).notes[0]


def test_two_servers_never_write_one_log(path: Path) -> None:
    log = AuditLog(path)
    with pytest.raises(AuditError, match="another server"):
        AuditLog(path)
    log.close()
    AuditLog(path).close()


def test_a_log_is_no_link(path: Path, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    path.symlink_to(tmp_path / "other")
    with pytest.raises(AuditError):
        AuditLog(path)


def test_what_is_no_audit_log_is_not_appended_to(path: Path) -> None:
    path.write_text("hello\n")
    with pytest.raises(AuditError, match="cannot be read"):
        AuditLog(path)
    assert path.read_text() == "hello\n"


def test_a_flood_of_refusals_is_counted_and_not_written(path: Path) -> None:
    log = AuditLog(path)
    for _ in range(5000):
        log.refuse(problem="unauthorized")
    log.record("create")
    log.close()
    written = records(path)
    assert 500 < len(written) < 700
    assert written[-1]["omitted_before"] == 5000 - (len(written) - 1)


def test_a_full_disk_loses_nothing_once_it_takes_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "RETRY_S", 0.01)
    failures, failed = 3, threading.Event()
    write_all = audit._write_all

    def failing(file: int, data: bytes) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            write_all(file, data[: len(data) // 2])
            if not failures:
                failed.set()
            raise OSError(28, "No space left on device")
        write_all(file, data)

    monkeypatch.setattr(audit, "_write_all", failing)
    log = AuditLog(path)
    log.record("create")
    assert failed.wait(10)
    log.close()
    report = verify(path)
    assert (report.whole, report.records, report.notes) == (True, 1, [])


def test_a_value_from_a_client_is_cut_and_escaped(path: Path) -> None:
    log = AuditLog(path)
    log.record("write_file", path="/a\n" + "b" * 5000 + "\ud800")
    log.close()
    (record,) = records(path)
    assert len(str(record["path"])) == audit.MAX_VALUE_CHARACTERS
    assert verify(path).whole
