"""Quotas: checked and charged together, given back once, and rates that say when to come again."""

from __future__ import annotations

import pytest

from envserver.access.tenants import Bucket, Quotas, Tenant, Tenants
from envserver_sdk.errors import QuotaExceeded


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def tenant_with(clock: Clock, **quotas: float) -> Tenant:
    tenant = Tenant("a", clock)
    tenant.set_quotas(Quotas.model_validate(quotas))
    return tenant


def refusal(tenant: Tenant, disk_bytes: int = 0) -> QuotaExceeded:
    with pytest.raises(QuotaExceeded) as caught:
        tenant.admit(disk_bytes)
    return caught.value


def test_open_episodes_are_counted_and_given_back_once(clock: Clock) -> None:
    tenant = tenant_with(clock, max_episodes=2)
    first, _ = tenant.admit(0), tenant.admit(0)
    problem = refusal(tenant)
    assert problem.extra == {"quota": "max_episodes"}, "waiting alone does not help"
    first.release()
    first.release()
    tenant.admit(0)
    assert refusal(tenant).extra["quota"] == "max_episodes"


def test_disk_limits_are_summed(clock: Clock) -> None:
    tenant = tenant_with(clock, disk_bytes=100)
    hold = tenant.admit(60)
    assert refusal(tenant, 41).extra["quota"] == "disk_bytes"
    assert tenant.disk_bytes == 60, "a refusal charges nothing"
    tenant.admit(40)
    hold.release()
    tenant.admit(60)


def test_starts_come_back_at_a_steady_rate_and_the_refusal_says_when(clock: Clock) -> None:
    tenant = tenant_with(clock, starts_per_minute=6)
    for _ in range(6):
        tenant.admit(0)
    problem = refusal(tenant)
    assert problem.extra == {"quota": "starts_per_minute", "retry_after_s": 10.0}
    clock.now += 9.9
    assert refusal(tenant).extra["retry_after_s"] == pytest.approx(0.1, abs=0.1)
    clock.now += 0.2
    tenant.start()  # a reset
    refusal(tenant)
    clock.now += 3600
    for _ in range(6):
        tenant.admit(0)
    refusal(tenant)


def test_a_refusal_by_the_node_gives_the_start_back(clock: Clock) -> None:
    tenant = tenant_with(clock, starts_per_minute=1, max_episodes=1)
    tenant.admit(0).release(refund=True)
    tenant.admit(0).release()
    assert refusal(tenant).extra["quota"] == "starts_per_minute"


def test_a_refusal_for_one_quota_charges_no_other(clock: Clock) -> None:
    tenant = tenant_with(clock, max_episodes=1, starts_per_minute=2)
    hold = tenant.admit(0)
    for _ in range(5):
        refusal(tenant)
    hold.release()
    tenant.admit(0)


def test_cpu_time_is_a_debt_that_time_pays(clock: Clock) -> None:
    tenant = tenant_with(clock, cpu_s_per_hour=360)
    tenant.admit(0)
    tenant.charge_cpu(360 + 36)
    problem = refusal(tenant)
    assert problem.extra == {"quota": "cpu_s_per_hour", "retry_after_s": 720.0}
    clock.now += problem.extra["retry_after_s"]
    tenant.admit(0)


def test_a_changed_quota_acts_at_once_and_an_unchanged_one_keeps_its_level(clock: Clock) -> None:
    tenants = Tenants(clock)
    tenants.set_quotas({"a": Quotas(starts_per_minute=1)})
    tenant = tenants.get("a")
    tenant.admit(0)
    tenants.set_quotas({"a": Quotas(starts_per_minute=1, max_episodes=9)})
    assert refusal(tenant).extra["quota"] == "starts_per_minute"
    tenants.set_quotas({"a": Quotas(max_episodes=1)})
    assert refusal(tenant).extra["quota"] == "max_episodes"
    tenants.set_quotas({})
    tenant.admit(0)


def test_episodes_of_an_earlier_server_are_charged_over_the_quota(clock: Clock) -> None:
    tenant = tenant_with(clock, max_episodes=1)
    held = [tenant.occupy(5) for _ in range(3)]
    for hold in held:
        refusal(tenant)
        hold.release()
    tenant.admit(0)


def test_a_bucket_never_holds_more_than_its_capacity(clock: Clock) -> None:
    bucket = Bucket(3, 1.0, clock)
    bucket.take(-10)
    clock.now += 100
    assert bucket.level() == 3
    assert bucket.wait_s(100) == 0
