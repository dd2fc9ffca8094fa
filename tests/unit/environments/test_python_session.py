"""The live interpreter: what a cell shows, what stays, and what cannot wedge it."""

from __future__ import annotations

from base64 import b64decode

import pytest

from environments.code.observations import JunkError, python_answer
from envserver_sdk.models import Outcome
from tests.unit.environments.conftest import Step
from tests.unit.local_sandbox import LocalSandbox

PYPLOT = """
import os
def get_fignums(): return open_figures
def figure(number): return Figure(number)
def close(what): open_figures.clear()
open_figures = []
class Figure:
    def __init__(self, number): self.number = number
    def savefig(self, target, format):
        if self.number == 13: raise RuntimeError('cannot draw')
        target.write(b'\\x89PNG\\r\\n\\x1a\\n' + os.urandom(self.number))
"""


async def test_variables_persist_and_a_last_expression_is_shown(step: Step) -> None:
    first = await step("python", code="x = 20\nprint('hello')")
    assert (first.outcome, first.observation["stdout"], "result" in first.observation) == (Outcome.OK, "hello\n", False)
    second = await step("python", code="x + 1")
    assert second.observation == {"stdout": "", "stderr": "", "truncated": False, "result": "21", "session": "live"}
    assert (await step("python", code="_ + 1")).observation["result"] == "22"


async def test_an_error_shows_the_users_frames_and_lines_only(step: Step) -> None:
    await step("python", code="def divide(x):\n    return 1 / x")
    observation = (await step("python", code="divide(0)")).observation
    assert observation["error"] == "ZeroDivisionError: division by zero"
    assert observation["traceback"].startswith(
        'Traceback (most recent call last):\n  File "<cell 2>", line 1, in <module>'
    )
    assert 'File "<cell 1>", line 2, in divide\n    return 1 / x' in observation["traceback"]
    assert "<string>" not in observation["traceback"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("a b", "SyntaxError: invalid syntax"),
        ("if x:", "IndentationError: expected an indented block after 'if' statement on line 1"),
        ("x = 'a\0b'", "source code string cannot contain null bytes"),
        ("raise ValueError('\\ud800')", "ValueError: \\ud800"),
        ("class R:\n    def __repr__(self): raise KeyError(1)\nR()", "KeyError: 1"),
        ("def f(): return f()\nf()", "RecursionError: maximum recursion depth exceeded"),
        ("input()", "EOFError: EOF when reading a line"),
        ("raise BaseException('b')", "BaseException: b"),
        ("raise ExceptionGroup('g', [ValueError(1)])", "ExceptionGroup: g (1 sub-exception)"),
    ],
)
async def test_errors_are_observations(code: str, error: str, step: Step) -> None:
    transition = await step("python", code=code)
    assert transition.outcome is Outcome.OK
    assert error in transition.observation["error"]
    assert (await step("python", code="1")).observation["session"] == "live"


async def test_sys_exit_is_reported_and_ends_nothing(step: Step) -> None:
    await step("python", code="import sys; x = 1")
    assert (await step("python", code="sys.exit(3)")).observation["exit_code"] == 3
    message = (await step("python", code="sys.exit('bad')")).observation
    assert (message["exit_code"], message["stderr"]) == (1, "bad\n")
    assert (await step("python", code="x")).observation["result"] == "1"


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(60)", "await asyncio.sleep(60)"])
async def test_a_step_past_its_time_is_interrupted_and_state_is_kept(code: str, step: Step) -> None:
    await step("python", code="import asyncio; x = 5; print('up')")
    transition = await step("python", 0.5, code=code)
    assert transition.outcome is Outcome.POLICY_TIMEOUT
    assert transition.observation["session"] == "interrupted"
    assert transition.observation["error"] == "stopped: it ran longer than 0.5 s"
    assert "KeyboardInterrupt" in transition.observation["traceback"]
    assert (await step("python", code="x")).observation["result"] == "5"


async def test_a_step_that_ignores_the_interrupt_is_killed_and_the_next_works_at_once(step: Step) -> None:
    await step("python", code="x = 5")
    code = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)"
    killed = await step("python", 0.3, code=code)
    assert (killed.outcome, killed.observation["session"]) == (Outcome.POLICY_TIMEOUT, "lost")
    assert "its state is lost" in killed.observation["note"]
    after = (await step("python", code="'x' in globals()")).observation
    assert (after["result"], after["session"]) == ("False", "restarted")
    assert (await step("python", code="1")).observation["session"] == "live"


