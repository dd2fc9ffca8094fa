"""Image archives, as `docker save` writes them and as OCI layouts: what is in one, and its layers into a directory.

An archive is not trusted: whatever is wrong with it is an ImageError.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MAX_MEMBERS = 10_000
"""Of an archive itself: layers, configurations and manifests."""
MAX_LAYER_BYTES = 64 << 30
"""Of one layer, uncompressed; a compressed one may grow a thousandfold."""


class ImageError(Exception):
    """The archive is malformed, damaged, or the image is not here."""


@dataclass(frozen=True)
class Contents:
    digest: str
    names: tuple[str, ...]
    env: list[str]
    layers: list[str]
    diff_ids: list[str]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Whatever is wrong with its format is an ImageError."""
    try:
        with tarfile.open(path) as tar:
            yield tar
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ImageError(f"no image archive, or damaged: {error}") from error


def member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        found = tar.extractfile(name)
    except KeyError:
        found = None
    if found is None:
        raise ImageError(f"{name} is missing from the archive")
    return found


def _names(tar: tarfile.TarFile) -> set[str]:
    names: set[str] = set()
    for number, entry in enumerate(tar):
        if number >= MAX_MEMBERS:
            raise ImageError(f"the archive has more than {MAX_MEMBERS} members: no image archive")
        names.add(entry.name)
    return names


def _read_json(tar: tarfile.TarFile, name: str) -> tuple[Any, bytes]:
    content = member(tar, name).read(16 << 20)
    try:
        return json.loads(content), content
    except ValueError as error:
        raise ImageError(f"{name} is no JSON") from error


def read(tar: tarfile.TarFile) -> Contents:
    """The newest format that the archive has: `docker save` writes both from Docker 25 on."""
    names = _names(tar)
    try:
        if "manifest.json" in names:
            manifest = _read_json(tar, "manifest.json")[0][0]
            config, layers, tags = manifest["Config"], manifest["Layers"], manifest.get("RepoTags") or []
        elif "index.json" in names:
            entry = _read_json(tar, "index.json")[0]["manifests"][0]
            manifest = _read_json(tar, _blob(entry["digest"]))[0]
            config = _blob(manifest["config"]["digest"])
            layers = [_blob(layer["digest"]) for layer in manifest["layers"]]
            tag = (entry.get("annotations") or {}).get("org.opencontainers.image.ref.name")
            tags = [tag] if tag else []
        else:
            raise ImageError("neither manifest.json nor index.json: no image archive")
        parsed, raw = _read_json(tar, config)
        digest = "sha256:" + hashlib.sha256(raw).hexdigest()
        env = (parsed.get("config") or {}).get("Env") or []
        contents = Contents(digest, tuple(tags), env, layers, parsed["rootfs"]["diff_ids"])
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise ImageError(f"malformed image archive: {error!r}") from error
    for strings in (contents.names, contents.env, contents.layers, contents.diff_ids):
        if not isinstance(strings, list | tuple) or not all(isinstance(each, str) for each in strings):
            raise ImageError(f"malformed image archive: {strings!r:.200} is no list of strings")
    if len(contents.layers) != len(contents.diff_ids):
        raise ImageError(f"the archive has {len(contents.layers)} layers, its configuration {len(contents.diff_ids)}")
    return contents


def _blob(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def apply_layer(layer: IO[bytes], diff_id: str, rootfs: Path) -> None:
    """Unpack one layer in a child that has chroot'ed into `rootfs`, checking its digest on the way."""
    child = subprocess.Popen(
        [sys.executable, "-I", "-m", "envserver.launcher.unpack", str(rootfs)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stderr is not None
    checksum = hashlib.sha256()
    try:
        _feed(layer, child.stdin, checksum)
        message = child.stderr.read().decode(errors="replace").strip()
    except BaseException:
        child.kill()
        raise
    finally:
        status = child.wait()
        child.stderr.close()
    if status != 0:
        raise ImageError(f"layer {diff_id[:19]} cannot be unpacked: {message[-500:]}")
    if "sha256:" + checksum.hexdigest() != diff_id:
        raise ImageError(f"layer {diff_id[:19]} is damaged: its content has another digest")


def _feed(layer: IO[bytes], sink: IO[bytes], checksum: hashlib._Hash) -> None:
    """Write a layer into a child, which may stop to read where the archive in it has ended."""
    reading = True
    try:
        with _plain(layer) as stream:
            size = 0
            while block := stream.read(1 << 20):
                size += len(block)
                if size > MAX_LAYER_BYTES:
                    raise ImageError(f"a layer has more than {MAX_LAYER_BYTES} bytes")
                checksum.update(block)
                if reading:
                    try:
                        sink.write(block)
                    except BrokenPipeError:
                        reading = False
    finally:
        with contextlib.suppress(BrokenPipeError):
            sink.close()


@contextlib.contextmanager
def _plain(layer: IO[bytes]) -> Iterator[IO[bytes]]:
    """The layer's bytes, uncompressed: OCI archives compress them, `docker save` does not."""
    magic = layer.read(4)
    layer.seek(0)
    if magic[:2] == b"\x1f\x8b":
        import gzip  # rarely needed

        try:
            with gzip.open(layer) as stream:
                yield stream  # type: ignore[misc]  # a GzipFile reads like any other
        except gzip.BadGzipFile as error:
            raise ImageError(f"a layer's compression is damaged: {error}") from error
    elif magic == b"\x28\xb5\x2f\xfd":
        raise ImageError("a layer is compressed with zstd, which is not read here; `docker save` writes plain layers")
    else:
        yield layer
