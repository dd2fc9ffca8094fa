"""Which key is whose, now: the keys file held in memory, and followed while the server runs.

A change of the file is noticed within `POLL_S` by its inode, size and time, never by reading it for a request. A
`Caller` lives as long as its key does and is the same object for every request with it, so that a connection that
was opened long ago sees a revocation too. A file that cannot be used opens no door and shuts none: the last good
one stays in force, and the log says so.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from pathlib import Path

from envserver.access.audit import AuditLog
from envserver.access.keys import KeyRecord, KeysFile, KeysFileError, Scope, hash_key, id_of, read_keys
from envserver.access.tenants import DEFAULT_TENANT, Tenant, Tenants
from envserver.logs import get_logger
from envserver_sdk.errors import Forbidden, Unauthorized

log = get_logger(__name__)

POLL_S = 0.5

_NO_HASH = bytes(32)
_SINGLE = "api_key"
_LOCAL = "local"

Signature = tuple[int, int, int] | None


class Caller:
    """Whoever holds one key."""

    def __init__(self, key_id: str, tenant: Tenant, scopes: frozenset[Scope], expires_at: float | None = None) -> None:
        self.key_id = key_id
        self.tenant = tenant
        self.scopes = scopes
        self.expires_at = expires_at
        self._ended = False
        self._on_end: set[Callable[[], None]] = set()

    @property
    def ended(self) -> bool:
        """Whether the key is revoked, expired or gone."""
        return self._ended or (self.expires_at is not None and time.time() >= self.expires_at)

    @property
    def sees_all(self) -> bool:
        """Whether other tenants' episodes are its business too."""
        return Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Raises: Unauthorized for a key that has ended, Forbidden for one without the scope."""
        if self.ended:
            raise Unauthorized("the API key has been revoked or has expired")
        scopes = self.scopes
        if scope in scopes or Scope.ADMIN in scopes or (scope is Scope.READ and Scope.EPISODES in scopes):
            return
        raise Forbidden(f"this API key lacks the scope {scope.value!r}", scope=scope.value)

    def when_ended(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` called once when the key ends, or now if it has; the result takes that back."""
        if self._ended:
            call()
        else:
            self._on_end.add(call)
        return lambda: self._on_end.discard(call)

    def end(self) -> None:
        self._ended = True
        calls, self._on_end = self._on_end, set()
        for call in calls:
            call()


class Keyring:
    """Belongs to one event loop. Without a file and a single key everybody is the caller `local`."""

    def __init__(self, path: Path | None, single: str | None, tenants: Tenants, audit: AuditLog) -> None:
        """Raises: KeysFileError."""
        self._path = path
        self._tenants = tenants
        self._audit = audit
        self._records: dict[str, KeyRecord] = {}
        self._callers: dict[str, Caller] = {}
        self._single = None if single is None else hash_key(single)
        everything = frozenset(Scope)
        self._single_caller = Caller(_SINGLE, tenants.get(DEFAULT_TENANT), everything)
        self.local = Caller(_LOCAL, tenants.get(DEFAULT_TENANT), everything)
        self._seen: Signature = None
        if path is not None:
            self._seen = _sign(path)
            self._take(read_keys(path))

    @property
    def required(self) -> bool:
        return self._path is not None or self._single is not None

    def find(self, key: str) -> Caller | None:
        """Whose key this is. An unknown id takes the time of a known one."""
        digest = hash_key(key)
        key_id = id_of(key) or ""
        record = self._records.get(key_id)
        if hmac.compare_digest(digest, record.digest if record else _NO_HASH) and record is not None:
            caller = self._callers.get(key_id)
            return None if caller is None or caller.ended else caller
        if self._single is not None and hmac.compare_digest(digest, self._single):
            return self._single_caller
        return None

    async def watch(self) -> None:
        """Follow the file and the keys' expiry, for ever; cancel to stop."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Take over a changed file, and end what has expired."""
        if self._path is not None:
            seen = await asyncio.to_thread(_sign, self._path)
            if seen != self._seen:
                self._seen = seen
                await self._reload(self._path)
        for key_id, caller in list(self._callers.items()):
            if caller.ended:
                self._end(key_id)

    async def _reload(self, path: Path) -> None:
        try:
            content = await asyncio.to_thread(read_keys, path)
        except KeysFileError as error:
            log.error("keys_not_reloaded", error=str(error))  # noqa: TRY400  # its traceback says nothing more
            self._audit.record("keys_not_reloaded")
            return
        self._take(content)
        log.info("keys_reloaded", keys=len(self._callers))
        self._audit.record("keys_reloaded", keys=len(self._callers), tenants=len(content.tenants))

    def _take(self, content: KeysFile) -> None:
        self._tenants.set_quotas(content.tenants)
        valid = {record.id: record for record in content.keys if record.revoked_at is None}
        for key_id, old in list(self._records.items()):
            new = valid.get(key_id)
            if new is None or (new.hash, new.tenant) != (old.hash, old.tenant):
                self._end(key_id)
        for key_id, record in valid.items():
            caller = self._callers.get(key_id)
            if caller is None:
                tenant = self._tenants.get(record.tenant)
                self._callers[key_id] = Caller(key_id, tenant, record.scopes, record.expires_at)
            else:
                caller.scopes, caller.expires_at = record.scopes, record.expires_at
        self._records = valid

    def _end(self, key_id: str) -> None:
        caller = self._callers.pop(key_id, None)
        if caller is not None:
            caller.end()


def _sign(path: Path) -> Signature:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