@pytest.mark.parametrize(
    ("code", "exit_code", "signal"),
    [("import os; os._exit(4)", 4, None), ("import os; os.kill(os.getpid(), 9)", None, 9)],
)
async def test_ending_its_own_session_is_the_policys_doing(
    code: str, exit_code: int | None, signal: int | None, step: Step
) -> None:
    transition = await step("python", code=code)
    assert transition.outcome is Outcome.POLICY_KILLED
    assert (transition.observation["exit_code"], transition.observation["signal"]) == (exit_code, signal)
    assert (await step("python", code="1")).observation["session"] == "restarted"


async def test_a_session_that_dies_between_steps_is_replaced_before_the_next_runs(
    step: Step, sandbox: LocalSandbox
) -> None:
    await step("python", code="x = 1")
    session = sandbox.guest.sessions["python"]
    session.process.kill()
    await session.process.wait()
    transition = await step("python", code="2")
    assert (transition.observation["result"], transition.observation["session"]) == ("2", "restarted")


FORKS = """
import os
pid = os.fork()
high = [name for name in os.listdir('/proc/self/fd') if int(name) > 20]
print('child' if pid == 0 else 'parent', len(high))
os.waitpid(pid, 0)[1] if pid else 7
"""


async def test_a_forked_child_that_falls_through_a_cell_ends_quietly_and_never_answers(step: Step) -> None:
    observation = (await step("python", code=FORKS)).observation
    assert sorted(observation["stdout"].splitlines()) == ["child 2", "parent 4"]  # without the channel's two
    assert (observation["result"], observation["stderr"]) == ("0", "")
    assert (await step("python", code="'next'")).observation["result"] == "'next'"


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.stdout.close()",
        "import os; os.close(1)",
        "import sys; sys.stdout = None",
        "import os; os.closerange(3, 10)",
        "import os, io, sys; os.dup2(os.open(os.devnull, os.O_WRONLY), 3)",
        "import threading; threading.Thread(target=lambda: None).start()",
        "import builtins; builtins.print = print",
    ],
)
async def test_what_a_cell_does_to_its_streams_does_not_silence_the_next(code: str, step: Step) -> None:
    await step("python", code=code)
    assert (await step("python", code="print('heard')")).observation["stdout"] == "heard\n"


async def test_breaking_the_interpreter_costs_the_session_only(step: Step) -> None:
    transition = await step("python", code="import builtins; builtins.len = None")
    assert (transition.outcome, transition.observation["session"]) == (Outcome.POLICY_KILLED, "lost")
    assert (await step("python", code="len('abc')")).observation["result"] == "3"


async def test_the_main_module_is_a_real_one(step: Step) -> None:
    code = """
import pickle, sys
from dataclasses import dataclass
@dataclass
class Point:
    x: int
pickle.loads(pickle.dumps(Point(3))), Point.__module__, [n for n in sys.modules['__main__'].__dict__ if 'ession' in n]
"""
    assert (await step("python", code=code)).observation["result"] == "(Point(x=3), '__main__', [])"
    assert (
        "def f(): pass"
        in (await step("python", code="import inspect\ndef f(): pass\ninspect.getsource(f)")).observation["result"]
    )


STARTS_TASK = """
import asyncio
async def later():
    return 7
task = asyncio.ensure_future(later())
await asyncio.sleep(0)
"""


async def test_await_works_at_top_level_and_tasks_live_on(step: Step) -> None:
    await step("python", code=STARTS_TASK)
    assert (await step("python", code="await task")).observation["result"] == "7"
    assert (await step("python", code="asyncio.run(later())")).observation["result"] == "7"
    assert (await step("python", code="await later()")).observation["result"] == "7"


