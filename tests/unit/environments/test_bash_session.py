"""The live shell: what persists, what a command shows, and what cannot wedge it."""

from __future__ import annotations

import pytest

from environments.code.observations import JunkError, bash_answer
from envserver_sdk.models import Outcome
from tests.unit.environments.conftest import Step
from tests.unit.local_sandbox import LocalSandbox


async def test_directory_variables_functions_and_aliases_persist(step: Step) -> None:
    await step("bash", command="mkdir sub; cd sub; X=3; greet() { echo hi $1; }; alias twice='greet twice'")
    observation = (await step("bash", command="basename $PWD; echo $X; greet you; twice")).observation
    assert observation["stdout"] == "sub\n3\nhi you\nhi twice\n"
    assert (observation["exit_code"], observation["session"]) == (0, "live")


async def test_the_first_command_sees_none_of_the_shells_start(step: Step) -> None:
    first = await step("bash", command="true")
    assert first.observation == {"stdout": "", "stderr": "", "truncated": False, "exit_code": 0, "session": "live"}


@pytest.mark.parametrize(
    ("command", "stdout", "stderr", "exit_code"),
    [
        ("false", "", "", 1),
        ("(exit 255)", "", "", 255),
        ("nope", "", "bash: nope: command not found\n", 127),
        ("printf 'no newline'", "no newline", "", 0),
        ("printf '\\xff\\xfe'", "\\xff\\xfe", "", 0),
        ("echo 'žluťoučký' | wc -m", "10\n", "", 0),
        ("cat <<END\n$((1 + 2))\nEND", "3\n", "", 0),
        ("cat; read x; echo $?", "1\n", "", 0),
        ("echo 'unclosed", "", "bash: unexpected EOF while looking for matching `''\n", 2),
        ("if true", "", "bash: syntax error: unexpected end of file\n", 2),
        ("echo one; )", "", "bash: syntax error near unexpected token `)'\n", 2),
        ("exec nope", "", "bash: exec: nope: not found\n", 127),
        ("", "", "", 0),
        ("# only a comment", "", "", 0),
        ("echo a\n\n\necho b", "a\nb\n", "", 0),
        ("bash -c 'kill -9 $$'", "", "", 137),
        ("ls /proc/self/fd | wc -l", "4\n", "", 0),
        ("echo one; echo two >&2", "one\n", "two\n", 0),
        ("history; echo $HISTFILE", "\n", "", 0),
    ],
)
async def test_a_command_is_reported_truthfully(
    command: str, stdout: str, stderr: str, exit_code: int, step: Step
) -> None:
    transition = await step("bash", command=command)
    assert transition.outcome is Outcome.OK
    observation = transition.observation
    assert (observation["stdout"], observation["exit_code"]) == (stdout, exit_code)
    if stderr:
        assert observation["stderr"] == stderr
    assert (await step("bash", command="echo next")).observation["stdout"] == "next\n"


async def test_background_jobs_persist_and_their_output_comes_later(step: Step, sandbox: LocalSandbox) -> None:
    await step("bash", command="mkfifo gate; (read line <gate; echo $line) & job=$!")
    observation = (await step("bash", command="echo opened >gate; wait $job; echo waited")).observation
    assert observation["stdout"] == "opened\nwaited\n"


async def test_descriptors_that_a_command_opens_persist(step: Step) -> None:
    await step("bash", command="exec 3>out.txt 4<&0; echo one >&3")
    assert (await step("bash", command="echo two >&3; cat out.txt")).observation["stdout"] == "one\ntwo\n"


async def test_output_that_a_command_closed_stays_closed(step: Step) -> None:
    await step("bash", command="exec >/dev/null")
    assert (await step("bash", command="echo unheard")).observation["stdout"] == ""


@pytest.mark.parametrize("command", ["sleep 60", "while :; do :; done", "cat <(sleep 60)", "sleep 60 | cat", "wait"])
async def test_a_step_past_its_time_is_interrupted_and_state_is_kept(command: str, step: Step) -> None:
    await step("bash", command="X=5; sleep 60 &")
    transition = await step("bash", 0.4, command=command)
    assert transition.outcome is Outcome.POLICY_TIMEOUT
    assert transition.observation["session"] == "interrupted"
    assert transition.observation["exit_code"] == 130
    assert (await step("bash", command="echo $X")).observation["stdout"] == "5\n"


async def test_a_command_that_ignores_the_interrupt_is_killed_and_the_next_works_at_once(step: Step) -> None:
    killed = await step("bash", 0.3, command="trap '' INT; X=5; while :; do :; done")
    assert (killed.outcome, killed.observation["session"]) == (Outcome.POLICY_TIMEOUT, "lost")
    after = (await step("bash", command="echo x$X")).observation
    assert (after["stdout"], after["session"]) == ("x\n", "restarted")


@pytest.mark.parametrize(("command", "exit_code"), [("exit 3", 3), ("exec true", 0), ("set -e; false; echo no", 1)])
async def test_leaving_the_shell_is_ordinary_use(command: str, exit_code: int, step: Step) -> None:
    transition = await step("bash", command=command)
    assert transition.outcome is Outcome.OK
    assert (transition.observation["exit_code"], transition.observation["session"]) == (exit_code, "lost")
    assert "no" not in transition.observation["stdout"]
    after = (await step("bash", command="echo back")).observation
    assert (after["stdout"], after["session"]) == ("back\n", "restarted")


async def test_an_exit_trap_is_heard(step: Step) -> None:
    await step("bash", command="trap 'echo bye' EXIT")
    assert (await step("bash", command="exit")).observation["stdout"] == "bye\n"


async def test_killing_the_shell_is_the_policys_doing(step: Step) -> None:
    transition = await step("bash", command="kill -9 $$")
    assert (transition.outcome, transition.observation["signal"]) == (Outcome.POLICY_KILLED, 9)


@pytest.mark.parametrize(
    "command",
    [
        'printf() { :; }; read() { :; }; eval() { :; }; builtin() { command builtin "$@"; }',
        "alias builtin=echo eval=echo printf=echo",
        "PROMPT_COMMAND='false'",
        "PS1='prompt> '; PS2='more> '",
        "IFS=0123456789",
        "set -u; set -o pipefail; set -f",
        "set -x",
        "set -o posix",
        "LC_ALL=C",
        "trap 'true' DEBUG; trap 'true' ERR; trap 'true' INT",
        "exec 0<&-",
        "exec 28<&- 29>&-",
        "shopt -s extdebug nullglob dotglob",
        "unset PATH; PATH=/usr/bin:/bin",
        "readonly PS1=",
    ],
)
async def test_what_a_command_redefines_does_not_wedge_the_next(command: str, step: Step) -> None:
    first = await step("bash", command=command)
    assert first.observation["session"] == "live"
    observation = (await step("bash", 5.0, command="echo '1 2 ž' | cat; echo \"$((1 + 1))\"")).observation
    assert (observation["stdout"], observation["exit_code"]) == ("1 2 ž\n2\n", 0)


@pytest.mark.parametrize("message", [b"", b"x", b"1000", b"-1", b"0\n", "²".encode()])
def test_junk_from_the_shell_is_recognised(message: bytes) -> None:
    with pytest.raises(JunkError):
        bash_answer(message)
