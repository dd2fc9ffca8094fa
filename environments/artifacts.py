"""Exporting what a task declares from an ended sandbox: regular files, capped, as data."""

from __future__ import annotations

from collections.abc import Sequence

from envserver.runtimes.base import Sandbox, SandboxFileError

MAX_ARTIFACT_BYTES = 16 << 20


async def export(sandbox: Sandbox, paths: Sequence[str]) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The files that are there, by path, and why others are absent. Raises: SandboxGoneError."""
    files, problems = {}, []
    for path in paths:
        try:
            files[path] = await sandbox.read_file(path, max_bytes=MAX_ARTIFACT_BYTES)
        except SandboxFileError as error:
            problems.append(f"{path}: {error.code}")
    return files, tuple(problems)
