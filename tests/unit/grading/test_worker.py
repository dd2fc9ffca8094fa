"""The worker grader: what travels between tests and candidate, and who is to blame when something breaks."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from environments.code.humaneval import SOLUTION
from environments.environment import Artifacts
from environments.tasks import GraderSpec, Task
from envserver.grading.base import Grade, GradingError, SandboxFactory
from envserver.grading.registry import get_grader
from envserver.grading.worker import MAX_SOLUTION_BYTES, WorkerGrader, WorkerLimits
from envserver.runtimes.base import Sandbox, SandboxGoneError, SandboxSpec, Usage
from tests.unit.local_sandbox import LocalSandbox

PROMPT = "def f(x):\n    '''Any function.'''\n"
FORGES = """
import os, time
for descriptor in range(3, 64):
    try: os.write(descriptor, b"%d\\n%s" % (len({frame}), {frame}))
    except OSError: pass
time.sleep(60)
"""
QUICK = WorkerLimits(call_s=1.0, candidate_s=2.0, harness_s=2.0, calls=50)


async def grade(
    solution: str | bytes | None, test: str, make_sandbox: SandboxFactory, *, limits: WorkerLimits = QUICK
) -> Grade:
    body = "".join(f"    {line}\n" for line in test.splitlines())
    data = {"prompt": PROMPT, "test": f"def check(candidate):\n{body}", "entry_point": "f"}
    task = Task("t", "", GraderSpec("worker", data), artifacts=(SOLUTION,))
    content = solution.encode() if isinstance(solution, str) else solution
    artifacts = Artifacts({SOLUTION: content}) if content is not None else Artifacts({}, (f"{SOLUTION}: is_link",))
    return await WorkerGrader(limits).grade(task, artifacts, make_sandbox)


@pytest.mark.parametrize(
    "test",
    [
        "assert candidate((1, [2.5, None], {'k'})) == (1, [2.5, None], {'k'})",
        "assert candidate({1: 'a', (2, 3): b'x', None: True}) == {1: 'a', (2, 3): b'x', None: True}",
        "assert candidate(10**5000) == 10**5000",
        "assert candidate('\\ud800') == '\\ud800'",
        "assert type(candidate(True)) is bool and type(candidate(1)) is int",
        "assert candidate(float('inf')) == float('inf') and candidate(float('nan')) != candidate(float('nan'))",
        "assert f(3) == 3",
        "assert candidate(x=4) == 4",
    ],
)
async def test_values_travel_both_ways_unchanged(test: str, make_sandbox: SandboxFactory) -> None:
    assert (await grade("def f(x): return x", test, make_sandbox)).reward == 1.0


async def test_arguments_that_the_candidate_changes_are_changed_for_the_tests(make_sandbox: SandboxFactory) -> None:
    solution = "def f(x):\n    x[0].append(9); x[1].clear(); x[2].add(1); x.append('new')"
    test = (
        "inner = [1]; x = [inner, {2: 3}, set()]; candidate(x)\nassert x == [[1, 9], {}, {1}, 'new'] and x[0] is inner"
    )
    assert (await grade(solution, test, make_sandbox)).reward == 1.0


async def test_builtin_exceptions_arrive_as_themselves_and_others_as_their_base(make_sandbox: SandboxFactory) -> None:
    solution = "class Mine(KeyError): pass\ndef f(x):\n    raise Mine(x) if x else ZeroDivisionError('no')"
    test = "\n".join(
        [
            "for value, kind in ((0, ZeroDivisionError), (1, KeyError)):",
            "    try: candidate(value)",
            "    except kind as error: assert type(error) is kind",
            "    else: assert False",
        ]
    )
    assert (await grade(solution, test, make_sandbox)).reward == 1.0


@pytest.mark.parametrize(
    ("solution", "reason"),
    [
        (None, "is_link"),
        (b"\xff", "no UTF-8: byte 0"),
        (b"#" * (MAX_SOLUTION_BYTES + 1), "at most 1000000"),
    ],
)
async def test_a_solution_that_cannot_be_graded_pays_nothing_and_starts_no_sandbox(
    solution: bytes | None, reason: str, make_sandbox: SandboxFactory, made: list[LocalSandbox]
) -> None:
    result = await grade(solution, "pass", make_sandbox)
    assert result.reward == 0.0
    assert reason in result.report["error"]
    assert made == []


@pytest.mark.parametrize(
    ("solution", "reason"),
    [
        ("def f(x", "cannot be imported: SyntaxError"),
        ("import os; os._exit(0)", "ended its process"),
        ("raise SystemExit", "cannot be imported: an exit"),
        ("while True: pass", "longer than 1 s"),
        ("def f(x):\n    while True: pass", "longer than 1 s"),
        ("def f(x): return lambda: 1", "function objects cannot be passed"),
        ("def f(x): return (i for i in x)", "generator objects cannot be passed"),
        ("def f(x):\n    x = []; x.append(x); return x", "contains itself"),
        ("class L(list): pass\ndef f(x): return L()", "L objects cannot be passed"),
        ("def f(x): return 'x' * 10**6", "more than 800000 bytes"),
        ("def f(x): raise SystemExit(0)", "tried to exit"),
        ("def f(x):\n    print('y' * 20_000_000)", "printed more than"),
        ("import os\ndef f(x): os.kill(os.getpid(), 9)", "ended its process"),
        (FORGES.format(frame=b'{"a": 1}'), "an exit"),
        (FORGES.format(frame=b'{"a": 1}x'), "not JSON"),
        ("x = 1", "AttributeError"),
    ],
)
async def test_a_solution_that_breaks_something_pays_nothing_and_is_told_why(
    solution: str, reason: str, make_sandbox: SandboxFactory, made: list[LocalSandbox]
) -> None:
    result = await grade(solution, "assert candidate([1]) is None", make_sandbox)
    assert result.reward == 0.0
    assert reason in result.report["error"]
    assert all(sandbox.destroyed for sandbox in made)


async def test_output_of_the_candidate_changes_nothing(make_sandbox: SandboxFactory) -> None:
    solution = "import sys\ndef f(x):\n    print('1 passed'); sys.stderr.write('x'); sys.stdout.close(); return x"
    assert (await grade(solution, "assert candidate(1) == 1", make_sandbox)).reward == 1.0


async def test_an_honest_failure_names_the_exception_and_no_value(make_sandbox: SandboxFactory) -> None:
    result = await grade("def f(x): return 1", "assert candidate(0) == 'secret', 'secret'", make_sandbox)
    assert result == Grade(0.0, {"tests": 0.0}, {"calls": 1, "error": "AssertionError"})


async def test_tests_that_call_without_end_are_stopped(make_sandbox: SandboxFactory) -> None:
    result = await grade("def f(x): return 1", "while candidate(0): pass", make_sandbox)
    assert (result.reward, result.report["calls"]) == (0.0, 50)


async def test_calls_that_take_too_long_together_fail(make_sandbox: SandboxFactory) -> None:
    solution = "import time\ndef f(x):\n    time.sleep(0.4); return 1"
    result = await grade(solution, "while candidate(0): pass", make_sandbox)
    assert result.reward == 0.0
    assert "took longer than" in result.report["error"]


class BusyHarness(LocalSandbox):
    """Counts CPU time as if it had computed all the while; without `busy`, as if it had been idle."""

    busy = True

    def usage(self) -> Usage:
        return Usage(asyncio.get_running_loop().time() if self.busy else 0.0, 0, 0, 0, 0)


@pytest.mark.parametrize("busy", [True, False])
async def test_tests_that_never_end_are_the_candidates_fault_only_when_they_computed(
    busy: bool, make_sandbox: SandboxFactory, tmp_path: object
) -> None:
    async def make(spec: SandboxSpec) -> Sandbox:
        sandbox = await make_sandbox(spec)
        assert isinstance(sandbox, LocalSandbox)
        sandbox.__class__ = BusyHarness
        sandbox.busy = busy  # type: ignore[attr-defined]
        return sandbox

    grading = grade("def f(x): return 2", "while candidate(1) == 2:\n    while True: pass", make)
    if busy:
        assert "out of time" in (await grading).report["error"]
    else:
        with pytest.raises(GradingError, match="without a verdict"):
            await grading


async def test_tests_that_cannot_be_asked_are_our_failure(make_sandbox: SandboxFactory) -> None:
    with pytest.raises(GradingError, match="function objects cannot be passed"):
        await grade("def f(x): return 1", "try:\n    candidate(lambda: 1)\nexcept Exception: pass", make_sandbox)
    with pytest.raises(GradingError, match="NameError before the candidate was called"):
        await grade("def f(x): return 1", "nonsense", make_sandbox)


async def test_a_sandbox_that_fails_is_never_a_reward(make_sandbox: SandboxFactory, made: list[LocalSandbox]) -> None:
    async def make(spec: SandboxSpec) -> Sandbox:
        sandbox = await make_sandbox(spec)
        if len(made) == 2:
            raise SandboxGoneError("no more room")
        return sandbox

    with pytest.raises(SandboxGoneError):
        await grade("def f(x): return 1", "pass", make)
    assert made[0].destroyed


async def test_a_candidates_sandbox_that_vanishes_is_our_failure(make_sandbox: SandboxFactory) -> None:
    class Vanishing(LocalSandbox):
        async def write_file(self, *args: object, **kwargs: object) -> None:
            raise SandboxGoneError("gone")

    async def make(spec: SandboxSpec) -> Sandbox:
        sandbox = await make_sandbox(spec)
        assert isinstance(sandbox, LocalSandbox)
        sandbox.__class__ = Vanishing
        return sandbox

    with pytest.raises(GradingError, match="gone"):
        await grade("def f(x): return 1", "assert candidate(1)", make)


async def test_cancelling_a_grade_leaves_no_sandbox(make_sandbox: SandboxFactory, made: list[LocalSandbox]) -> None:
    called = asyncio.Event()

    async def make(spec: SandboxSpec) -> Sandbox:
        sandbox = await make_sandbox(spec)
        if len(made) == 2:
            called.set()
        return sandbox

    grading = asyncio.create_task(grade("while True: pass", "pass", make, limits=replace(QUICK, call_s=60)))
    await called.wait()
    grading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await grading
    assert all(sandbox.destroyed for sandbox in made)


def test_an_unknown_grader_is_named_with_those_that_exist() -> None:
    assert get_grader("worker").kind == "worker"
    known = "answer, calls, checks, return, worker, world"
    with pytest.raises(GradingError, match=f"no grader is called 'nope'; known: {known}"):
        get_grader("nope")
