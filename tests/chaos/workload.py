"""Clients that use the server in every way, each with episodes of its own, and write down what they sent and got.

A client that got no answer asks again by the same name until it has one: that is the promise under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.actions import ACTIONS, DISK_BYTES, MEMORY_BYTES, RAN
from tests.chaos.history import Call, Document, History, Seen
from tests.chaos.wire import Answer, Wire

_PAUSE_S = (0.05, 0.3)
_INFRA_TRIES = 10
"""An `infra_error` is ours and may be asked again; one that stays is taken for an answer."""
_HANDLES = 4
"""Episodes of one client at a time."""
_GONE = frozenset({"episode_lost", "episode_closed"})
_AGAIN = frozenset({"shutting_down", "episode_not_live", "overloaded"})


class OutOfTimeError(Exception):
    """A call was not answered before the seed's time was up."""


@dataclass
class Handle:
    """One episode as its client knows it."""

    episode: str
    generation: int
    index: int
    over: bool = False
    """It takes no more steps; it may still be looked at."""
    gone: bool = False
    """There is no world any more."""
    checkpoints: list[str] = field(default_factory=list)
    first: int = 0
    """The step that its world began after: those before are another's."""


@dataclass
class Shared:
    """What the clients of one seed have in common."""

    history: History
    now: Callable[[], float]
    rests_at: float
    """From then on nothing new is begun."""
    ends_at: float
    """By then every call must have been answered."""

    def unfinished(self, what: str) -> None:
        self.history.final.unfinished.append(what)


