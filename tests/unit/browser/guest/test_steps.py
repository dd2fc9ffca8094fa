"""A step has its limits, and one that is given up leaves nothing going and nothing undone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from environments.browser.guest.host import Host
from tests.unit.browser.guest.scripted_browser import ScriptedChromium, entered


@pytest.mark.parametrize("race", ["_race", "_race_dialog"])
async def test_what_a_step_that_is_given_up_was_doing_does_not_go_on(host: Host, race: str) -> None:
    await entered(host.tabs)
    going, ended = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        going.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    arguments = (act(), 1.0) if race == "_race" else (act(),)
    step = asyncio.ensure_future(getattr(host, race)(*arguments))
    await going.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_browser_that_was_to_be_replaced_when_a_step_was_given_up_is_replaced_by_the_next(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    chromium, done = ScriptedChromium(), list[str]()

    async def enter(_: Any) -> None:
        done.append("entered")

    async def refill() -> None:
        done.append("refilled")

    async def observe(*_: Any, **__: Any) -> dict[str, Any]:
        return host.tabs.take_events()

    host._chromium = chromium  # type: ignore[assignment]
    host._options = {"action_timeout_s": 1.0}
    monkeypatch.setattr(host, "_enter", enter)
    monkeypatch.setattr(host, "_refill", refill)
    monkeypatch.setattr(host, "_observe", observe)
    monkeypatch.setattr(host, "_lives", lambda: asyncio.sleep(0, chromium.starts > 1))
    monkeypatch.setattr(host, "_try", lambda *_: asyncio.sleep(0))
    step = asyncio.ensure_future(host.act({"type": "back"}, 20.0))
    await chromium.slow.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    told = (await host.act({"type": "back"}, 20.0))["notices"]
    assert done == ["entered", "refilled"]
    assert "could not be put back" in told[0]
    assert "started again" in told[1]
    assert "is gone" in told[2], "its profile could not be used"
    assert await host.act({"type": "back"}, 20.0) == {}
    assert chromium.starts == 3, "one that is there is not started again"


@pytest.mark.parametrize(
    ("timeout_s", "action", "limit_s"),
    [
        (60.0, {"type": "back"}, 5.0),
        (10.0, {"type": "back"}, 5.0),
        (4.0, {"type": "back"}, 2.0),
        (60.0, {"type": "wait", "time_s": 30}, 31.0),
        (4.0, {"type": "wait", "time_s": 30}, 2.0),
        (60.0, {"type": "key_hold", "keys": ["a"], "time_s": 12}, 13.0),
        (60.0, {"type": "type", "text": "x" * 1000}, 15.0),
        (60.0, {"type": "type", "text": "x" * 5000}, 52.0),
    ],
)
async def test_an_action_has_its_share_of_a_step_however_short(
    host: Host, monkeypatch: pytest.MonkeyPatch, timeout_s: float, action: dict[str, Any], limit_s: float
) -> None:
    limits: list[float] = []

    async def attempt(_: Any, limit: float) -> None:
        limits.append(limit)

    async def observe(*_: Any, **__: Any) -> dict[str, Any]:
        return {}

    host._options = {"action_timeout_s": 5.0}
    monkeypatch.setattr(host, "_try", attempt)
    monkeypatch.setattr(host, "_observe", observe)
    monkeypatch.setattr(host, "_lives", lambda: asyncio.sleep(0, result=True))
    await host.act(action, timeout_s)
    assert limits == [limit_s]


async def test_what_the_steps_time_has_cut_short_is_told_as_that(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[str | None] = []

    async def attempt(_: Any, limit_s: float) -> str:
        return f"it did not come to an end within {limit_s:g} s"

    async def observe(error: str | None, *_: Any, **__: Any) -> dict[str, Any]:
        errors.append(error)
        return {}

    host._options = {"action_timeout_s": 5.0}
    monkeypatch.setattr(host, "_try", attempt)
    monkeypatch.setattr(host, "_observe", observe)
    monkeypatch.setattr(host, "_lives", lambda: asyncio.sleep(0, result=True))
    await host.act({"type": "type", "text": "x" * 5000}, 60.0)
    await host.act({"type": "back"}, 60.0)
    assert errors == [
        "it was cut short after 52 s: the step's time limit", "it did not come to an end within 5 s",
    ]  # fmt: skip
