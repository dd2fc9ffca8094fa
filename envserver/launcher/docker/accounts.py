"""Who a sandbox's uid is: its /etc/passwd and /etc/group, and the uids that live sandboxes hold.

The image's own files know `user` as 1000. Without a name for the real uid, `whoami`, `getpass` and git fail.
"""

from __future__ import annotations

from pathlib import Path

_FIRST_UID = 1 << 28
"""Above every range that the crun runtime gives away (`idmap.py`)."""
_UIDS_A_NODE = 1 << 12
_READ_MAX = 1 << 20


def first_uid(node: str) -> int:
    """Of a node's own uids: each node of a host begins elsewhere, since no user namespace keeps them apart."""
    return _FIRST_UID + int(node, 16) % _UIDS_A_NODE * _UIDS_A_NODE


def write(directory: Path, rootfs: Path, uid: int) -> None:
    """The image's accounts with `user` as `uid`, readable by all. Raises: OSError."""
    for name in ("passwd", "group"):
        lines = _lines(rootfs / "etc" / name)
        others = [line for line in lines if not _is_user(line)]
        own = f"user:x:{uid}:{uid}:user:/home/user:{_shell(lines)}" if name == "passwd" else f"user:x:{uid}:"
        (directory / name).write_text("\n".join([*others, own, ""]), errors="surrogateescape")
        (directory / name).chmod(0o644)


def _is_user(line: str) -> bool:
    return line.partition(":")[0] == "user"


def _shell(lines: list[str]) -> str:
    """Of the image's own user, where it has one."""
    fields = next((line.split(":") for line in lines if _is_user(line)), [])
    return fields[6] if len(fields) == 7 and fields[6].startswith("/") else "/bin/sh"


def _lines(file: Path) -> list[str]:
    """Of a file of an image, which may be anything: a link would lead to the launcher's own files."""
    if file.parent.is_symlink() or file.is_symlink() or not file.is_file():
        return ["root:x:0:0:root:/root:/bin/sh" if file.name == "passwd" else "root:x:0:"]
    with file.open(errors="surrogateescape") as stream:
        return stream.read(_READ_MAX).splitlines()
