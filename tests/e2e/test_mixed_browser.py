"""A browser beside programs in one episode: a page's table is downloaded, added up in Python, and answered.

Forked in the middle, and with the server killed before every step; the policy sees what a model would see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from envserver_sdk import Client, Episode
from envserver_sdk.models import CheckpointKind, Outcome, StepResult
from tests.e2e.conftest import ServerProcess

TASK: dict[str, Any] = {"task_set": "errands", "task": "spending/3", "seed": 3}
ADD_UP = """
import csv
rows = list(csv.DictReader(open("/workspace/downloads/orders.csv")))
kept = [row for row in rows if row["state"] != "Cancelled" and first <= row["placed_on"] <= last]
cents = sum(round(float(row["total"]) * 100) for row in kept)
f"{cents // 100}.{cents % 100:02}"
"""

pytestmark = [pytest.mark.node, pytest.mark.timeout(240)]


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.url) as made:
        yield made


def call(episode: Episode, name: str, **arguments: Any) -> StepResult:
    result = episode.step({"type": "call", "name": name, "arguments": arguments})
    assert result.outcome is Outcome.OK, result
    assert "error" not in result.observation, result.observation
    return result


def ref(result: StepResult, pattern: str) -> str:
    found = re.search(rf"^.*{pattern}.*\[ref=(\w+)\]", result.observation["content"], re.MULTILINE)
    assert found, f"{pattern} is not in:\n{result.observation['content']}"
    return found[1]


def download(episode: Episode, prompt: str) -> None:
    """Log in as the prompt says, and have the orders as a file; what the prompt asks for is kept by the interpreter."""
    days = re.search(r"from (\S+) to (\S+) ", prompt)
    account = re.search(r"user name is (\S+) and your password is (\S+)\. ", prompt)
    assert days and account
    call(episode, "python", code=f"first, last = {days[1]!r}, {days[2]!r}")
    page = call(episode, "browser_goto", url="http://shop.test/login")
    call(episode, "browser_fill", ref=ref(page, 'textbox "User name"'), text=account[1])
    call(episode, "browser_fill", ref=ref(page, 'textbox "Password"'), text=account[2])
    call(episode, "browser_click", ref=ref(page, 'button "Log in"'))
    page = call(episode, "browser_goto", url="http://shop.test/orders")
    done = call(episode, "browser_click", ref=ref(page, 'link "Download all of them as a table"'))
    downloads = done.observation["browser"].get("downloads") or call(episode, "browser_wait", time_s=1).observation[
        "browser"
    ].get("downloads", [])
    assert [each["path"] for each in downloads] == ["/workspace/downloads/orders.csv"]


def answer(episode: Episode) -> StepResult:
    said = call(episode, "python", code=ADD_UP).observation["content"]
    found = re.search(r"\d+\.\d\d", said)
    assert found, said
    return episode.step({"type": "answer", "text": f"€{found[0]}"})


def test_it_is_forked_in_the_middle_and_each_fork_finishes(client: Client) -> None:
    with client.create("tools", **TASK) as episode:
        prompt = episode.observation["prompt"]
        download(episode, prompt)
        checkpoint = episode.checkpoint()
        assert checkpoint.kind is CheckpointKind.REPLAY
        forks = checkpoint.fork(2)
        ends = [answer(each) for each in (episode, *forks)]
        for fork in forks:
            fork.close()
    assert [end.reward for end in ends] == [1.0] * 3
    assert {end.info.outcome for end in ends} == {Outcome.OK}


def test_it_survives_a_server_that_is_killed_before_every_step(
    lasting_server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Episode.step

    def after_a_kill(episode: Episode, *arguments: Any, **options: Any) -> StepResult:
        lasting_server.kill()
        lasting_server.start()
        return step(episode, *arguments, **options)

    with Client(lasting_server.url) as client, client.create("tools", **TASK) as episode:
        prompt = episode.observation["prompt"]
        monkeypatch.setattr(Episode, "step", after_a_kill)
        download(episode, prompt)
        end = answer(episode)
    assert end.reward == 1.0


def test_programs_that_end_the_browser_cost_its_page_and_nothing_else(client: Client) -> None:
    with client.create("tools", **TASK) as episode:
        prompt = episode.observation["prompt"]
        call(episode, "browser_goto", url="http://shop.test/login")
        call(episode, "bash", command="pkill -9 -f browser_session; pkill -9 chromium; sleep 0.5; true")
        lost = episode.step({"type": "call", "name": "browser_reload", "arguments": {}})
        assert (lost.outcome, lost.observation["error"]) == (Outcome.POLICY_KILLED, True)
        again = episode.step({"type": "call", "name": "browser_reload", "arguments": {}})
        assert "was begun again" in again.observation["content"]
        download(episode, prompt)
        assert answer(episode).reward == 1.0
