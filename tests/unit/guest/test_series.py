"""Requests of a series have the same ids whoever makes them, and loose ones are forgotten as soon as they may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from envserver.guest.connection import GuestConnection, GuestForgottenError, GuestGoneError
from envserver.guest.series import LOOSE, MAX_CALLS, Series
from envserver.runtimes.base import CallForgottenError, Command, SandboxSpec
from tests.unit.guest.remembering_agent import RememberingAgent, until
from tests.unit.guest.test_untrusted_answers import PlainSandbox


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[RememberingAgent]:
    async with RememberingAgent(tmp_path / "s") as made:
        yield made


@pytest.fixture
async def connection(agent: RememberingAgent) -> AsyncIterator[GuestConnection]:
    made = await GuestConnection.dial(agent.socket)
    yield made
    made.close()


def named(series: int, call: int) -> int:
    return series << 20 | call


async def run(connection: GuestConnection, name: str, **options: Any) -> dict[str, Any]:
    return await connection.request("run", {"name": name}, timeout_s=5, **options)


async def look(connection: GuestConnection) -> None:
    await connection.request("look", {}, timeout_s=5, repeatable=True)


async def taken(agent: RememberingAgent, number: int) -> None:
    await until(lambda: number in agent.taken)


# --- numbering ----------------------------------------------------------------------------------------------


def test_calls_are_numbered_in_their_order_and_anew_at_each_entry() -> None:
    series = Series()
    assert series.next_id() is None
    for _ in range(2):
        with series.enter(5):
            assert [series.next_id(), series.next_id()] == [named(5, 1), named(5, 2)]
    assert series.next_id() is None


def test_a_series_of_one_guest_does_not_number_the_calls_of_another() -> None:
    one, other = Series(), Series()
    with one.enter(1):
        assert other.next_id() is None
        with other.enter(9):
            assert (one.next_id(), other.next_id(), one.next_id()) == (named(1, 1), named(9, 1), named(1, 2))


async def test_tasks_begun_in_a_series_belong_to_it_and_others_do_not() -> None:
    series, gate = Series(), asyncio.Event()

    async def later() -> int | None:
        await gate.wait()
        return series.next_id()

    before = asyncio.create_task(later())
    with series.enter(3):
        within, left_over = asyncio.create_task(later()), asyncio.create_task(later())
        left_over.cancel()
        gate.set()
        assert (await before, await within) == (None, named(3, 1))
        gate.clear()
        left_over = asyncio.create_task(later())
    gate.set()
    assert await left_over is None, "what goes on after the series has been left is not of it"


def test_a_reserved_number_is_above_all_that_were_ever_used() -> None:
    series = Series()
    assert [series.reserve(), series.reserve()] == [1, 2]
    with series.enter(7):
        pass
    assert series.reserve() == 8
    series.settle(20)
    assert series.reserve() == 21
    series.learn(named(30, 0xFFFFF), [named(40, 2), LOOSE + 99])
    assert (series.settled, series.reserve()) == (30, 41)


def test_settling_never_goes_back() -> None:
    series = Series()
    series.settle(4)
    series.settle(2)
    assert (series.settled, series.acknowledgement) == (4, named(4, 0xFFFFF))


@pytest.mark.parametrize("number", [0, -1, 1 << 42])
def test_a_number_that_fits_no_id_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="no number of a series"), Series().enter(number):
        pass


def test_a_series_without_end_is_refused() -> None:
    series = Series()
    with series.enter(1):
        for _ in range(MAX_CALLS):
            series.next_id()
        with pytest.raises(ValueError, match="50000 calls"):
            series.next_id()


# --- over connections ---------------------------------------------------------------------------------------


async def test_the_next_server_is_answered_attached_and_carried_out(agent: RememberingAgent) -> None:
    first = await GuestConnection.dial(agent.socket)
    with first.series.enter(first.series.reserve()):
        ran = asyncio.create_task(run(first, "a"))
        await taken(agent, named(1, 1))
        agent.finish(named(1, 1))
        answer = await ran
        lost = asyncio.create_task(run(first, "b"))
        await taken(agent, named(1, 2))
    first.close()
    with pytest.raises(GuestGoneError):
        await lost

    second = await GuestConnection.dial(agent.socket)
    assert second.series.reserve() == 2
    heard: list[bytes] = []
    with second.series.enter(1):
        assert await run(second, "a") == answer
        attached = asyncio.create_task(run(second, "b", on_event=lambda _, data: heard.append(data), event_bytes=100))
        await taken(agent, named(1, 2))
        agent.say(named(1, 2), b"still here")
        agent.finish(named(1, 2))
        assert (await attached)["name"] == "b"
        new = asyncio.create_task(run(second, "c"))
        await taken(agent, named(1, 3))
        agent.finish(named(1, 3))
        assert (await new)["name"] == "c"
    second.close()
    assert heard == [b"still here"]
    assert agent.runs == {"a": 1, "b": 1, "c": 1}


async def test_a_series_begun_again_beside_itself_shares_its_requests(
    agent: RememberingAgent, connection: GuestConnection
) -> None:
    heard: list[bytes] = []

    async def go(listen: bool) -> dict[str, Any]:
        with connection.series.enter(1):
            return await run(connection, "a", on_event=(lambda _, data: heard.append(data)) if listen else None)

    one, other, third = (asyncio.create_task(go(listen)) for listen in (True, False, True))
    await taken(agent, named(1, 1))
    third.cancel()
    await asyncio.gather(third, return_exceptions=True)
    agent.say(named(1, 1), b"x")
    agent.finish(named(1, 1))
    assert await one == await other
    assert (agent.taken, heard, agent.runs) == ([named(1, 1)], [b"x"], {"a": 1})


async def test_an_answer_that_has_come_but_not_been_taken_is_asked_for_again(
    agent: RememberingAgent, connection: GuestConnection
) -> None:
    tasks: list[asyncio.Task[dict[str, Any]]] = []

    async def go() -> dict[str, Any]:
        with connection.series.enter(1):
            return await run(connection, "a", on_event=hear, event_bytes=9)

    def hear(_stream: str, _data: bytes) -> None:
        # The answer comes with this event: it is there when the second begins, and the first has not been woken.
        tasks.append(asyncio.create_task(go()))

    tasks.append(asyncio.create_task(go()))
    await taken(agent, named(1, 1))
    agent.say(named(1, 1), b"x")
    agent.finish(named(1, 1))
    await until(lambda: len(tasks) == 2)
    assert await tasks[0] == await tasks[1]
    assert (agent.taken, agent.runs) == ([named(1, 1)] * 2, {"a": 1})


async def test_a_series_cancelled_and_begun_again_in_the_same_server_runs_nothing_twice(
    agent: RememberingAgent, connection: GuestConnection
) -> None:
    async def go() -> list[dict[str, Any]]:
        with connection.series.enter(1):
            return [await run(connection, "a"), await run(connection, "b")]

    given_up = asyncio.create_task(go())
    await taken(agent, named(1, 1))
    agent.finish(named(1, 1))
    await taken(agent, named(1, 2))
    given_up.cancel()
    again = asyncio.create_task(go())
    await until(lambda: agent.taken.count(named(1, 2)) == 2)
    agent.finish(named(1, 2))
    assert [answer["name"] for answer in await again] == ["a", "b"]
    assert agent.runs == {"a": 1, "b": 1}


async def test_a_settled_series_is_forgotten_with_the_next_frame_and_its_calls_are_refused(
    agent: RememberingAgent, connection: GuestConnection
) -> None:
    box = PlainSandbox("fake", SandboxSpec("fake"), connection)
    connection.series.settle(5)
    await look(connection)
    assert (agent.acknowledged, box.settled_series) == (named(5, 0xFFFFF), 5)
    with connection.series.enter(5), pytest.raises(GuestForgottenError):
        await run(connection, "a")
    with box.series(4), pytest.raises(CallForgottenError):
        await box.run(Command(["x"]), timeout_s=1)
    assert not agent.runs
    await box.destroy()


async def test_no_acknowledgement_reaches_what_is_outside_of_series(
    agent: RememberingAgent, connection: GuestConnection
) -> None:
    waiting = asyncio.create_task(run(connection, "loose"))
    await taken(agent, LOOSE)
    connection.series.settle(1 << 40)
    await look(connection)
    agent.drop()
    await until(lambda: agent.connections == 2)
    await taken(agent, LOOSE)
    agent.finish(LOOSE)
    assert (await waiting)["of"] == 1


# --- what the agent may forget ------------------------------------------------------------------------------


async def test_a_loose_answer_is_kept_until_the_next_frame_and_one_that_can_be_had_again_not_at_all(
    agent: RememberingAgent, connection: GuestConnection
) -> None:
    ran = asyncio.create_task(run(connection, "a"))
    await taken(agent, LOOSE)
    agent.finish(LOOSE)
    await ran
    assert set(agent.kept) == {LOOSE}
    await look(connection)
    assert not agent.kept


async def test_what_nobody_waits_for_any_more_is_forgotten_though_it_runs_on(
    agent: RememberingAgent, connection: GuestConnection
) -> None:
    given_up = asyncio.create_task(run(connection, "a"))
    await taken(agent, LOOSE)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    await look(connection)
    assert set(agent.running) == {LOOSE}
    agent.finish(LOOSE)
    assert not agent.kept


async def test_within_a_series_every_answer_is_kept(agent: RememberingAgent, connection: GuestConnection) -> None:
    with connection.series.enter(1):
        await look(connection)
        await look(connection)
    assert set(agent.kept) == {named(1, 1), named(1, 2)}


async def test_loose_answers_that_an_earlier_server_left_are_forgotten_and_those_of_series_are_not(
    agent: RememberingAgent,
) -> None:
    first = await GuestConnection.dial(agent.socket)
    tasks = [asyncio.create_task(run(first, name)) for name in "abc"]
    with first.series.enter(1):
        tasks.append(asyncio.create_task(run(first, "s")))
        await taken(agent, named(1, 1))
    for number in (LOOSE, LOOSE + 2, named(1, 1)):
        agent.finish(number)
    first.close()
    await asyncio.gather(*tasks, return_exceptions=True)

    second = await GuestConnection.dial(agent.socket)
    await look(second)
    assert set(agent.kept) == {named(1, 1)}
    assert agent.taken == [LOOSE + 3], "above those that the greeting named"
    agent.finish(LOOSE + 1)
    assert set(agent.kept) == {named(1, 1)}
    second.close()


async def test_more_than_one_frame_may_name_are_named_by_several(agent: RememberingAgent) -> None:
    agent.kept = {number: {"id": number, "ok": {}} for number in range(LOOSE, LOOSE + 2500)}
    connection = await GuestConnection.dial(agent.socket)
    left = []
    for _ in range(3):
        await look(connection)
        left.append(len(agent.kept))
    # A frame that can be had again names itself, too.
    assert left == [1501, 502, 0]
    connection.close()


async def test_what_a_lost_frame_named_is_named_again(agent: RememberingAgent, connection: GuestConnection) -> None:
    ran = asyncio.create_task(run(connection, "a"))
    await taken(agent, LOOSE)
    agent.finish(LOOSE)
    await ran
    agent.deaf = True
    given_up = asyncio.create_task(run(connection, "b"))
    await until(lambda: agent.lost == 1)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    agent.drop()
    await until(lambda: agent.connections == 2)
    assert set(agent.kept) == {LOOSE}
    await look(connection)  # its answer comes behind the greeting, which says what is kept
    await look(connection)
    assert (dict(agent.kept), agent.runs) == ({}, {"a": 1})


async def test_letting_go_for_a_dump_is_never_of_a_series(agent: RememberingAgent, connection: GuestConnection) -> None:
    with connection.series.enter(1):
        parting = asyncio.create_task(connection.part(timeout_s=5))
        await taken(agent, LOOSE)
        agent.drop()
        await parting
