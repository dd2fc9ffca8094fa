"""Requests to the launcher: each field wrong once is refused by name; what is right passes unchanged."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envserver.launcher import protocol, requests
from envserver.launcher.requests import RequestError

GOOD: dict[str, Any] = {
    "image": "code",
    "limits": {
        "memory_bytes": 1 << 28,
        "cpus": 0.5,
        "pids": 64,
        "shm_bytes": 1 << 20,
        "nofile": 128,
        "disk_bytes": 1 << 26,
    },
    "labels": {"episode": "e1", "empty": ""},
    "ttl_s": 60,
}
BOUNDS = {
    "memory_bytes": (32 << 20, 1 << 40),
    "cpus": (0.05, 256),
    "pids": (8, 32768),
    "shm_bytes": (64 << 10, (1 << 28) * 2 // 5),
    "nofile": (32, 65536),
    "disk_bytes": (8 << 20, 1 << 40),
}
NO_NUMBERS: list[Any] = [None, True, "1", [], {}, math.nan, math.inf, -math.inf]


def with_limit(name: str, value: Any) -> dict[str, Any]:
    return {**GOOD, "limits": {**GOOD["limits"], name: value}}


def refused(fields: dict[str, Any]) -> str:
    with pytest.raises(RequestError) as refusal:
        requests.sandbox_request(fields)
    assert refusal.value.code == protocol.ERROR_REQUEST
    return str(refusal.value)


def test_a_good_request_passes_unchanged() -> None:
    request = requests.sandbox_request(GOOD)
    assert (request.image, request.labels, request.ttl_s) == ("code", GOOD["labels"], 60)
    assert (request.limits.cpus, request.limits.pids, request.disk_bytes) == (0.5, 64, 1 << 26)


@pytest.mark.parametrize("name", BOUNDS)
def test_a_limit_passes_at_its_bounds_and_is_refused_beyond(name: str) -> None:
    low, high = BOUNDS[name]
    for value in (low, high):
        if name == "memory_bytes":  # shared memory must fit
            requests.sandbox_request({**GOOD, "limits": {**GOOD["limits"], name: value, "shm_bytes": 64 << 10}})
        else:
            requests.sandbox_request(with_limit(name, value))
    for value in (low - 1, high + 1, 0, -1):
        assert name in refused(with_limit(name, value))


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_a_limit_that_is_no_number_is_refused(name: str, value: Any) -> None:
    assert name in refused(with_limit(name, value))


@pytest.mark.parametrize("name", [*BOUNDS, "limits", "image", "ttl_s"])
def test_a_missing_field_is_named(name: str) -> None:
    limits = {key: value for key, value in GOOD["limits"].items() if key != name}
    fields = {key: value for key, value in {**GOOD, "limits": limits}.items() if key != name}
    assert name in refused(fields)


WRONG: dict[str, list[Any]] = {
    "image": [None, 7, "", "x" * 513, ["code"]],
    "limits": [None, 7, [], "x"],
    "labels": [None, 7, [], "x", {"a": 1}, {"": "x"}, {"k" * 513: "x"}, {"k": "x" * 513},
               {str(number): "x" for number in range(33)}],
    "ttl_s": [None, 0, -1, "60", True, math.nan, math.inf, 31 * 24 * 3600],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_field_that_is_wrong_is_named(name: str, value: Any) -> None:
    assert name.removesuffix("s") in refused({**GOOD, name: value})


def test_a_request_cannot_choose_what_is_mounted_or_run() -> None:
    more = {"mounts": [{"source": "/"}], "capabilities": ["CAP_SYS_ADMIN"], "agent": "/bin/sh", "range_index": 0}
    assert requests.sandbox_request({**GOOD, **more}) == requests.sandbox_request(GOOD)


@pytest.mark.parametrize(
    "value",
    ["", "..", "../../etc", "/var/lib/envserver", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF",
     "0123456789abcde/", "0123456789abcdef\n", None, 7, ["0123456789abcdef"]],
)  # fmt: skip
def test_an_id_that_the_launcher_never_gave_out_cannot_become_a_path(value: Any) -> None:
    with pytest.raises(RequestError, match="16 hexadecimal digits"):
        requests.identifier(value, "checkpoint_id")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_value_of_a_field_passes_or_is_refused(value: Any) -> None:
    for fields in ({**GOOD, "image": value}, {**GOOD, "labels": value}, with_limit("pids", value)):
        try:
            requests.sandbox_request(fields)
        except RequestError as error:
            assert error.code == protocol.ERROR_REQUEST
