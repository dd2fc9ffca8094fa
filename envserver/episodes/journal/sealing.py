"""How bytes stand in a column: with a checksum, or as the name of a file that holds them.

SQLite checks no content of its own, and a damaged result that is answered as if it were sound is worse than none.
So the first byte of a sealed value says how it is kept: 0, then a CRC-32 of four bytes and the data; 1, then the
BLAKE2b-256 that names a payload file, and the data's length in eight bytes. Integers are big-endian.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable

INLINE, FILED = b"\0", b"\1"
DIGEST_BYTES = 32

Load = Callable[[bytes], bytes]
"""The content of a payload file by its digest. Raises: DamageError, FileNotFoundError."""


class DamageError(ValueError):
    """A value is not what was written."""


def digest_of(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def seal_inline(data: bytes) -> bytes:
    return b"".join((INLINE, zlib.crc32(data).to_bytes(4, "big"), data))


def seal_filed(digest: bytes, size_bytes: int) -> bytes:
    return b"".join((FILED, digest, size_bytes.to_bytes(8, "big")))


def unseal(sealed: bytes, load: Load) -> bytes:
    """The data. Raises: DamageError, and what `load` raises."""
    if sealed[:1] == INLINE:
        data = sealed[5:]
        if len(sealed) < 5 or zlib.crc32(data) != int.from_bytes(sealed[1:5], "big"):
            raise DamageError("its checksum is wrong")
        return data
    if sealed[:1] == FILED and len(sealed) == 1 + DIGEST_BYTES + 8:
        data = load(sealed[1 : 1 + DIGEST_BYTES])
        if len(data) != int.from_bytes(sealed[-8:], "big"):
            raise DamageError("its length is wrong")
        return data
    raise DamageError(f"it begins with {sealed[:1].hex() or 'nothing'}, which is no way to keep a value")
