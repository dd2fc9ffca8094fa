"""Keys, and the file that they are kept in.

A key is `env_<id>_<secret>`, its secret 256 random bits. The file keeps SHA-256 of the whole key and nothing that
leads back to it; a slow hash would add nothing against guessing 256 bits. The id is public: it finds the record,
names the key in the audit log, and revokes it.

The file is replaced as a whole and never written in place, so that whoever reads it sees one state or the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from envserver.access.tenants import DEFAULT_TENANT, Quotas

MAX_FILE_BYTES = 16 << 20

_KEY = re.compile(r"env_([a-z0-9]{12})_[A-Za-z0-9_-]{43}")
_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

TenantName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class KeysFileError(Exception):
    """The keys file cannot be used; nothing of it is."""


class Scope(StrEnum):
    """What a key may do. A closed list."""

    READ = "read"
    """Look at the tenant's episodes, records and files, and at environments and tasks."""
    EPISODES = "episodes"
    """All of `read`; create, step, reset, grade and close the tenant's episodes, and write their files."""
    METRICS = "metrics"
    """Scrape `/metrics`, which counts over all tenants."""
    ADMIN = "admin"
    """Everything, for the episodes of every tenant."""


class KeyRecord(BaseModel):
    """One key. Times are Unix seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern="^[a-z0-9]{12}$")
    hash: str = Field(pattern="^sha256:[0-9a-f]{64}$")
    tenant: TenantName
    scopes: frozenset[Scope] = Field(min_length=1)
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    note: str = Field(default="", max_length=200)

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.hash.removeprefix("sha256:"))


class KeysFile(BaseModel):
    """The whole file. Every key's tenant is listed, so that a misspelt one is an error and not without quotas."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(default=1, ge=1, le=1)
    keys: tuple[KeyRecord, ...]
    tenants: dict[TenantName, Quotas] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> KeysFile:
        ids = [key.id for key in self.keys]
        if len(set(ids)) != len(ids):
            raise ValueError("two keys have the same id")
        unlisted = {key.tenant for key in self.keys} - set(self.tenants) - {DEFAULT_TENANT}
        if unlisted:
            raise ValueError(f"tenants without an entry: {', '.join(sorted(unlisted))}")
        return self


def hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def make_key() -> tuple[str, str]:
    """A new id, and the key with it."""
    key_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(12))
    return key_id, f"env_{key_id}_{secrets.token_urlsafe(32)}"


def id_of(key: str) -> str | None:
    """The id that a key names; None for what is no such key."""
    match = _KEY.fullmatch(key)
    return match[1] if match else None


def read_keys(path: Path) -> KeysFile:
    """Raises: KeysFileError, without a word of what the file holds."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise KeysFileError(f"{path}: others may read or write it (mode {mode & 0o777:04o}); make it 0600")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeysFileError(f"{path}: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise KeysFileError(f"{path}: more than {MAX_FILE_BYTES} bytes")
    try:
        return KeysFile.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise KeysFileError(f"{path}: {place}: {first['msg']}") from None


def write_keys(path: Path, content: KeysFile) -> None:
    """Replace the file by a complete new one of mode 0600 and the same owner. Raises: OSError."""
    text = content.model_dump_json(indent=2, exclude_none=True) + "\n"
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            if path.exists():
                owner = path.stat()
                if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked_keys(path: Path) -> Iterator[KeysFile]:
    """The file's content (none yet: empty), with every other writer kept waiting. Raises: KeysFileError."""
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield read_keys(path) if path.exists() else KeysFile(keys=())
