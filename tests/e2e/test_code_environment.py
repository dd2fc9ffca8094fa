"""Every action of the code environment in a real sandbox: what persists, and that what happened is told truthfully."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from envserver_sdk import AsyncClient, AsyncEpisode, StepResult
from envserver_sdk.errors import FileProblem, Problem
from tests.e2e.helpers import MIB, bash, python

pytestmark = pytest.mark.node

TASK = "HumanEval/0"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest_asyncio.fixture
async def episode(client: AsyncClient) -> AsyncIterator[AsyncEpisode]:
    async with client.create("code", task=TASK) as made:
        yield made


def run(language: str, code: str, stdin: str | None = None) -> dict[str, str]:
    return {"type": "run", "language": language, "code": code, **({} if stdin is None else {"stdin": stdin})}


async def test_the_interpreter_keeps_variables_shows_the_last_expression_and_reports_errors(
    episode: AsyncEpisode,
) -> None:
    await episode.step(python("import math\nnumbers = [1, 2, 3]\ndef double(x): return 2 * x"))
    step = await episode.step(python("print('seen')\n[double(n) for n in numbers]"))
    assert (step.observation["stdout"], step.observation["result"]) == ("seen\n", "[2, 4, 6]")
    silent = await episode.step(python("numbers.append(math.inf)"))
    assert "result" not in silent.observation
    failed = await episode.step(python("1 / 0"))
    assert (failed.outcome, failed.reward) == ("ok", 0.0)
    assert "ZeroDivisionError" in failed.observation["error"]
    assert (await episode.step(python("len(numbers), _"))).observation["result"] == "(4, [2, 4, 6])"


async def test_figures_come_back_as_pictures(episode: AsyncEpisode) -> None:
    draw = "for n in range(2):\n    plt.figure(figsize=(2, 1), dpi=100)\n    plt.plot([1, n])"
    code = f"import matplotlib.pyplot as plt\n{draw}"
    step = await episode.step(python(code), timeout_s=60)
    pictures = [base64.b64decode(image["data"]) for image in step.observation["images"]]
    assert [image["format"] for image in step.observation["images"]] == ["png", "png"]
    assert all(picture.startswith(PNG) for picture in pictures)
    assert [struct.unpack(">II", picture[16:24]) for picture in pictures] == [(200, 100)] * 2
    assert "images" not in (await episode.step(python("1"))).observation, "they are closed afterwards"


async def test_scientific_packages_are_there(episode: AsyncEpisode) -> None:
    code = "import numpy, pandas, pytest\npandas.DataFrame({'a': numpy.arange(4)}).a.sum().item()"
    assert (await episode.step(python(code), timeout_s=60)).observation["result"] == "6"


async def test_the_shell_keeps_directory_variables_functions_and_jobs(episode: AsyncEpisode) -> None:
    await episode.step(bash("mkdir sub; cd sub; greeting=hello; export SHOWN=yes; greet() { echo $greeting $1; }"))
    step = await episode.step(bash("pwd; greet world; env | grep SHOWN"))
    assert step.observation["stdout"] == "/workspace/sub\nhello world\nSHOWN=yes\n"
    await episode.step(bash("(until [ -e /workspace/go ]; do sleep 0.05; done; echo finished > /workspace/log) &"))
    assert "Running" in (await episode.step(bash("jobs"))).observation["stdout"]
    step = await episode.step(bash("touch /workspace/go; wait; cat /workspace/log"))
    assert "finished\n" in step.observation["stdout"]
    assert (await episode.step(bash("false"))).observation["exit_code"] == 1


PROGRAMS = {
    "python": "import sys\nprint(sum(int(line) for line in sys.stdin))\nsys.exit(3)",
    "bash": "sum=0; while read -r n; do sum=$((sum + n)); done; echo $sum; exit 3",
    "javascript": "const all = require('fs').readFileSync(0, 'utf8').trim().split('\\n');\n"
    "console.log(all.reduce((a, b) => a + Number(b), 0)); process.exit(3)",
    "c": '#include <stdio.h>\nint main(void) { int n, sum = 0; while (scanf("%d", &n) == 1) sum += n; '
    'printf("%d\\n", sum); return 3; }',
    "cpp": "#include <iostream>\nint main() { int n, sum = 0; while (std::cin >> n) sum += n; "
    "std::cout << sum << std::endl; return 3; }",
}


@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_program_reads_its_input_and_its_exit_code_is_told(episode: AsyncEpisode, language: str) -> None:
    step = await episode.step(run(language, PROGRAMS[language], "20\n21\n1\n"), timeout_s=60)
    assert (step.observation["stdout"], step.observation["exit_code"]) == ("42\n", 3)
    assert (step.observation["phase"], step.outcome) == ("run", "ok")


async def test_a_program_that_does_not_compile_is_an_observation(episode: AsyncEpisode) -> None:
    step = await episode.step(run("c", "int main(void) { return nothing; }"), timeout_s=60)
    assert (step.observation["phase"], step.outcome) == ("compile", "ok")
    assert "nothing" in step.observation["stderr"]


async def test_ten_megabytes_of_output_are_no_time_out_and_keep_head_and_tail(episode: AsyncEpisode) -> None:
    code = "import sys\nsys.stdout.write('head' + 'x' * (10 << 20) + 'tail'); sys.stderr.write('e' * (1 << 20))"
    for action in (run("python", code), python(code)):
        step = await episode.step(action)
        assert (step.outcome, step.observation["truncated"]) == ("ok", True)
        out = step.observation["stdout"]
        assert out.startswith("headxxx")
        assert out.endswith("xxxtail")
        assert len(out) < MIB
        assert step.info.duration_ms < 10_000
    assert (await episode.step(bash("echo next"))).observation["stdout"] == "next\n", "outputs are not glued together"


async def test_bytes_that_are_no_text_and_missing_newlines_are_shown_as_they_are(episode: AsyncEpisode) -> None:
    step = await episode.step(bash(r"printf 'caf\xc3\xa9 \xff\x00 end'"))
    assert step.observation["stdout"] == "café \\xff\0 end"
    step = await episode.step(run("bash", r"printf '\xfe'; printf 'no newline' >&2"))
    assert (step.observation["stdout"], step.observation["stderr"]) == ("\\xfe", "no newline")
    assert (await episode.step(python("print('no newline', end='')"))).observation["stdout"] == "no newline"


async def test_programs_that_misbehave_are_reported_truthfully(episode: AsyncEpisode) -> None:
    closing = "import os\nprint('said', flush=True); os.close(1); os.close(2)\nos._exit(5)"
    closed = await episode.step(run("python", closing))
    assert (closed.observation["stdout"], closed.observation["exit_code"]) == ("said\n", 5)
    died = await episode.step(run("c", "#include <signal.h>\nint main(void) { raise(SIGSEGV); }"), timeout_s=60)
    assert (died.observation["exit_code"], died.observation["signal"], died.outcome) == (None, 11, "ok")
    unread = await episode.step(run("bash", "exit 0", "x" * 500_000))
    assert (unread.observation["exit_code"], unread.outcome) == (0, "ok")
    hungry = await episode.step(run("python", "print(repr(input()))", ""))
    assert "EOFError" in hungry.observation["stderr"]
    at_end = await episode.step(python("input()"))
    assert "EOFError" in at_end.observation["error"]
    assert (await episode.step(bash("cat; echo empty"))).observation["stdout"] == "empty\n"
    in_shell = await episode.step(bash("exec 1>&-; echo lost; true"))
    assert in_shell.outcome == "ok"


async def test_a_session_that_ends_says_so_and_the_next_step_begins_a_new_one(episode: AsyncEpisode) -> None:
    await episode.step(python("x = 1"))
    dead = await episode.step(python("import os; os.kill(os.getpid(), 9)"))
    assert (dead.outcome, dead.observation["session"], dead.observation["signal"]) == ("policy_killed", "lost", 9)
    fresh = await episode.step(python("'x' in globals()"))
    assert (fresh.observation["result"], fresh.observation["session"]) == ("False", "restarted")
    left = await episode.step(bash("echo bye; exit 7"))
    assert (left.outcome, left.observation["exit_code"], left.observation["session"]) == ("ok", 7, "lost")
    assert (await episode.step(bash("echo again"))).observation["session"] == "restarted"


async def test_files_are_written_read_and_edited_by_actions(episode: AsyncEpisode) -> None:
    written = await episode.step({"type": "write_file", "path": "a/b.txt", "content": "one two\n"})
    assert written.observation["path"] == "/workspace/a/b.txt"
    edited = await episode.step({"type": "edit", "path": "a/b.txt", "old": "two", "new": "three"})
    assert "error" not in edited.observation
    read = await episode.step({"type": "read_file", "path": "/workspace/a/b.txt"})
    assert read.observation["content"] == "one three\n"
    absent = await episode.step({"type": "read_file", "path": "none"})
    assert (absent.outcome, "none" in absent.observation["error"]) == ("ok", True)
    ambiguous = await episode.step({"type": "edit", "path": "a/b.txt", "old": "e", "new": "x"})
    assert "error" in ambiguous.observation


async def test_files_go_in_and_out_over_the_api(episode: AsyncEpisode) -> None:
    data = bytes(range(256)) * 8192  # more than one frame to the agent
    await episode.write_file("/workspace/deep/er/data.bin", data)
    assert await episode.read_file("/workspace/deep/er/data.bin") == data
    size = await episode.step(bash("stat -c '%s %u' deep/er/data.bin; sha256sum < deep/er/data.bin | head -c 8"))
    assert size.observation["stdout"].startswith(f"{len(data)} 1000\n")
    for path, reason in (("/workspace/none", "not_found"), ("/workspace/deep", "not_a_file")):
        with pytest.raises(FileProblem) as problem:
            await episode.read_file(path)
        assert problem.value.extra["reason"] == reason
    await episode.step(bash("ln -s /etc/passwd link"))
    with pytest.raises(FileProblem) as problem:
        await episode.read_file("/workspace/link")
    assert problem.value.extra["reason"] == "is_link"


async def test_a_batch_steps_many_episodes_and_keeps_each_problem_in_its_place(client: AsyncClient) -> None:
    async with client.create("code", task=TASK) as first, client.create("code", task=TASK) as second:
        actions = [(first, python("6 * 7")), (second, bash("echo hi"))]
        one, two = await client.batch_step(actions)
        assert isinstance(one, StepResult)
        assert isinstance(two, StepResult)
        assert (one.observation["result"], two.observation["stdout"]) == ("42", "hi\n")
        await second.close()
        three, four = await client.batch_step([(first, {"type": "nonsense"}), (second, bash("true"))])
        assert isinstance(three, StepResult)
        assert (three.outcome, three.trainable) == ("format_error", True)
        assert isinstance(four, Problem)
        assert four.code == "episode_closed"


async def test_output_streams_while_the_step_runs(episode: AsyncEpisode) -> None:
    heard: list[tuple[str, str]] = []

    def listen(stream: str, text: str) -> None:
        heard.append((stream, text))
        if "waiting" in text:
            opened.append(asyncio.ensure_future(episode.write_file("/workspace/go", b"")))

    opened: list[asyncio.Future[None]] = []
    command = "echo waiting; until [ -e go ]; do sleep 0.02; done; echo error >&2; echo done"
    step = await episode.step(bash(command), on_output=listen)
    assert opened, "the gate was opened by what was heard before the end"
    await opened[0]
    assert step.observation["stdout"] == "waiting\ndone\n"
    assert "".join(text for stream, text in heard if stream == "stdout") == "waiting\ndone\n"
    assert "".join(text for stream, text in heard if stream == "stderr") == "error\n"
