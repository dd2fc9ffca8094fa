"""Past its time a step is interrupted, else killed with all that it started; the next one works at once and is told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from envserver_sdk import AsyncClient, AsyncEpisode
from tests.e2e.helpers import bash, python

pytestmark = pytest.mark.node

TASK = "HumanEval/0"
AT_ONCE_MS = 5_000.0

LOOSE = "while :; do :; done"
IDLE = "while :; do sleep 1; done"
ESCAPES = (
    f"sh -c '{IDLE}' stray &",
    f"(sh -c '{IDLE}' stray &) &",
    f"setsid sh -c '{IDLE}' stray &",
    f"env -i setsid sh -c '{IDLE}' stray &",
    f"setsid sh -c 'trap \"\" INT TERM HUP; {IDLE}' stray &",
)
"""A plain child, a double fork, a session of its own, without the session's environment, deaf to signals."""
COUNT_STRAYS = "grep -lz '^stray$' /proc/[0-9]*/cmdline 2>/dev/null | wc -l"


@pytest_asyncio.fixture
async def episode(client: AsyncClient) -> AsyncIterator[AsyncEpisode]:
    async with client.create("code", task=TASK) as made:
        yield made


async def test_an_interpreter_that_minds_interrupts_keeps_its_state(episode: AsyncEpisode) -> None:
    await episode.step(python("kept = 41"))
    step = await episode.step(python("import time\nwhile True: time.sleep(0.1)"), timeout_s=0.5)
    assert (step.outcome, step.trainable) == ("policy_timeout", True)
    assert step.observation["session"] == "interrupted"
    assert "0.5 s" in step.observation["error"]
    after = await episode.step(python("kept + 1"))
    assert (after.observation["result"], after.observation["session"]) == ("42", "live")
    assert after.info.duration_ms < AT_ONCE_MS


async def test_a_shell_that_minds_interrupts_keeps_its_state(episode: AsyncEpisode) -> None:
    await episode.step(bash("cd /tmp; kept=42"))
    step = await episode.step(bash("echo begun; sleep 60"), timeout_s=0.5)
    assert (step.outcome, step.observation["session"]) == ("policy_timeout", "interrupted")
    assert step.observation["stdout"] == "begun\n"
    after = await episode.step(bash("pwd; echo $kept"))
    assert (after.observation["stdout"], after.observation["session"]) == ("/tmp\n42\n", "live")


@pytest.mark.parametrize(
    "action",
    [
        python("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"),
        bash("trap '' INT; while :; do :; done"),
    ],
    ids=["python", "bash"],
)
async def test_a_session_that_does_not_mind_is_killed_and_the_next_step_says_so(
    episode: AsyncEpisode, action: dict[str, str]
) -> None:
    kind = action["type"]
    await episode.step(bash("echo file > kept"))
    step = await episode.step(action, timeout_s=0.5)
    assert (step.outcome, step.observation["session"]) == ("policy_timeout", "lost")
    assert "killed" in step.observation["note"]
    after = await episode.step(python("open('kept').read()") if kind == "python" else bash("cat kept"))
    assert "file" in after.observation.get("result", "") + after.observation["stdout"]
    assert (after.observation["session"], after.outcome) == ("restarted", "ok")
    assert after.info.duration_ms < AT_ONCE_MS


@pytest.mark.parametrize(("ends", "session"), [("sleep 60", "interrupted"), (f"trap '' INT; {LOOSE}", "lost")])
async def test_nothing_that_a_timed_out_step_started_survives_it(
    episode: AsyncEpisode, ends: str, session: str
) -> None:
    await episode.step(bash("true"))
    started = f"until [ $({COUNT_STRAYS}) -ge {len(ESCAPES)} ]; do :; done; echo started"
    step = await episode.step(bash(f"{' '.join(ESCAPES)} {started}; {ends}"), timeout_s=3)
    assert (step.outcome, step.observation["session"]) == ("policy_timeout", session)
    assert "started" in step.observation["stdout"]
    left = await episode.step(python(f"import subprocess\nsubprocess.getoutput({COUNT_STRAYS!r})"))
    assert left.observation["result"] == "'0'"


async def test_a_program_past_its_time_is_killed_with_its_children(episode: AsyncEpisode) -> None:
    code = f"setsid sh -c '{LOOSE}' stray & trap '' INT; {LOOSE}"
    step = await episode.step({"type": "run", "language": "bash", "code": code}, timeout_s=1)
    assert (step.outcome, step.observation["phase"]) == ("policy_timeout", "run")
    assert (await episode.step(bash(COUNT_STRAYS))).observation["stdout"].strip() == "0"


async def test_what_a_finished_program_left_running_is_killed(episode: AsyncEpisode) -> None:
    code = f"env -i setsid sh -c '{LOOSE}' stray & disown; echo done"
    step = await episode.step({"type": "run", "language": "bash", "code": code})
    assert (step.outcome, step.observation["stdout"]) == ("ok", "done\n")
    assert (await episode.step(bash(COUNT_STRAYS))).observation["stdout"].strip() == "0"


async def test_outputs_before_and_after_a_time_out_are_not_glued_together(episode: AsyncEpisode) -> None:
    first = await episode.step(bash("echo one; sleep 60"), timeout_s=0.5)
    second = await episode.step(bash("echo two; sleep 60"), timeout_s=0.5)
    third = await episode.step(bash("echo three"))
    assert [step.observation["stdout"] for step in (first, second, third)] == ["one\n", "two\n", "three\n"]
    assert [step.outcome for step in (first, second, third)] == ["policy_timeout", "policy_timeout", "ok"]


async def test_a_job_of_an_earlier_step_survives_an_interrupt_but_not_a_kill(episode: AsyncEpisode) -> None:
    await episode.step(bash("sleep 1000 & echo $! > job"))
    await episode.step(bash("sleep 60"), timeout_s=0.5)
    alive = bash("kill -0 $(cat job) && echo alive")
    assert "alive" in (await episode.step(alive)).observation["stdout"]
    await episode.step(bash(f"trap '' INT; {LOOSE}"), timeout_s=0.5)
    assert "alive" not in (await episode.step(alive)).observation["stdout"]
