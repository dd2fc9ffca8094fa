"""The server's end of the program that drives the browser: asks it, and answers what pages ask in between.

    step ──▶ act ──▶ driver ──▶ page
                       │ asked: [requests] ──▶ the episode's sites, here
                       ◀── answers ──────────────┘
                       │ done: what is seen

Each leg is one call to the sandbox under a name of its own. So a step that a server's successor makes again goes
through the same requests and gives the sites the same ones: what they hold is what the page was told.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic_core import to_json

from environments.browser.web.messages import Request, Response
from environments.environment import JsonObject, StepContext
from environments.programs import JunkError, Program, Reply, program
from envserver.runtimes.base import Command, OutputLimits, Sandbox

SESSION = "browser"
OUTPUT = OutputLimits(keep_bytes=4096, stop_bytes=16 << 20)
MAX_LEGS = 2000
"""Of one step: a page that asks for more is not waited for."""
MAX_ASKED = 500
MAX_NUMBER = 2**53
MAX_VALUES, TEXTS = 200_000, 6
"""Of an answer's JSON, besides those that its texts look like."""
MAX_CHARS = 400_000
MAX_HEARD_BYTES = 64 << 20
"""In one step: what whoever breaks the browser says is read in the server's loop."""
MAX_FAILED = 2000
TOO_LATE = Response.plain("The step ended before that was answered.\n", 504)

SOURCES = (
    "environments.guest.channel",
    "environments.browser.guest.snapshot",
    "environments.browser.guest.beside",
    "environments.browser.guest.proxy",
    "environments.browser.guest.playing",
    "environments.browser.guest.permissions",
    "environments.browser.guest.chromium",
    "environments.browser.guest.tabs",
    "environments.browser.guest.acting",
    "environments.browser.guest.remembered",
    "environments.browser.guest.looking",
    "environments.browser.guest.host",
    "environments.browser.guest.browser_session",
)
"""In the order of what they import; the last one is the program."""

Answerer = Callable[[Request], Awaitable[Response]]


@cache
def command() -> Command:
    """The program that drives the browser."""
    return program(SOURCES, {"PYTHONHASHSEED": "0", "HOME": "/home/user"})


@dataclass(frozen=True)
class Seen:
    """What a request to the browser came to. Without `done` it is gone, or was stopped."""

    reply: Reply
    done: JsonObject | None = None
    late: bool = False
    """The time limit passed; the browser is still there."""
    failed: str | None = None
    """A defect, or a browser that cannot be started."""


class Driver(Program):
    """One browser's, in one sandbox."""

    @classmethod
    async def start(cls, sandbox: Sandbox) -> Driver:
        """Raises: CommandNotStartedError, SandboxGoneError."""
        return cls(sandbox, await sandbox.open_session(SESSION, command()))

    @classmethod
    def attach(cls, sandbox: Sandbox) -> Driver:
        """The one that was started before; its first request tells whether it still runs."""
        return cls(sandbox, sandbox.attach_session(SESSION))

    async def see(
        self, request: Mapping[str, Any], context: StepContext, answer: Answerer, max_chars: int = MAX_CHARS
    ) -> Seen:
        """Ask, answer what pages ask, until there is something to see, each text of it at most `max_chars` long.

        Raises: SandboxError when the program does not run any more, SandboxGoneError, JunkError.
        """
        ends_at, heard = time.monotonic() + context.timeout_s, 0
        for _ in range(MAX_LEGS):
            left = StepContext(max(0.01, ends_at - time.monotonic()))
            reply = await self.ask(to_json(request), left, OUTPUT, MAX_VALUES + TEXTS * max_chars)
            heard += reply.size
            if heard > MAX_HEARD_BYTES:
                raise JunkError(f"more than {MAX_HEARD_BYTES} bytes in one step")
            said = reply.answer
            if said is None:
                return Seen(reply)
            if "asked" not in said:
                return _seen(reply, said)
            if reply.late:  # it was told to stop, and whatever it asks for now belongs to no step
                return Seen(reply, late=True)
            answers = await _answers(_asked(said["asked"]), answer, ends_at)
            request = {"op": "answers", "answers": answers}
        raise JunkError(f"pages asked for something {MAX_LEGS} times")


def _seen(reply: Reply, said: JsonObject) -> Seen:
    if isinstance(done := said.get("done"), dict):
        return Seen(reply, done=done)
    if said.get("late") is True:
        return Seen(reply, late=True)
    if isinstance(failed := said.get("failed"), str):
        return Seen(reply, failed=failed[:MAX_FAILED])
    raise JunkError("it says nothing that it could say")


def _asked(asked: Any) -> list[tuple[int, Request]]:
    """Each with its number. All are read before the first is answered. Raises: JunkError."""
    if not isinstance(asked, list) or len(asked) > MAX_ASKED:
        raise JunkError("what pages asked is no list of requests")
    return [_request(each) for each in asked]


def _request(asked: Any) -> tuple[int, Request]:
    """Raises: JunkError."""
    try:
        number, method, url, headers = asked["id"], asked["method"], asked["url"], dict(asked["headers"])
        body = base64.b64decode(asked["body"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise JunkError("a request of a page is malformed") from error
    texts = [method, url, *headers, *headers.values()]
    if type(number) is not int or not 0 <= number < MAX_NUMBER or not all(isinstance(each, str) for each in texts):
        raise JunkError("a request of a page is malformed")
    return number, Request(method, url, {name.lower(): value for name, value in headers.items()}, body)


async def _answers(asked: Sequence[tuple[int, Request]], answer: Answerer, ends_at: float) -> list[JsonObject]:
    """Begun in their order, which is what sites see of them; real hosts take their time side by side, but no longer.

    One at a turn of the loop: others' steps do not wait for all that a page, or whoever speaks for it, asks at once.
    """
    begun: list[asyncio.Future[Response]] = []
    try:
        for _, request in asked:
            begun.append(asyncio.ensure_future(answer(request)))
            await asyncio.sleep(0)
        if begun:
            await asyncio.wait(begun, timeout=max(0.0, ends_at - time.monotonic()))
        return [
            _as_json(number, each.result() if each.done() else TOO_LATE)
            for (number, _), each in zip(asked, begun, strict=True)
        ]
    finally:
        for each in begun:
            each.cancel()


def _as_json(number: int, response: Response) -> JsonObject:
    return {
        "id": number,
        "status": int(response.status),
        "headers": [list(header) for header in response.headers],
        "body": base64.b64encode(response.body).decode(),
        "delay_s": response.delay_s,
        "abort": response.abort,
    }
