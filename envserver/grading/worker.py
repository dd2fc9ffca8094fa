"""The `worker` grader: tests in one fresh sandbox, the solution in another, typed calls between them.

The harness's sandbox gets the pristine prompt and the tests, the candidate's gets the exported solution and nothing to
compare with. The server relays: what the tests call goes to the candidate, what it answers goes back, checked. The
harness's verdict is believed because no code of a candidate ever ran there.

Who is to blame when there is no verdict? A candidate that dies, hangs, floods or answers nonsense has failed. A sandbox
that fails us, a harness that breaks its protocol or waits idly past its time is our failure: `GradingError`. Only a
harness that demonstrably worked itself to death on the candidate's values, by the kernel's count of its CPU time or
memory, counts as a failure of the candidate; else a solution could void its grade at will.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from environments.environment import Artifacts
from environments.tasks import Task
from envserver.grading.base import Grade, Grader, GradingError, SandboxFactory
from envserver.grading.bundle import bundle
from envserver.grading.codec import (
    Call,
    CandidateError,
    Verdict,
    parse_harness,
    parse_loaded,
    read_answer,
)
from envserver.grading.guest.codec import Refused, dump
from envserver.runtimes.base import (
    Command,
    CommandResult,
    Ending,
    OutputLimits,
    Sandbox,
    SandboxError,
    SandboxGoneError,
    SandboxSpec,
    Session,
)

DEFAULT_IMAGE = "code"
SOLUTION = "/workspace/solution.py"
MAX_SOLUTION_BYTES = 1_000_000
OUTPUT = OutputLimits(keep_bytes=2048, stop_bytes=16 << 20)


@dataclass(frozen=True)
class WorkerLimits:
    """What one grade may take."""

    call_s: float = 10.0
    """One call of the candidate, its import included."""
    candidate_s: float = 60.0
    """All calls of the candidate together."""
    harness_s: float = 60.0
    """All that the tests do between calls."""
    calls: int = 10_000


class WorkerGrader(Grader):
    """Pays 1.0 when every test passes, else 0.0."""

    kind = "worker"

    def __init__(self, limits: WorkerLimits = WorkerLimits()) -> None:
        self._limits = limits

    async def grade(self, task: Task, artifacts: Artifacts, make_sandbox: SandboxFactory) -> Grade:
        try:
            solution = _solution(task, artifacts)
        except CandidateError as error:
            return _grade(Verdict(False, str(error)), 0)
        spec = SandboxSpec(image=task.image or DEFAULT_IMAGE, labels={"purpose": "grading"}, ttl_s=600)
        async with _sandboxes(make_sandbox, spec) as (harness, candidate):
            relay = _Relay(task, solution, harness, candidate, self._limits)
            try:
                verdict = await relay.run()
            except CandidateError as error:
                verdict = Verdict(False, f"the solution failed: {error}")
            except SandboxError as error:
                raise GradingError(f"a sandbox of the grader failed: {error}") from error
            return _grade(verdict, relay.calls)


def _solution(task: Task, artifacts: Artifacts) -> bytes:
    (path,) = task.artifacts
    solution = artifacts.files.get(path)
    if solution is None:
        reason = next(iter(artifacts.problems), f"{path}: not_found")
        raise CandidateError(f"there is no solution: {reason}")
    if len(solution) > MAX_SOLUTION_BYTES:
        raise CandidateError(f"the solution has {len(solution)} bytes, at most {MAX_SOLUTION_BYTES} are graded")
    try:
        solution.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CandidateError(f"the solution is no UTF-8: byte {error.start}") from None
    return solution


def _grade(verdict: Verdict, calls: int) -> Grade:
    reward = 1.0 if verdict.passed else 0.0
    return Grade(reward, {"tests": reward}, {"calls": calls, "error": verdict.error})


@asynccontextmanager
async def _sandboxes(make_sandbox: SandboxFactory, spec: SandboxSpec) -> AsyncIterator[list[Sandbox]]:
    """Two of them, made and destroyed side by side; whatever happens, none is left."""
    making = [asyncio.ensure_future(make_sandbox(spec)) for _ in range(2)]
    try:
        yield list(await asyncio.gather(*making))
    finally:
        for task in making:
            task.cancel()
        made = await asyncio.gather(*making, return_exceptions=True)
        await asyncio.gather(*(sandbox.destroy() for sandbox in made if isinstance(sandbox, Sandbox)))


class _Relay:
    """One conversation between a harness and a candidate."""

    def __init__(self, task: Task, solution: bytes, harness: Sandbox, candidate: Sandbox, limits: WorkerLimits) -> None:
        self.calls = 0
        self._task = task
        self._solution = solution
        self._limits = limits
        self._harness = _Harness(harness, limits.harness_s)
        self._candidate = _Candidate(candidate, limits)

    async def run(self) -> Verdict:
        """Raises: CandidateError, GradingError, SandboxError."""
        start = dump({"start": {key: self._task.grader.data[key] for key in ("prompt", "test", "entry_point")}})
        said, loaded = await asyncio.gather(
            self._harness.start(start), self._candidate.start(self._solution), return_exceptions=True
        )
        # Our own failure comes first: a candidate is not blamed in a world that does not work.
        for failure in (said, loaded):
            if isinstance(failure, BaseException):
                raise failure
        while isinstance(said, Call):
            if self.calls >= self._limits.calls:
                raise CandidateError(f"the tests called it more than {self._limits.calls} times")
            self.calls += 1
            answer = await self._candidate.call(said)
            said = await self._harness.call(answer)
        assert isinstance(said, Verdict)
        return said


async def _open(sandbox: Sandbox, program: str) -> Session:
    return await sandbox.open_session(program, Command(["python3", "-I", "-c", bundle(program)]))


class _Harness:
    """The trusted end: anything unexpected from it is our failure."""

    def __init__(self, sandbox: Sandbox, budget_s: float) -> None:
        self._sandbox = sandbox
        self._left_s = budget_s
        self._session: Session

    async def start(self, message: bytes) -> Call | Verdict:
        self._session = await _open(self._sandbox, "harness")
        return await self.call(message)

    async def call(self, message: bytes) -> Call | Verdict:
        began, cpu_s = time.monotonic(), self._sandbox.usage().cpu_s
        result = await self._session.call(message, timeout_s=max(0.01, self._left_s), output=OUTPUT)
        spent_s = time.monotonic() - began
        self._left_s -= spent_s
        if result.ending is not Ending.MESSAGE or result.message is None:
            raise self._blame(result, spent_s, self._sandbox.usage().cpu_s - cpu_s)
        try:
            return parse_harness(result.message)
        except Refused as error:
            raise GradingError(f"the tests could not be run: {error}") from None

    def _blame(self, result: CommandResult, spent_s: float, cpu_s: float) -> Exception:
        if self._sandbox.usage().oom_kills:
            return CandidateError("the tests ran out of memory on its answers")
        if result.ending is Ending.TIMEOUT and cpu_s > spent_s / 2:
            return CandidateError("the tests ran out of time on its answers")
        return GradingError(f"the harness ended without a verdict: {result.ending}")


class _Candidate:
    """The hostile end: anything unexpected from it is the solution's failure."""

    def __init__(self, sandbox: Sandbox, limits: WorkerLimits) -> None:
        self._sandbox = sandbox
        self._limits = limits
        self._left_s = limits.candidate_s
        self._session: Session

    async def start(self, solution: bytes) -> None:
        await self._sandbox.write_file(SOLUTION, solution)
        self._session = await _open(self._sandbox, "candidate")
        parse_loaded(await self._ask(dump({"load": SOLUTION})))

    async def call(self, call: Call) -> bytes:
        """The answer as the frame for the harness."""
        return dump(await read_answer(await self._ask(dump(call.frame)), call))

    async def _ask(self, message: bytes) -> bytes:
        began = time.monotonic()
        timeout_s = max(0.01, min(self._limits.call_s, self._left_s))
        try:
            result = await self._session.call(message, timeout_s=timeout_s, output=OUTPUT)
        except SandboxGoneError:
            if self._out_of_memory():
                raise CandidateError("it ran out of memory") from None
            raise
        except SandboxError:
            # The session is not open any more although the sandbox is: it ended between two calls.
            raise CandidateError("it ended its process") from None
        self._left_s -= time.monotonic() - began
        if result.ending is Ending.MESSAGE and result.message is not None:
            return result.message
        raise CandidateError(self._describe(result, timeout_s))

    def _describe(self, result: CommandResult, timeout_s: float) -> str:
        if self._out_of_memory():
            return "it ran out of memory"
        reasons = {
            Ending.TIMEOUT: f"a call took longer than {timeout_s:g} s",
            Ending.OVERFLOW: f"it printed more than {OUTPUT.stop_bytes} bytes",
            Ending.EXITED: "it ended its process",
        }
        return reasons.get(result.ending, "it broke the protocol")

    def _out_of_memory(self) -> bool:
        try:
            return self._sandbox.usage().oom_kills > 0
        except SandboxError:
            return False
