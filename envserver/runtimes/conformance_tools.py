"""What the conformance suite's tests are written with; other tests of runtimes use it, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from envserver.runtimes.base import Command, CommandResult, Limits, OutputLimits, Runtime, Sandbox, SandboxSpec, Session

LABELS = {"purpose": "conformance"}
ECHO = 'while read -r n <&3; do m=$(head -c "$n" <&3); eval "$m"; printf "%s\\n%s" ${#reply} "$reply" >&4; done'
"""A session for any POSIX shell: evaluates each message and answers with what it left in `reply`."""


async def raises(kind: type[BaseException], call: Callable[[], object]) -> BaseException:
    try:
        result = call()
        if asyncio.iscoroutine(result):
            await result
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def spec(image: str = "busybox", **limits: Any) -> SandboxSpec:
    """Of a sandbox with the given `Limits`."""
    return SandboxSpec(image=image, limits=Limits(**limits), labels=LABELS, ttl_s=300.0)


@asynccontextmanager
async def sandbox(runtime: Runtime, image: str = "busybox", **limits: Any) -> AsyncIterator[Sandbox]:
    made = await runtime.create(spec(image, **limits))
    try:
        yield made
    finally:
        await made.destroy()


async def shell(
    box: Sandbox, script: str, *, timeout_s: float = 20.0, output: OutputLimits | None = None
) -> CommandResult:
    return await box.run(Command(["/bin/sh", "-c", script]), timeout_s=timeout_s, output=output or OutputLimits())


PYTHON = r"""
import os
inbound, outbound = os.fdopen(3, "rb"), os.fdopen(4, "wb")
names = {}
while header := inbound.readline():
    exec(inbound.read(int(header)).decode(), names)
    reply = repr(names["reply"]).encode()
    outbound.write(b"%d\n%s" % (len(reply), reply))
    outbound.flush()
"""
"""A session in Python: runs each message and answers with the `repr` of what it left in `reply`."""


async def open_python(box: Sandbox, name: str = "python") -> Session:
    return await box.open_session(name, Command(["python3", "-c", PYTHON]))


async def say(session: Session, message: str) -> str:
    """What a session answers. It has to."""
    result = await session.call(message.encode(), timeout_s=20)
    assert result.message is not None, result
    return result.message.decode()
