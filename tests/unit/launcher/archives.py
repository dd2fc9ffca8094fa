"""Image archives made by hand: layers as lists of members, wrapped as `docker save` or OCI would."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from typing import Any

Member = tuple[tarfile.TarInfo, bytes]
Layer = Sequence[Member]


def file(name: str, content: bytes = b"", mode: int = 0o644, uid: int = 0) -> Member:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.uid, member.gid = len(content), mode, uid, uid
    return member, content


def entry(name: str, kind: bytes, *, link: str = "", mode: int = 0o755, uid: int = 0) -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.uid, member.gid = kind, link, mode, uid, uid
    return member, b""


def directory(name: str, mode: int = 0o755, uid: int = 0) -> Member:
    return entry(name, tarfile.DIRTYPE, mode=mode, uid=uid)


def symlink(name: str, target: str) -> Member:
    return entry(name, tarfile.SYMTYPE, link=target)


def hard_link(name: str, target: str) -> Member:
    return entry(name, tarfile.LNKTYPE, link=target)


def layer(members: Layer) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def wrap(files: dict[str, bytes]) -> bytes:
    return layer([file(name, content) for name, content in files.items()])


def configuration(layers: Sequence[bytes], env: Sequence[str] = ("PATH=/bin",)) -> bytes:
    diff_ids = [sha256(each) for each in layers]
    return json.dumps({"config": {"Env": list(env)}, "rootfs": {"diff_ids": diff_ids}}).encode()


def docker_save(
    *layers: Layer,
    tags: Sequence[str] = ("test:latest",),
    change: Callable[[dict[str, bytes]], None] = lambda files: None,
    config: bytes | None = None,
) -> bytes:
    """An archive of `docker save`; `change` may spoil its files before they are wrapped."""
    contents = [layer(each) for each in layers]
    names = [f"{number}/layer.tar" for number in range(len(contents))]
    manifest: list[dict[str, Any]] = [{"Config": "config.json", "RepoTags": list(tags), "Layers": names}]
    files = {"manifest.json": json.dumps(manifest).encode(), "config.json": config or configuration(contents)}
    files.update(zip(names, contents, strict=True))
    change(files)
    return wrap(files)


def oci(*layers: Layer, tag: str | None = "test", compress: Callable[[bytes], bytes] = gzip.compress) -> bytes:
    """An OCI layout of compressed layers."""
    contents = [layer(each) for each in layers]
    blobs = [compress(each) for each in contents]
    config = configuration(contents)
    manifest = json.dumps(
        {"config": {"digest": sha256(config)}, "layers": [{"digest": sha256(blob)} for blob in blobs]}
    ).encode()
    entry: dict[str, Any] = {"digest": sha256(manifest)}
    if tag is not None:
        entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
    files = {"index.json": json.dumps({"manifests": [entry]}).encode()}
    files.update({f"blobs/sha256/{sha256(blob)[7:]}": blob for blob in (config, manifest, *blobs)})
    return wrap(files)
