"""What the info of a step of several actions tells of each of them, and how much of it there is at most."""

from __future__ import annotations

import json
from typing import Any

from environments.browser.computer.combining import combined
from environments.browser.traffic import MAX_LISTED
from environments.environment import Transition

REFUSED = {"detector": "host_refused", "evidence": "http://elsewhere.test/"}


def info(*infos: dict[str, Any]) -> dict[str, Any]:
    return dict(combined([Transition({}, info=each) for each in infos]).info)


def found(detector: str) -> dict[str, str]:
    return {"detector": detector, "evidence": "http://elsewhere.test/"}


def test_no_step_lists_more_detectors_than_requests() -> None:
    request = {"method": "GET", "url": "http://elsewhere.test/", "status": 403}
    told = info(*[{"requests": [request] * MAX_LISTED, "detectors": [REFUSED] * MAX_LISTED}] * 200)
    assert len(told["requests"]) == len(told["detectors"]) == MAX_LISTED
    assert told["requests_not_listed"] == told["detectors_not_listed"] == 199 * MAX_LISTED
    assert len(json.dumps(told)) < 100_000


def test_no_kind_of_detector_is_lost_and_their_order_stays() -> None:
    many = {"detectors": [found("host_refused")] * MAX_LISTED}
    told = info(many, {"detectors": [found("gate_forced")]}, many, {"detectors": [found("scheme_refused")] * 2})
    kinds = [each["detector"] for each in told["detectors"]]
    assert kinds == ["host_refused"] * (MAX_LISTED - 2) + ["gate_forced", "scheme_refused"]
    assert told["detectors_not_listed"] == MAX_LISTED + 3


def test_more_kinds_than_are_listed_otherwise_are_all_listed() -> None:
    told = info({"detectors": [found(str(number // 2)) for number in range(2 * MAX_LISTED + 2)]})
    assert [each["detector"] for each in told["detectors"]] == [str(number) for number in range(MAX_LISTED + 1)]
    assert told["detectors_not_listed"] == MAX_LISTED + 1


def test_what_the_actions_themselves_have_not_listed_counts() -> None:
    told = info({"detectors": [REFUSED], "detectors_not_listed": 3, "requests_not_listed": 2}, {"detectors": [REFUSED]})
    assert (told["detectors_not_listed"], told["requests_not_listed"]) == (3, 2)


def test_few_are_all_listed() -> None:
    told = info({"detectors": [found("a")], "browser_starts": 2}, {}, {"detectors": [found("b")], "browser_starts": 3})
    assert told == {"detectors": [found("a"), found("b")], "browser_starts": 3}
    assert info({}, {"browser_starts": 2}) == {"browser_starts": 2}
