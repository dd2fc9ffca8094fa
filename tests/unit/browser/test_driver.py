"""The server's end of a browser: pages' requests are answered between an action and what is seen of it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from environments.browser import driver as driver_module
from environments.browser.driver import Driver
from environments.browser.web.messages import Request, Response
from environments.environment import StepContext
from environments.programs import JunkError, _source
from envserver.runtimes.base import CommandResult, Ending, Output
from tests.unit.browser.scripted_program import Answer, ScriptedSession

CONTEXT = StepContext(timeout_s=5)
ASKED = {
    "id": 1,
    "method": "POST",
    "url": "http://shop.test/buy",
    "headers": [["Content-Type", "text/plain"]],
    "body": base64.b64encode(b"\xff\x00").decode(),
}


def asked(**changes: Any) -> dict[str, Any]:
    return {"asked": [{**ASKED, **changes}]}


async def see(*answers: Answer, answer: Callable[[Request], Response] | None = None) -> tuple[Any, ScriptedSession]:
    session = ScriptedSession(*answers)
    driver = Driver(None, session)  # type: ignore[arg-type]  # it is only asked

    async def answered(request: Request) -> Response:
        return answer(request) if answer else Response()

    seen = await driver.see({"op": "act"}, CONTEXT, answered)
    return seen, session


async def test_what_pages_ask_is_answered_and_then_there_is_something_to_see() -> None:
    requests: list[Request] = []

    def answer(request: Request) -> Response:
        requests.append(request)
        return Response(201, (("x", "y"),), b"\xfe", delay_s=0.5)

    seen, session = await see(asked(), {"asked": []}, {"done": {"observation": {}}}, answer=answer)
    assert seen.done == {"observation": {}}
    assert requests == [Request("POST", "http://shop.test/buy", {"content-type": "text/plain"}, b"\xff\x00")]
    assert session.heard[1:] == [
        {
            "op": "answers",
            "answers": [
                {"id": 1, "status": 201, "headers": [["x", "y"]], "body": "/g==", "delay_s": 0.5, "abort": False}
            ],
        },
        {"op": "answers", "answers": []},
    ]


async def test_whoever_else_is_served_has_a_turn_between_two_answers() -> None:
    turns: list[int] = []
    answered: list[int] = []

    async def someone_else() -> None:
        while True:
            turns.append(len(answered))
            await asyncio.sleep(0)

    def answer(request: Request) -> Response:
        answered.append(int(request.url.rpartition("/")[2]))
        return Response()

    other = asyncio.ensure_future(someone_else())
    many = {"asked": [{**ASKED, "id": number, "url": f"http://shop.test/{number}"} for number in range(50)]}
    await see(many, {"done": {"observation": {}}}, answer=answer)
    other.cancel()
    assert answered == list(range(50)), "in their order"
    assert set(range(1, 50)) <= set(turns)


async def test_a_late_or_failed_program_says_so() -> None:
    assert (await see({"late": True}))[0].late
    assert (await see({"failed": "Error: no browser"}))[0].failed == "Error: no browser"


async def test_a_program_that_is_gone_leaves_its_result() -> None:
    seen, _ = await see(CommandResult(Ending.EXITED, Output(), Output(), 0.01, exit_code=1))
    assert seen.done is None
    assert seen.reply.result.exit_code == 1


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"done": 1},
        {"late": "yes"},
        {"asked": {}},
        {"asked": ["x"]},
        {"asked": [{}]},
        asked(id="x"),
        {"asked": [{**ASKED, "id": 10**30}]},
        asked(method=1),
        asked(url=None),
        asked(headers=[["a", 1]]),
        asked(headers=3),
        asked(headers=[["one"]]),
        asked(body="not base64!"),
        asked(body=None),
        {"asked": [ASKED] * 501},
    ],
)
async def test_junk_is_never_believed(said: dict[str, Any]) -> None:
    with pytest.raises(JunkError):
        await see(said)


async def test_a_request_with_an_endless_number_is_junk() -> None:
    message = b'.{"asked": [{"id": 1e999, "method": "GET", "url": "u", "headers": [], "body": ""}]}'
    with pytest.raises(JunkError):
        await see(CommandResult(Ending.MESSAGE, Output(), Output(), 0.01, message=message, alive=True))


async def test_nothing_is_answered_of_requests_of_which_one_is_malformed() -> None:
    answered: list[Request] = []

    def answer(request: Request) -> Response:
        answered.append(request)
        return Response()

    with pytest.raises(JunkError):
        await see({"asked": [ASKED, {}]}, answer=answer)
    assert answered == []


async def test_a_host_that_takes_longer_than_the_step_is_not_waited_for() -> None:
    session = ScriptedSession({"asked": [ASKED, {**ASKED, "id": 2}]}, {"late": True})
    ended: list[str] = []

    async def answer(request: Request) -> Response:
        if not ended:
            ended.append("answered at once")
            return Response(201)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("given up")
        raise AssertionError

    seen = await Driver(None, session).see({"op": "act"}, StepContext(timeout_s=0.05), answer)  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert seen.late
    assert [each["status"] for each in session.heard[1]["answers"]] == [201, 504]
    assert ended == ["answered at once", "given up"]


async def test_so_many_values_are_not_even_read() -> None:
    message = b'.{"asked": [], "x": [' + b"[]," * 300_000 + b"0]}"
    said = CommandResult(Ending.MESSAGE, Output(), Output(), 0.01, message=message, alive=True)
    driver = Driver(None, ScriptedSession(said))  # type: ignore[arg-type]

    async def answer(_: Request) -> Response:
        raise AssertionError

    with pytest.raises(JunkError, match="values"):
        await driver.see({"op": "act"}, CONTEXT, answer, max_chars=50_000)


async def test_a_step_hears_only_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "MAX_HEARD_BYTES", 1000)
    with pytest.raises(JunkError, match="bytes in one step"):
        await see(*[{"asked": [], "x": "x" * 300}] * 4)


async def test_whoever_asks_for_more_when_time_is_over_is_late() -> None:
    message = b"." + json.dumps(asked()).encode()
    late = CommandResult(Ending.TIMEOUT, Output(), Output(), 5.0, message=message, alive=True)
    seen, session = await see(late)
    assert seen.late
    assert len(session.heard) == 1


async def test_pages_that_ask_for_ever_are_not_answered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "MAX_LEGS", 3)
    with pytest.raises(JunkError, match="3 times"):
        await see(*[asked()] * 4)


def test_each_source_imports_only_what_comes_before_it() -> None:
    """The program has nothing else."""
    known: set[str] = set()
    for name in driver_module.SOURCES:
        imported = {
            line.split()[1]
            for line in _source(name).splitlines()
            if line.startswith(("from environments.", "import environments."))
        }
        packages = {"environments.browser.guest"}  # `from package import module`
        assert imported <= known | packages, name
        known.add(name)
    assert len(json.dumps(driver_module.command().argv)) < 1_000_000, "what an argument list holds"