class Client:
    """One trainer. Belongs to one event loop."""

    def __init__(
        self, number: int, rng: random.Random, wires: list[Wire], http: Wire, shared: Shared, favours: frozenset[str],
        *, groups: bool = False,
    ) -> None:  # fmt: skip
        """The first of `wires` is its own, the second for duplicates, `http` for files."""
        self.number, self._rng, self._wires, self._http, self._shared = number, rng, wires, http, shared
        self._favours, self._groups = favours, groups
        self.handles: list[Handle] = []
        self.checkpoints: list[str] = []
        self._count = 0

    # Asking

    async def ask(self, op: str, params: Document, key: str = "", *, wire: Wire | None = None, **notes: Any) -> Answer:
        """Once; status 0 when the connection ended without an answer."""
        wire = wire or self._wires[0]
        if op in ("read_file", "write_file"):
            wire = self._http  # the bytes as they are
        sent_at = self._shared.now()
        try:
            answer = await wire.send(op, params, key)
        except ConnectionError as error:
            answer = Answer(0, repr(error).encode()[:300])
        except asyncio.CancelledError:
            self._note(op, params, key, wire, sent_at, Answer(0, b"cancelled"), notes)
            raise
        self._note(op, params, key, wire, sent_at, answer, notes)
        return answer

    def _note(
        self, op: str, params: Document, key: str, wire: Wire, sent_at: float, answer: Answer, notes: Document
    ) -> None:
        target = str(params.get("episode_id") or params.get("checkpoint_id") or params.get("group_id") or "")
        index = int(params.get("step_index") or params.get("index") or 0)
        self._shared.history.calls.append(
            Call(
                self.number, wire.via, op, target, key, params.get("generation", 0), index,
                sent_at=sent_at, ended_at=self._shared.now(), status=answer.status,
                body=answer.body.decode("latin-1"), **notes,
            )
        )  # fmt: skip

    async def insist(
        self, op: str, params: Document, key: str = "", *, wire: Wire | None = None, **notes: Any
    ) -> Answer:
        """By the same name until there is an answer. Raises: OutOfTimeError."""
        tries = 0
        while True:
            answer = await self.ask(op, params, key, wire=wire, **notes)
            code = code_of(answer)
            if code == "infra_error":
                tries += 1
            is_begun = code != "episode_not_live" or document_of(answer).get("state") not in ("queued", "starting")
            if not (
                answer.status in (0, 202, 502, 504)
                or (code in _AGAIN and not (code == "episode_not_live" and is_begun))
                or (code == "infra_error" and tries < _INFRA_TRIES)
            ):
                return answer
            if self._shared.now() > self._shared.ends_at:
                self._shared.unfinished(f"{op} {params.get('episode_id', '')} {key}: {answer.status} {code}")
                raise OutOfTimeError(op)
            if answer.status == 202 and self._rng.random() < 0.5:
                get = {**{name: params[name] for name in ("episode_id", "generation")}, "index": params["step_index"]}
                answer = await self.ask("get_step", {**get, "wait_s": 2}, wire=wire)
                if answer.status == 200:
                    return answer
            await asyncio.sleep(self._rng.uniform(*_PAUSE_S) * (3 if code == "infra_error" else 1))

    def _key(self) -> str:
        self._count += 1
        return f"c{self.number}-{self._count}"

    # Living

    async def live(self, operations: int) -> None:
        """Make an episode and do so many random things with it and with what comes of it."""
        with contextlib.suppress(OutOfTimeError):
            await (self.make_group() if self._rng.random() < (0.6 if self._groups else 0.12) else self.make())
            for _ in range(operations):
                if self._shared.now() > self._shared.rests_at:
                    return
                if not any(not each.gone for each in self.handles):
                    await self.make()
                usable = [each for each in self.handles if not each.gone]
                if not usable:
                    return
                await self._operate(self._rng.choice(usable))

    async def _operate(self, handle: Handle) -> None:
        operations: list[tuple[int, Callable[[Handle], Coroutine[Any, Any, None]]]] = [
            (40, self.step), (8, self.step_twice), (5, self.reread), (5, self.look), (7, self.save), (5, self.fork),
            (3, self.restore), (3, self.pause), (4, self.hibernate), (3, self.resume), (3, self.reset),
            (2, self.grade), (2, self.submit), (4, self.file), (2, self.close), (2, self.forget), (2, self.race),
        ]  # fmt: skip
        if handle.over:
            operations = [(3, self.reset), (2, self.grade), (3, self.close), (2, self.look), (1, self.restore)]
        weights = [weight * (6 if each.__name__ in self._favours else 1) for weight, each in operations]
        await self._rng.choices([each for _, each in operations], weights)[0](handle)

    # Making

    def _wishes(self) -> Document:
        wishes: Document = {
            "environment": "code",
            "task": f"HumanEval/{self._rng.randrange(8)}",
            "seed": self._rng.randrange(1000),
            "limits": {"memory_bytes": MEMORY_BYTES, "disk_bytes": DISK_BYTES},
            "ttl_s": 600.0,
        }
        chance = self._rng.random()
        if chance < 0.25:
            wishes |= {"recovery": "restore", "checkpoints": {"every_steps": self._rng.choice([2, 3]), "keep": 1}}
        elif chance < 0.35:
            wishes |= {"pause_after_s": 0.1}
        elif chance < 0.45:
            wishes |= {"hibernate_after_s": 0.3}
        return wishes

    async def make(self) -> None:
        answer = await self.insist("create", self._wishes(), self._key())
        if answer.status == 201:
            self._begin([document_of(answer)])

    async def make_group(self) -> None:
        wishes = {**self._wishes(), "n": self._rng.choice([2, 3])}
        answer = await self.insist("create_group", wishes, self._key())
        if answer.status == 201:
            self._begin(document_of(answer)["episodes"])

    def _begin(self, started: list[Document]) -> list[Handle]:
        begun = [
            Handle(each["episode_id"], each["generation"], each["step_index"], first=each["step_index"])
            for each in started
        ]
        self.handles += begun
        return begun

    # Steps

    async def step(self, handle: Handle) -> None:
        weights = [action.weight * (30 if kind in self._favours else 1) for kind, action in ACTIONS.items()]
        kind = self._rng.choices(list(ACTIONS), weights)[0]
        await self.take(handle, kind)

    async def take(self, handle: Handle, kind: str, *, twice: bool = False) -> None:
        """One step of that kind; `twice`: over two connections at once."""
        action = ACTIONS[kind]
        self._count += 1
        token = f"t{self.number}.{self._count}"
        params: Document = {
            "episode_id": handle.episode, "generation": handle.generation, "step_index": handle.index + 1,
            "action": action.make(token),
        }  # fmt: skip
        if action.timeout_s is not None:
            params["timeout_s"] = action.timeout_s
        if self._rng.random() < 0.2:
            params["wait_s"] = 0.05
        notes: Document = {"kind": kind, "token": token}
        if twice:
            both = (self.insist("step", params, wire=wire, **notes) for wire in self._wires[:2])
            answer, _ = await asyncio.gather(*both)
        else:
            answer = await self.insist("step", params, **notes)
        await self._stepped(handle, answer, params["step_index"])

    async def step_twice(self, handle: Handle) -> None:
        await self.take(handle, self._rng.choice(["plain", "python", "long"]), twice=True)

    async def submit(self, handle: Handle) -> None:
        params: Document = {
            "episode_id": handle.episode, "generation": handle.generation, "step_index": handle.index + 1,
            "action": {"type": "submit"},
        }  # fmt: skip
        answer = await self.insist("step", params, kind="submit")
        await self._stepped(handle, answer, params["step_index"])

    async def _stepped(self, handle: Handle, answer: Answer, index: int) -> None:
        if answer.status != 200:
            await self._refused(handle, answer)
            return
        document = document_of(answer)
        handle.index = index
        if (recovery := document["info"].get("recovery")) is not None:
            handle.generation, handle.index = recovery["generation"], recovery["step_index"]
            handle.first = handle.index
        else:
            ours = document["info"]["outcome"] in ("infra_error", "episode_lost")
            handle.over = ours or document["terminated"] or document["truncated"]

    async def _refused(self, handle: Handle, answer: Answer) -> None:
        code = code_of(answer)
        if code in _GONE:
            handle.over = True
            handle.gone = code == "episode_closed"
        elif code == "episode_ended":
            handle.over = True
        elif code in ("stale_generation", "wrong_step_index"):
            await self.rejoin(handle)

    async def rejoin(self, handle: Handle) -> None:
        """Go on where the server has the episode."""
        while True:
            answer = await self.insist("get", {"episode_id": handle.episode})
            document = document_of(answer)
            if answer.status != 200 or document["state"] not in ("queued", "starting"):
                break
            if self._shared.now() > self._shared.ends_at:
                self._shared.unfinished(f"{handle.episode} is still {document['state']}")
                raise OutOfTimeError("rejoin")
            await asyncio.sleep(0.1)
        if answer.status == 200:
            if document["generation"] != handle.generation:
                handle.first = document["step_index"]  # or before that; what is not ours need not be read
            handle.generation, handle.index = document["generation"], document["step_index"]
            handle.over = document["state"] not in ("live", "paused", "hibernated")
            handle.gone = document["state"] == "closed"

    async def reread(self, handle: Handle) -> None:
        """An older step's record, and the newest step once more."""
        if handle.index > handle.first:
            index = self._rng.randint(handle.first + 1, handle.index)
            await self.read(handle.episode, handle.generation, index)

    async def read(self, episode: str, generation: int, index: int) -> None:
        await self.insist("get_step", {"episode_id": episode, "generation": generation, "index": index, "wait_s": 5})

    async def look(self, handle: Handle) -> None:
        """What stands in the file of tokens, if the world was the same before and after."""
        before = document_of(await self.insist("get", {"episode_id": handle.episode}))
        answer = await self.insist("read_file", {"episode_id": handle.episode, "path": RAN})
        after = document_of(await self.insist("get", {"episode_id": handle.episode}))
        where = [(each.get("generation"), each.get("step_index")) for each in (before, after)]
        missing = code_of(answer) == "file_error" and document_of(answer).get("reason") == "not_found"
        if where[0] == where[1] == (handle.generation, handle.index) and (answer.status == 200 or missing):
            tokens = [] if missing else answer.body.decode().split()
            self._shared.history.seen.append(
                Seen(handle.episode, handle.generation, handle.index, tokens, self._shared.now())
            )
        elif code_of(answer) in _GONE:
            await self.rejoin(handle)

    async def race(self, handle: Handle) -> None:
        """A step, and meanwhile something that waits for it or ends it."""
        other = self._rng.choice(["checkpoint", "pause", "grade", "reset"])
        stepping = asyncio.create_task(self.take(handle, "long"))
        await asyncio.sleep(0)
        try:
            await self.insist(other, {"episode_id": handle.episode}, self._key())
        finally:
            await asyncio.gather(stepping, return_exceptions=True)
        await self.rejoin(handle)

    # Between steps

    async def save(self, handle: Handle) -> None:
        kind = self._rng.choice(["auto", "process", "process", "filesystem", "replay"])
        answer = await self.insist("checkpoint", {"episode_id": handle.episode, "kind": kind}, self._key())
        if answer.status == 201:
            checkpoint = document_of(answer)["checkpoint_id"]
            handle.checkpoints.append(checkpoint)
            self.checkpoints.append(checkpoint)
        else:
            await self._refused(handle, answer)

    async def fork(self, handle: Handle) -> None:
        if not handle.checkpoints:
            await self.save(handle)
        if not handle.checkpoints or len([each for each in self.handles if not each.gone]) >= _HANDLES:
            return
        params = {"checkpoint_id": self._rng.choice(handle.checkpoints), "n": self._rng.choice([1, 1, 2, 3])}
        answer = await self.insist("fork", params, self._key())
        if answer.status == 201:
            for each in self._begin(document_of(answer)["episodes"]):
                await self.look(each)
                await self.take(each, "python")

    async def restore(self, handle: Handle) -> None:
        if handle.checkpoints:
            params = {"episode_id": handle.episode, "checkpoint_id": self._rng.choice(handle.checkpoints)}
            await self._replaced(handle, await self.insist("restore", params, self._key()))
            if not handle.over:
                await self.look(handle)
                await self.take(handle, "python")

    async def reset(self, handle: Handle) -> None:
        params = {"episode_id": handle.episode, "seed": self._rng.randrange(1000)}
        await self._replaced(handle, await self.insist("reset", params, self._key()))

    async def _replaced(self, handle: Handle, answer: Answer) -> None:
        if answer.status == 200:
            document = document_of(answer)
            handle.generation, handle.index, handle.over = document["generation"], document["step_index"], False
            handle.first = handle.index
        await self.rejoin(handle)

    async def pause(self, handle: Handle) -> None:
        await self._refused(handle, await self.insist("pause", {"episode_id": handle.episode}, self._key()))

    async def hibernate(self, handle: Handle) -> None:
        await self._refused(handle, await self.insist("hibernate", {"episode_id": handle.episode}, self._key()))

    async def resume(self, handle: Handle) -> None:
        await self._refused(handle, await self.insist("resume", {"episode_id": handle.episode}, self._key()))

    async def file(self, handle: Handle) -> None:
        content = self._rng.randbytes(self._rng.choice([10, 1000])).hex()
        params = {"episode_id": handle.episode, "path": "/workspace/put"}
        put = await self.insist("write_file", {**params, "data": content.encode()}, self._key(), token=content)
        if put.status == 200:
            await self.insist("read_file", params, token=content)

    async def forget(self, handle: Handle) -> None:
        if handle.checkpoints:
            checkpoint = handle.checkpoints.pop(0)
            await self.insist("delete_checkpoint", {"checkpoint_id": checkpoint}, self._key())

    # Ending

    async def grade(self, handle: Handle) -> None:
        await self.look(handle)
        answer = await self.insist("grade", {"episode_id": handle.episode}, self._key())
        await self._refused(handle, answer)
        handle.over = True

    async def close(self, handle: Handle) -> None:
        await self.look(handle)
        answer = await self.insist("close", {"episode_id": handle.episode}, self._key())
        handle.over = handle.gone = answer.status == 200

    async def finish(self) -> None:
        """Look at everything once more, and end it."""
        known = {call.name for call in self._shared.history.calls if call.op == "step" and call.status == 200}
        current = {(each.episode, each.generation) for each in self.handles}
        for handle in self.handles:
            with contextlib.suppress(OutOfTimeError):
                await self.rejoin(handle)
                if not handle.gone:
                    await self.look(handle)
                for episode, generation, index in sorted(known):
                    if episode == handle.episode and (episode, generation) in current:
                        await self.read(episode, generation, index)
                if not handle.gone and self._rng.random() < 0.3:
                    await self.grade(handle)
                    await self.grade(handle)
                await self.insist("close", {"episode_id": handle.episode}, self._key())
        for checkpoint in self.checkpoints:
            with contextlib.suppress(OutOfTimeError):
                await self.insist("delete_checkpoint", {"checkpoint_id": checkpoint}, self._key())

    async def forget_all(self) -> None:
        """Delete every checkpoint that there still is, such as those that the server took by itself."""
        answer = await self.insist("checkpoints", {"limit": 1000})
        for each in document_of(answer).get("checkpoints", []):
            await self.insist("delete_checkpoint", {"checkpoint_id": each["checkpoint_id"]}, self._key())

    async def leave(self) -> None:
        for wire in {*self._wires, self._http}:
            await wire.close()


def document_of(answer: Answer) -> Document:
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def code_of(answer: Answer) -> str:
    """Which problem it is; empty for a result."""
    if answer.status in (0, 200, 201, 202):
        return ""
    return str(document_of(answer).get("type", "")).rpartition(":")[2]
