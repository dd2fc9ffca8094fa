"""The file actions. They act with the policy's rights and follow no links; a refusal is an observation."""

from __future__ import annotations

from typing import Any

from environments.code.actions import Action
from envserver.runtimes.base import KIB, Sandbox

MAX_READ_BYTES = 256 * KIB
MAX_EDIT_BYTES = 4096 * KIB

REASONS = {
    "not_found": "no such file",
    "not_a_file": "not a regular file",
    "not_a_directory": "a part of the path is no directory",
    "denied": "permission denied",
    "is_link": "a part of the path is a symbolic link; links are not followed here",
    "no_space": "no space left",
    "invalid_path": "not a usable path",
    "too_large": "too large for this action; use bash to see a part of it",
}


async def write_file(sandbox: Sandbox, action: Action) -> dict[str, Any]:
    """Raises: SandboxFileError, SandboxGoneError; so do the others."""
    data = action["content"].encode()
    await sandbox.write_file(action["path"], data)
    return {"path": action["path"], "size_bytes": len(data)}


async def read_file(sandbox: Sandbox, action: Action) -> dict[str, Any]:
    data = await sandbox.read_file(action["path"], max_bytes=MAX_READ_BYTES)
    return {"path": action["path"], "size_bytes": len(data), "content": data.decode("utf-8", "backslashreplace")}


async def edit_file(sandbox: Sandbox, action: Action) -> dict[str, Any]:
    """Bytes are compared, so a file need not be text for it."""
    data = await sandbox.read_file(action["path"], max_bytes=MAX_EDIT_BYTES)
    old = action["old"].encode()
    count = data.count(old)
    if count != 1:
        found = "does not occur" if count == 0 else f"occurs {count} times"
        return {"path": action["path"], "error": f"'old' {found} in the file, must occur exactly once"}
    data = data.replace(old, action["new"].encode())
    await sandbox.write_file(action["path"], data)
    return {"path": action["path"], "size_bytes": len(data)}