async def test_files_of_the_policy_shadow_nothing_that_the_session_needs(step: Step, sandbox: LocalSandbox) -> None:
    for name in ("traceback", "json", "linecache", "asyncio", "ast", "fcntl"):
        (sandbox.root / "workspace" / f"{name}.py").write_text("raise SystemExit('shadowed')")
    (sandbox.root / "workspace" / "mine.py").write_text("answer = 42")
    assert (await step("python", code="1 / 0")).observation["error"] == "ZeroDivisionError: division by zero"
    assert (await step("python", code="import mine; mine.answer")).observation["result"] == "42"


async def test_long_results_are_cut_and_marked(step: Step) -> None:
    observation = (await step("python", code="'a' * 1_000_000")).observation
    assert observation["truncated"] is True
    assert "[... 934466 characters omitted ...]" in observation["result"]
    assert len(observation["result"]) < 70_000


async def test_bytes_that_are_no_utf8_and_missing_newlines_are_shown(step: Step) -> None:
    code = "import sys; sys.stdout.buffer.write(b'\\xff\\xfe end'); print('\\ud800', end='')"
    assert (await step("python", code=code)).observation["stdout"] == "\\xff\\xfe end\\ud800"


async def test_ten_megabytes_of_output_keep_head_and_tail(step: Step) -> None:
    transition = await step("python", code="print('start' + 'x' * 10_000_000 + 'stop')")
    assert transition.outcome is Outcome.OK
    observation = transition.observation
    assert observation["truncated"] is True
    assert observation["stdout"].startswith("start")
    assert observation["stdout"].endswith("stop\n")
    assert "bytes omitted" in observation["stdout"]


async def test_endless_output_is_stopped(step: Step) -> None:
    transition = await step("python", code="while True: print('y' * 100_000)")
    assert (transition.outcome, transition.observation["session"]) == (Outcome.OUTPUT_OVERFLOW, "interrupted")
    assert "bytes of output" in transition.observation["error"]


async def test_open_figures_come_back_as_pictures_and_are_closed(step: Step, sandbox: LocalSandbox) -> None:
    package = sandbox.root / "workspace" / "matplotlib"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "pyplot.py").write_text(PYPLOT)
    code = "import matplotlib.pyplot as plt, os\nplt.open_figures[:] = [1, 13, 2]\nos.environ['MPLBACKEND']"
    observation = (await step("python", code=code)).observation
    assert [len(b64decode(image["data"])) - 8 for image in observation["images"]] == [1, 2]
    assert (observation["images"][0]["format"], observation["images_dropped"]) == ("png", 1)
    assert observation["result"] == "'Agg'"
    assert "images" not in (await step("python", code="1")).observation
    many = (await step("python", code="plt.open_figures[:] = [400_000] * 3 + [1] * 20; 1/0")).observation
    assert len(many["images"]) + many["images_dropped"] == 23
    assert sum(len(b64decode(image["data"])) for image in many["images"]) < 900_000


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"result": 1}',
        b'{"result": "%s"}' % (b"x" * 200_000),
        b'{"exit_code": 300}',
        b'{"exit_code": true}',
        b'{"images": {}}',
        b'{"images": ["*"]}',
        b'{"images": [1]}',
        b'{"images": %s}' % (b'["",' + b'"",' * 20 + b'""]'),
        b'{"images_dropped": -1}',
        b'{"exit_code": %s}' % (b"1" * 5000),
        b"\xff",
    ],
)
def test_junk_from_the_interpreter_is_recognised(message: bytes) -> None:
    with pytest.raises(JunkError):
        python_answer(message)


def test_a_picture_that_is_none_is_dropped() -> None:
    assert python_answer(b'{"images": ["AAAA"]}') == {"images_dropped": 1}


async def test_an_answer_forged_by_a_cell_ends_the_session(step: Step) -> None:
    code = "import os, time\nfor fd in range(3, 64):\n    try: os.write(fd, b'4\\njunk')\n    except OSError: pass\n"
    code += "time.sleep(9)"
    transition = await step("python", code=code)
    assert transition.outcome is Outcome.POLICY_KILLED
    assert "broke its own protocol" in transition.observation["note"]


async def test_programs_that_a_cell_starts_inherit_no_channel(step: Step) -> None:
    code = "import subprocess\nsubprocess.run(['ls', '/proc/self/fd'], capture_output=True, text=True).stdout.split()"
    assert (await step("python", code=code)).observation["result"] == "['0', '1', '2', '3']"
