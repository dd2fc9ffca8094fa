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
    shell = "/bin/bash" if (rootfs / "bin/bash").exists() else "/bin/sh"
    own = {"passwd": f"user:x:{uid}:{uid}:user:/home/user:{shell}", "group": f"user:x:{uid}:"}
    for name, line in own.items():
        others = (each for each in _lines(rootfs / "etc" / name) if each.partition(":")[0] != "user")
        (directory / name).write_text("\n".join([*others, line, ""]), errors="surrogateescape")
        (directory / name).chmod(0o644)


def _lines(file: Path) -> list[str]:
    """Of a file of an image, which may be anything."""
    if file.is_symlink() or not file.is_file():
        return ["root:x:0:0:root:/root:/bin/sh" if file.name == "passwd" else "root:x:0:"]
    with file.open(errors="surrogateescape") as stream:
        return stream.read(_READ_MAX).splitlines()
