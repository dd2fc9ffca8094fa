"""Who may start: capacity, order, bounds, and what the others are told."""

from __future__ import annotations

import asyncio

import pytest

from envserver.episodes.admission import Admission, Charge, Ticket
from envserver.metrics import Metrics
from envserver.runtimes.base import GIB, MIB
from envserver_sdk.errors import InvalidRequest, Overloaded, ShuttingDown
from tests.unit.episodes.helpers import until
from tests.unit.fixtures import make_config

HALF = Charge(GIB // 2, 1.0)


def make(available: int = 1 << 40, **changes: object) -> Admission:
    values = {"capacity_memory_bytes": GIB, "memory_overcommit": 1, "capacity_cpus": 64, "cpu_overcommit": 1, **changes}
    return Admission(make_config(**values), Metrics(), lambda: available)


async def take(admission: Admission, charge: Charge = HALF) -> Ticket:
    return await admission.wait(admission.join(charge))


async def test_what_fits_is_admitted_at_once_and_the_rest_waits_in_order() -> None:
    admission = make()
    held = [await take(admission), await take(admission)]
    waiters = [admission.join(HALF) for _ in range(3)]
    assert [admission.position(waiter) for waiter in waiters] == [1, 2, 3]
    held[0].release()
    assert [admission.position(waiter) for waiter in waiters] == [None, 1, 2]
    held[0].release()
    assert admission.position(waiters[1]) == 1, "a ticket counts once, however often it is given back"
    (await admission.wait(waiters[0])).release()
    assert admission.position(waiters[1]) is None


async def test_a_large_one_at_the_head_is_not_overtaken() -> None:
    admission = make()
    held = await take(admission)
    large = admission.join(Charge(GIB, 1.0))
    small = admission.join(Charge(MIB, 0.1))
    assert (admission.position(large), admission.position(small)) == (1, 2)
    held.release()
    assert (admission.position(large), admission.position(small)) == (None, 1)


async def test_a_full_queue_refuses_at_once_with_position_and_retry_after() -> None:
    admission = make(queue_length=1)
    await take(admission, Charge(GIB, 1.0))
    admission.join(HALF)
    with pytest.raises(Overloaded) as caught:
        admission.join(HALF)
    assert caught.value.extra["queue_position"] == 2
    assert caught.value.extra["retry_after_s"] >= 1


async def test_a_wait_ends_with_the_queue_time_out_and_leaves_the_queue() -> None:
    admission = make(queue_timeout_s=0.01)
    held = await take(admission, Charge(GIB, 1.0))
    with pytest.raises(Overloaded) as caught:
        await take(admission)
    assert caught.value.extra["queue_position"] == 1
    assert admission.queued == 0
    held.release()
    assert (admission.used_memory_bytes, admission.admitted) == (0, 0)


async def test_cancelling_a_wait_gives_its_place_up_also_in_the_moment_of_admission() -> None:
    admission = make()
    held = await take(admission, Charge(GIB, 1.0))
    waiting = asyncio.ensure_future(take(admission))
    await until(lambda: admission.queued == 1)
    held.release()  # admits the waiter, whose task has not run yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (admission.used_memory_bytes, admission.queued) == (0, 0)


async def test_what_could_never_fit_is_refused_for_good() -> None:
    with pytest.raises(InvalidRequest, match="exceed this node"):
        make().join(Charge(2 * GIB, 1.0))
    with pytest.raises(InvalidRequest):
        make().join(Charge(MIB, 65.0))


async def test_nobody_starts_while_the_machine_is_short_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envserver.episodes.admission.PRESSURE_POLL_S", 0.001)
    left = [10 * MIB]
    config = make_config(min_available_memory_bytes=100 * MIB)
    admission = Admission(config, Metrics(), lambda: left[0])
    taking = asyncio.ensure_future(take(admission))
    await until(lambda: admission.queued == 1)
    left[0] = 200 * MIB
    assert (await taking).charge == HALF


async def test_closing_refuses_who_waits_and_who_comes() -> None:
    admission = make()
    await take(admission, Charge(GIB, 1.0))
    waiting = asyncio.ensure_future(take(admission))
    await until(lambda: admission.queued == 1)
    admission.close()
    with pytest.raises(ShuttingDown):
        await waiting
    with pytest.raises(ShuttingDown):
        admission.join(HALF)


async def test_retry_after_grows_with_the_position_and_is_bounded() -> None:
    admission = make()
    assert 1 <= admission.retry_after_s(1) <= admission.retry_after_s(10) <= admission.retry_after_s(10_000) <= 60
