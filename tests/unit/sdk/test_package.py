"""What importing the SDK costs and shows."""

from __future__ import annotations

import statistics
import subprocess
import sys

import envserver_sdk
from envserver_sdk import errors

MEASURE = """
import sys, time
began = time.process_time()  # of this process alone: a busy machine is not the SDK's fault
from envserver_sdk import AsyncClient, Client
print(time.process_time() - began)
print(*[m for m in ("httpx", "websockets", "pydantic", "envserver", "environments", "fastapi") if m in sys.modules])
"""


def test_importing_is_quick_and_brings_no_server_along() -> None:
    times = []
    for _ in range(5):
        command = [sys.executable, "-c", MEASURE]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        seconds, modules = done.stdout.splitlines()
        assert modules == ""
        times.append(float(seconds))
    assert statistics.median(times) < 0.3


def test_public_names_are_listed_and_exist() -> None:
    for name in envserver_sdk.__all__:
        assert getattr(envserver_sdk, name) is not None


def test_problems_go_over_the_wire_and_back() -> None:
    for code, cls in errors.PROBLEMS.items():
        problem = errors.problem_from_document(cls("why", expected=3).document())
        assert type(problem) is cls
        assert (problem.code, problem.detail, problem.extra) == (code, "why", {"expected": 3})


def test_an_unknown_or_malformed_problem_is_never_a_class_that_a_server_names() -> None:
    documents: list[object] = [
        {"type": "urn:envserver:problem:os.system"},
        {"type": "unauthorized"},
        {},
        [],
        "text",
        None,
        3,
    ]
    for document in documents:
        assert type(errors.problem_from_document(document)) is errors.UnknownProblem
