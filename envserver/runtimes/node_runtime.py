"""What a node's runtimes share: the launcher makes the sandboxes, guest agents drive them, the kernel counts."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import secrets
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from envserver.guest.connection import GuestConnection, GuestGoneError
from envserver.launcher.cgroups import UsageReader
from envserver.runtimes.base import (
    Capability,
    CheckpointKind,
    Limits,
    NotSupportedError,
    Runtime,
    RuntimeUnavailableError,
    Sandbox,
    SandboxCheckpoint,
    SandboxError,
    SandboxGoneError,
    SandboxInfo,
    SandboxSpec,
    SandboxState,
)
from envserver.runtimes.launcher import Launcher, LauncherAwayError
from envserver.runtimes.node_sandbox import NodeSandbox
from envserver.runtimes.tidying import LAUNCHER_S, POLL_S, Tidying

_DIAL_TIMEOUT_S = 10.0
_AGAIN_S = 15.0
"""How long a launcher that was killed is waited for by whoever waits for an answer."""
_CALL = "call"
"""The label by which a sandbox is found whose making was not answered; it tells nobody else anything."""
_SAVES_AT_ONCE = 4
"""Of one server: a sandbox is parted from it only once its dump can begin."""
_NEEDED = {
    CheckpointKind.PROCESS: Capability.PROCESS_CHECKPOINT,
    CheckpointKind.FILESYSTEM: Capability.FILESYSTEM_CHECKPOINT,
}
T = TypeVar("T")
SandboxT = TypeVar("SandboxT", bound=NodeSandbox)


class NodeRuntime(Runtime, Generic[SandboxT]):
    """`run` is the directory that holds the launcher's socket and the sandboxes'."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._launcher = Launcher(run)
        self._claims = Launcher(run, connections=4)  # their own, so that a claim waits for no create
        self._saves = Launcher(run, connections=_SAVES_AT_ONCE)
        self._saving = asyncio.Semaphore(_SAVES_AT_ONCE)
        self._finishing: set[asyncio.Future[None]] = set()
        self._tidying = Tidying()

    async def create(self, spec: SandboxSpec) -> SandboxT:
        limits = asdict(spec.limits)
        request = {"image": spec.image, "limits": limits, "labels": dict(spec.labels), "ttl_s": spec.ttl_s}
        return await self._make("create", {"runtime": self.name, **request}, spec)

    async def _make(self, op: str, request: dict[str, Any], spec: SandboxSpec) -> SandboxT:
        """Carried through even when the caller is cancelled, since only a whole sandbox can be destroyed."""

        async def make() -> SandboxT:
            call = secrets.token_hex(8)
            labelled = {**request, "labels": {**request["labels"], _CALL: call}}
            try:
                made = await self._launcher.call(op, **labelled)
            except LauncherAwayError:
                self._tidying.later(self._end_untold(call))
                raise
            if op == "create":
                return await self._attach(made, spec)
            return await self._attach(made, replace(spec, image=made["image"], limits=Limits(**made["limits"])))

        async def discard(made: SandboxT) -> None:
            await made.detach()
            await self._tidying.undo(self.destroy, made.sandbox_id)

        return await self._carried_through(make(), discard)

    async def _end_untold(self, call: str) -> None:
        """What a launcher made that was killed before it could say so; the next one has it, and nobody knows it."""
        for sandbox in await self._once_there("list", "sandboxes"):
            if sandbox["labels"].get(_CALL) == call:
                await self._tidying.surely(self.destroy, sandbox["sandbox_id"])

    async def _delete_untold(self, labels: Mapping[str, str]) -> None:
        """The same of a checkpoint."""
        for checkpoint in await self._once_there("checkpoints", "checkpoints"):
            if checkpoint["labels"] == labels:
                await self._tidying.surely(self.delete_checkpoint, checkpoint["checkpoint_id"])

    async def _once_there(self, op: str, member: str, timeout_s: float = LAUNCHER_S) -> builtins.list[dict[str, Any]]:
        """What a launcher lists, as soon as there is one; nothing when none comes."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(RuntimeUnavailableError):
                listed: builtins.list[dict[str, Any]] = (await self._launcher.call(op, runtime=self.name))[member]
                return listed
            await asyncio.sleep(POLL_S)
        return []

    async def _carried_through(
        self, work: Coroutine[Any, Any, T], discard: Callable[[T], Coroutine[Any, Any, None]]
    ) -> T:
        """`work` to its end, whether or not the caller still waits; what nobody waits for is discarded."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:

            async def finish() -> None:
                with contextlib.suppress(SandboxError):
                    await discard(await task)

            finishing = asyncio.ensure_future(finish())
            self._finishing.add(finishing)
            finishing.add_done_callback(self._finishing.discard)
            raise

    async def _attach(self, made: dict[str, Any], spec: SandboxSpec) -> SandboxT:
        """A new sandbox; where its agent does not answer it is destroyed."""
        try:
            return await self._dial(made, spec)
        except BaseException:
            with contextlib.suppress(Exception):
                await asyncio.shield(self._tidying.undo(self.destroy, str(made["sandbox_id"])))
            raise

    async def _dial(self, made: dict[str, Any], spec: SandboxSpec) -> SandboxT:
        try:
            usage = UsageReader(made["cgroup"])
            try:
                guest = await GuestConnection.dial(self.run / made["socket"], timeout_s=_DIAL_TIMEOUT_S)
            except BaseException:
                usage.close()
                raise
        except (GuestGoneError, OSError) as error:
            raise RuntimeUnavailableError(f"sandbox {made['sandbox_id']} does not answer: {error}") from error
        return self._sandbox(made, spec, guest, usage)

    @abstractmethod
    def _sandbox(self, made: dict[str, Any], spec: SandboxSpec, guest: GuestConnection, usage: UsageReader) -> SandboxT:
        """What the launcher made, as this runtime's sandbox."""

    async def claim(self, sandbox: Sandbox, spec: SandboxSpec) -> None:
        request: dict[str, Any] = {"image": spec.image, "labels": dict(spec.labels), "ttl_s": spec.ttl_s}
        await self._claims.call("claim", sandbox_id=sandbox.sandbox_id, **request)
        if sandbox.gone:
            raise SandboxGoneError(f"sandbox {sandbox.sandbox_id} has ended")
        sandbox.spec = spec

    async def adopt(self, sandbox_id: str, spec: SandboxSpec) -> SandboxT:
        made = await self._launcher.call(
            "adopt", sandbox_id=sandbox_id, labels=dict(spec.labels), ttl_s=spec.ttl_s, runtime=self.name
        )
        return await self._dial(made, spec)

    async def list(self) -> list[SandboxInfo]:
        answer = await self._launcher.call("list", runtime=self.name)
        return [
            SandboxInfo(
                sandbox_id=entry["sandbox_id"],
                image=entry["image"],
                labels={name: value for name, value in entry["labels"].items() if name != _CALL},
                created_at=entry["created_at"],
                deadline=entry["deadline"],
                state=SandboxState(entry["state"]),
            )
            for entry in answer["sandboxes"]
        ]

    # --- pausing --------------------------------------------------------------------------------

    async def pause(self, sandbox: Sandbox) -> None:
        self._declared(Capability.PAUSE)
        box = _own(sandbox)
        box._hold(paused=True)
        try:
            await self._repeated("pause", sandbox.sandbox_id)
        except BaseException:
            box._hold(paused=False)
            raise

    async def resume(self, sandbox: Sandbox) -> None:
        self._declared(Capability.PAUSE)
        box = _own(sandbox)
        await self._repeated("resume", sandbox.sandbox_id)
        box._hold(paused=False)

    async def _repeated(self, op: str, sandbox_id: str) -> None:
        """What may be asked for twice, again while a launcher takes the place of one that was killed under it."""
        give_up_at = asyncio.get_running_loop().time() + _AGAIN_S
        while True:
            try:
                await self._claims.call(op, sandbox_id=sandbox_id)
                return
            except LauncherAwayError:
                if asyncio.get_running_loop().time() > give_up_at:
                    raise
            await asyncio.sleep(POLL_S)

    async def _is_hibernated(self, sandbox_id: str) -> bool:
        """What the next launcher says of one that was going to disk when the last one was killed."""
        listed = await self._once_there("list", "sandboxes", _AGAIN_S)
        return any(each["sandbox_id"] == sandbox_id and each["state"] == "hibernated" for each in listed)

    # --- checkpoints ----------------------------------------------------------------------------

    async def hibernate(self, sandbox: Sandbox) -> None:
        self._declared(Capability.HIBERNATE)
        box = _own(sandbox)

        async def hibernate() -> None:
            async with self._saving, box.parted():
                try:
                    await self._saves.call("hibernate", sandbox_id=box.sandbox_id)
                except LauncherAwayError:
                    if not await self._is_hibernated(box.sandbox_id):
                        raise
                await box.detach()

        async def discard(_: None) -> None:
            return

        await self._carried_through(hibernate(), discard)

    async def checkpoint(
        self,
        sandbox: Sandbox,
        kind: CheckpointKind,
        labels: Mapping[str, str],
        moved_on: Callable[[], None] = lambda: None,
    ) -> SandboxCheckpoint:
        self._declared(_NEEDED[kind])
        box = _own(sandbox)
        request = {"sandbox_id": box.sandbox_id, "kind": str(kind), "labels": dict(labels)}

        async def save(taken: asyncio.Event) -> SandboxCheckpoint:
            try:
                return _checkpoint(await self._saves.call("checkpoint", on_ahead=lambda _: taken.set(), **request))
            except LauncherAwayError:
                if labels:
                    self._tidying.later(self._delete_untold(dict(labels)))
                raise
            finally:
                taken.set()

        async def checkpoint() -> SandboxCheckpoint:
            async with self._saving:
                taken = asyncio.Event()
                saving: asyncio.Future[SandboxCheckpoint] | None = None
                try:
                    async with box.parted() if kind is CheckpointKind.PROCESS else contextlib.nullcontext():
                        saving = asyncio.ensure_future(save(taken))
                        await taken.wait()
                except SandboxError:  # it cannot be gone on with, and so nobody is told of what was saved
                    if saving is not None:
                        with contextlib.suppress(SandboxError):
                            await discard(await saving)
                    raise
                if not saving.done() or saving.exception() is None:
                    moved_on()
                return await saving

        async def discard(made: SandboxCheckpoint) -> None:
            await self._tidying.undo(self.delete_checkpoint, made.checkpoint_id)

        return await self._carried_through(checkpoint(), discard)

    async def restore(self, checkpoint_id: str, spec: SandboxSpec) -> SandboxT:
        self._declared(Capability.FILESYSTEM_CHECKPOINT)
        request = {"checkpoint_id": checkpoint_id, "labels": dict(spec.labels), "ttl_s": spec.ttl_s}
        return await self._make("restore", {"runtime": self.name, **request}, spec)

    async def checkpoints(self) -> builtins.list[SandboxCheckpoint]:
        answer = await self._launcher.call("checkpoints", runtime=self.name)
        return [_checkpoint(entry) for entry in answer["checkpoints"]]

    async def delete_checkpoint(self, checkpoint_id: str) -> None:
        await self._launcher.call("destroy_checkpoint", checkpoint_id=checkpoint_id)

    def _declared(self, capability: Capability) -> None:
        if capability not in self.capabilities:
            raise NotSupportedError(f"the {self.name} runtime does not declare {capability}")

    async def destroy(self, sandbox_id: str) -> None:
        await self._launcher.call("destroy", sandbox_id=sandbox_id)

    async def close(self) -> None:
        await asyncio.gather(*self._finishing)
        await self._tidying.close()
        for launcher in (self._launcher, self._claims, self._saves):
            launcher.close()


def _own(sandbox: Sandbox) -> NodeSandbox:
    if not isinstance(sandbox, NodeSandbox):
        raise TypeError(f"{type(sandbox).__name__} is no sandbox of a node's runtime")
    return sandbox


def _checkpoint(entry: dict[str, Any]) -> SandboxCheckpoint:
    kind, limits = CheckpointKind(entry["kind"]), Limits(**entry["limits"])
    return SandboxCheckpoint(**{**entry, "kind": kind, "limits": limits})
