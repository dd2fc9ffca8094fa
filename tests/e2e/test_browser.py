"""The browser environment on a real node: a real Chromium, sites in the server, and ends that nobody can forge."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from environments.browser.world.tasks import World
from envserver_sdk import AsyncClient, Client, Episode
from envserver_sdk.models import CheckpointKind, Outcome, StepResult
from tests.conftest import Node
from tests.e2e.conftest import ServerProcess
from tests.e2e.miniwob_browser import each_of
from tests.e2e.surviving import kill
from tests.e2e.world_browser import end_at_once, solve

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.url) as made:
        yield made


@pytest_asyncio.fixture
async def async_client(server: ServerProcess) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url) as made:
        yield made


def ref(text: str, pattern: str) -> str:
    """Of the one element whose line has this."""
    found = re.search(rf"^.*{pattern}.*\[ref=(\w+)\]", text, re.MULTILINE)
    assert found, f"{pattern} is not in:\n{text}"
    return found[1]


def step(episode: Episode, kind: str, **members: Any) -> StepResult:
    return episode.step({"type": kind, **members})


def test_a_page_of_miniwob_ends_with_its_own_reward(client: Client) -> None:
    with client.create("browser", task_set="miniwob", task="click-test", seed=1) as episode:
        assert episode.observation["goal"] == "Click the button."
        assert "Click Me!" in episode.observation["text"]
        assert episode.observation["url"].startswith("http://miniwob.test/")
        result = step(episode, "click", ref=ref(episode.observation["text"], 'button "Click Me!"'))
        assert (result.reward, result.terminated, result.outcome) == (1.0, True, Outcome.OK)


@pytest.mark.parametrize(
    "url", ["javascript:core.endEpisode(1)", "file:///etc/passwd", "http://127.0.0.1:1/", "chrome://version"]
)
def test_no_address_pays(client: Client, url: str) -> None:
    with client.create("browser", task_set="miniwob", task="click-test", seed=1) as episode:
        result = step(episode, "goto", url=url)
        assert (result.outcome, result.trainable) == (Outcome.ESCAPE_ATTEMPT, True)
        assert result.info.model_extra is not None
        assert result.info.model_extra["detectors"][0]["detector"] in ("scheme_refused", "address_refused")
        result = step(episode, "click", ref=ref(episode.observation["text"], 'button "Click Me!"'))
        assert result.terminated
        assert result.reward == 0.0, "what was tried is remembered"


def test_the_report_of_a_page_is_its_own_to_make(client: Client) -> None:
    with client.create("browser", task_set="miniwob", task="click-test", seed=1) as episode:
        forged = step(episode, "goto", url="http://miniwob.test/.report?token=1&raw=1&done=1")
        assert forged.info.model_extra is not None
        assert [note["detector"] for note in forged.info.model_extra["detectors"]] == ["forged_report"]
        back = step(episode, "back")
        result = step(episode, "click", ref=ref(back.observation["text"], 'button "Click Me!"'))
        assert (result.reward, result.terminated) == (0.0, True), "though the page was solved then"


def test_what_is_seen_is_chosen(client: Client) -> None:
    options = {"observe": ["text", "screenshot", "html", "text_content"], "viewport": {"width": 640, "height": 480}}
    with client.create("browser", task_set="miniwob", task="click-test", seed=1, options=options) as episode:
        seen = step(episode, "wait", time_s=0)
        [picture] = seen.pictures
        assert picture.array().shape == (480, 640, 3)
        assert len({tuple(pixel) for pixel in picture.array().reshape(-1, 3)[::97]}) > 1, "it shows something"
        assert "<button" in seen.observation["html"]
        assert "Click Me!" in seen.observation["text_content"]


def test_an_episode_begins_with_its_first_page_however_slow_that_is(client: Client) -> None:
    obstacles = {"slow": {"share": 1.0, "delay_s": 6.0}}  # past what an action may take, and a page to load
    with client.create("browser", task_set="world", task="order/1", options={"obstacles": obstacles}) as episode:
        seen = episode.observation
        assert "error" not in seen
        assert "loading" not in seen
        assert "Search the shop" in seen["text"]


def test_a_fork_is_played_again_from_what_was_done(client: Client) -> None:
    with client.create("browser", task_set="miniwob", task="enter-text", seed=3) as episode:
        text = episode.observation["text"]
        wanted = re.search('"(.+?)"', episode.observation["goal"])
        assert wanted is not None
        step(episode, "fill", ref=ref(text, "textbox"), text=wanted[1])
        checkpoint = episode.checkpoint()
        assert checkpoint.kind is CheckpointKind.REPLAY
        forks = checkpoint.fork(2)
        for each in (*forks, episode):
            assert wanted[1] in each.observation["text"] or each is episode
            result = step(each, "click", ref=ref(text, "button"))
            assert (result.reward, result.terminated) == (1.0, True)
            each.close()
        assert all("divergence" not in each.info or each.info["divergence"] is None for each in forks)


def test_a_browser_that_dies_is_started_again_and_its_pages_are_loaded(node: Node, client: Client) -> None:
    with client.create("browser", task_set="miniwob", task="click-test", seed=1) as episode:
        kill(node)
        result = step(episode, "wait", time_s=0)
        assert result.outcome is Outcome.OK
        assert "the browser died and was started again" in result.observation["notices"][0]
        assert result.observation["url"].startswith("http://miniwob.test/")
        assert result.info.model_extra is not None
        assert result.info.model_extra["browser_starts"] == 2
        result = step(episode, "read_page")
        assert result.observation["tabs"]


def test_an_episode_outlives_servers_and_browsers(
    node: Node, lasting_server: ServerProcess, make_server: Callable[..., ServerProcess]
) -> None:
    """Every step finds what the one before has left, whoever was killed in between."""
    with Client(lasting_server.url) as client:
        episode = client.create("browser", task_set="miniwob", task="enter-text", seed=3)
        text, goal = episode.observation["text"], episode.observation["goal"]
        for number in range(12):
            if number in (3, 7):
                lasting_server.kill()
                lasting_server.start()
            result = step(episode, "fill", ref=ref(text, "textbox"), text=f"typed {number}")
            assert f"typed {number}" in result.observation["text"], result.observation
        wanted = re.search('"(.+?)"', goal)
        assert wanted is not None
        step(episode, "fill", ref=ref(text, "textbox"), text=wanted[1])
        result = step(episode, "click", ref=ref(text, "button"))
        assert (result.reward, result.terminated) == (1.0, True)
        episode.close()


ALL = World().task_ids()
SHORT = ("order/1", "order/rough")
"""As many tasks as show that solutions work in a browser as they do without one."""


async def all_are_solved(client: AsyncClient, task_ids: Sequence[str]) -> None:
    async def solved(task_id: str) -> Any:
        try:
            return (await solve(client, task_id, seed=1)).reward
        except LookupError as error:
            return str(error)

    ends = await each_of(task_ids, solved)
    assert {task_id: end for task_id, end in ends.items() if end != 1.0} == {}


async def test_errands_in_the_world_are_run_in_a_real_browser(async_client: AsyncClient) -> None:
    await all_are_solved(async_client, SHORT)


@pytest.mark.full
@pytest.mark.timeout(3600)
async def test_every_errand_is_run_in_a_real_browser(async_client: AsyncClient) -> None:
    await all_are_solved(async_client, ALL)


async def none_is_paid(client: AsyncClient, task_ids: Sequence[str], kinds: Sequence[str]) -> None:
    cases = {f"{task_id} {kind}": (task_id, kind) for task_id in task_ids for kind in kinds}
    rewards = await each_of(cases, lambda case: end_at_once(client, *cases[case]))
    assert {case: reward for case, reward in rewards.items() if reward != 0.0} == {}


async def test_who_ends_an_errand_at_once_is_paid_nothing(async_client: AsyncClient) -> None:
    await none_is_paid(async_client, ("order/1", "census/2", "write/rough"), ("answer",))
    await none_is_paid(async_client, ("order/2", "compare/1"), ("infeasible",))


@pytest.mark.full
@pytest.mark.timeout(3600)
async def test_who_ends_any_errand_at_once_is_paid_nothing(async_client: AsyncClient) -> None:
    await none_is_paid(async_client, ALL, ("answer", "infeasible"))
