"""A caller's end reaches whoever asked to be told, once, however late they ask."""

from __future__ import annotations

import pytest

from envserver.access.keyring import Caller
from envserver.access.keys import Scope
from envserver.access.tenants import Tenant
from envserver_sdk.errors import Forbidden, Unauthorized


@pytest.fixture
def caller() -> Caller:
    return Caller("a" * 12, Tenant("a"), frozenset({Scope.EPISODES}))


def test_an_end_is_told_once_to_those_who_still_want_to_know(caller: Caller) -> None:
    told: list[str] = []
    caller.when_ended(lambda: told.append("early"))
    forget = caller.when_ended(lambda: told.append("forgotten"))
    forget()
    caller.end()
    caller.end()
    caller.when_ended(lambda: told.append("late"))
    assert told == ["early", "late"]


def test_a_caller_may_do_what_its_scopes_say_until_it_ends(caller: Caller) -> None:
    caller.require(Scope.EPISODES)
    caller.require(Scope.READ)
    with pytest.raises(Forbidden) as refused:
        caller.require(Scope.METRICS)
    assert refused.value.extra == {"scope": "metrics"}
    caller.scopes = frozenset({Scope.ADMIN})
    caller.require(Scope.METRICS)
    caller.end()
    with pytest.raises(Unauthorized):
        caller.require(Scope.READ)


def test_a_key_past_its_time_has_ended_before_anyone_looks(caller: Caller) -> None:
    caller.expires_at = 1.0
    assert caller.ended
    with pytest.raises(Unauthorized):
        caller.require(Scope.READ)
