"""What outlives a browser, a page and a server that are killed: what pages had stored, and the episode itself."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from envserver_sdk import AsyncEpisode, Client
from envserver_sdk.models import Outcome, StepResult
from tests.conftest import Node
from tests.e2e.conftest import ServerProcess
from tests.e2e.surviving import Survivor, kill, kill_driver
from tests.load.own_pages import OTHER, URL, own_server, ref

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

KEEPER = """<title>Keeper</title><h1>Keeper</h1>
<p>session <b id=session></b></p><p>local <b id=local></b></p><p>cookie <b id=cookie></b></p>
<p>database <b id=database></b></p>
<label>Note <input id=note></label><button onclick="keep()">Keep</button><button onclick="empty()">Empty</button>
<button onclick="busy()">Busy</button><button onclick="document.open()">Void</button>
<button onclick="window.open('/')">Window</button><button onclick="window.close()">Close</button>
<script>
  // What the page's first script finds.
  document.getElementById("session").textContent = sessionStorage.getItem("kept") || "nothing";
  document.getElementById("local").textContent = localStorage.getItem("kept") || "nothing";
  document.getElementById("cookie").textContent = /kept=(\\w+)/.exec(document.cookie)?.[1] || "nothing";
  const open = () => new Promise((done) => {
    const asked = indexedDB.open("keeper", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("kept");
    asked.onsuccess = () => done(asked.result);
  });
  open().then((database) => {
    const asked = database.transaction("kept").objectStore("kept").get("kept");
    asked.onsuccess = () => {
      document.getElementById("database").textContent = (asked.result || "nothing") + " was found";
    };
  });
  async function keep() {
    const note = document.getElementById("note").value;
    sessionStorage.setItem("kept", note);
    localStorage.setItem("kept", note);
    document.cookie = "kept=" + note;
    const change = (await open()).transaction("kept", "readwrite");
    change.objectStore("kept").put(note, "kept");
    change.oncomplete = () => { document.title = "Kept " + note; document.querySelector("h1").textContent = "Kept"; };
  }
  function busy() { const until = Date.now() + 1500; while (Date.now() < until); }
  function empty() { sessionStorage.clear(); localStorage.clear(); location.reload(); }
</script>"""
LARGE = """<title>Large</title><h1>Large</h1><script>
  sessionStorage.setItem("large", "x".repeat(300000));
</script>"""


@pytest_asyncio.fixture
async def episode(node: Node) -> AsyncIterator[AsyncEpisode]:
    pages = {"/": KEEPER, "/large": LARGE}
    async with (
        own_server(node, {"keeper": pages}) as client,
        client.create("browser", task_set="own", task="keeper", seed=1) as made,
    ):
        yield made


async def step(episode: AsyncEpisode, kind: str, **members: Any) -> StepResult:
    result = await episode.step({"type": kind, **members})
    assert result.outcome is Outcome.OK, result
    assert "error" not in result.observation, result.observation
    return result


async def find_dead(episode: AsyncEpisode) -> dict[str, Any]:
    """What the step shows that finds the browser dead; it may have been sent before that was noticed."""
    result = await episode.step({"type": "wait", "time_s": 0})
    assert result.outcome is Outcome.OK, result
    seen: dict[str, Any] = result.observation
    assert seen.get("error", "the browser died, and was started again") == "the browser died, and was started again"
    assert "the browser died and was started again" in seen["notices"][0]
    return seen


async def keep(episode: AsyncEpisode, text: str, note: str) -> None:
    await step(episode, "fill", ref=ref(text, "textbox"), text=note)
    await step(episode, "click", ref=ref(text, 'button "Keep"'))
    await step(episode, "wait", text="Kept")


async def found(episode: AsyncEpisode) -> str:
    await step(episode, "wait", text="was found")
    said: str = (await step(episode, "read_page", what="text")).observation["read"]
    return " ".join(said.split())


async def test_what_pages_have_stored_outlives_their_browser(node: Node, episode: AsyncEpisode) -> None:
    await keep(episode, episode.observation["text"], "one")
    kill(node)
    seen = await find_dead(episode)
    assert "typed into pages" in seen["notices"][0]
    assert "session one local one cookie one database one was found" in await found(episode)


async def test_each_tab_comes_back_with_what_was_its_own(node: Node, episode: AsyncEpisode) -> None:
    await keep(episode, episode.observation["text"], "one")
    text = (await step(episode, "new_tab", url=f"{URL}/")).observation["text"]
    await keep(episode, text, "two")
    await step(episode, "new_tab", url=f"{OTHER}/")
    await step(episode, "switch_tab", tab=1)
    kill(node)
    seen = await find_dead(episode)
    assert (seen["tab"], [tab["url"] for tab in seen["tabs"]]) == (1, [f"{URL}/", f"{URL}/", f"{OTHER}/"])
    assert "session one local two cookie two database two" in await found(episode)
    await step(episode, "switch_tab", tab=2)
    assert "session two local two cookie two database two" in await found(episode)
    await step(episode, "switch_tab", tab=3)
    assert "session nothing local nothing cookie nothing database nothing" in await found(episode)


async def test_what_a_page_empties_afterwards_stays_empty(node: Node, episode: AsyncEpisode) -> None:
    await keep(episode, episode.observation["text"], "one")
    for _ in range(2):
        kill(node)
        text = (await find_dead(episode))["text"]
        assert "session one local one" in await found(episode)
    await step(episode, "click", ref=ref(text, 'button "Empty"'))
    assert "session nothing local nothing cookie one database one" in await found(episode)
    await step(episode, "reload")
    assert "session nothing local nothing" in await found(episode)
    kill(node)
    await find_dead(episode)
    assert "session nothing local nothing cookie one database one" in await found(episode)


async def test_a_driver_that_dies_is_started_again_with_its_browser(node: Node, episode: AsyncEpisode) -> None:
    await keep(episode, episode.observation["text"], "one")
    for _ in range(2):
        kill_driver(node)
        seen = await find_dead(episode)
        assert seen["url"] == f"{URL}/"
        assert "session one local one cookie one database one was found" in await found(episode)


async def test_a_page_that_crashes_leaves_its_tab_what_it_had(node: Node, episode: AsyncEpisode) -> None:
    await keep(episode, episode.observation["text"], "one")
    kill(node, "renderer")
    result = await episode.step({"type": "wait", "time_s": 0})
    assert result.outcome is Outcome.OK
    assert "crashed: its tab was closed" in result.observation["error"]
    assert result.observation["url"] == "about:blank"
    await step(episode, "goto", url=f"{URL}/")
    assert "session one local one cookie one database one" in await found(episode)


async def test_a_step_that_is_given_up_leaves_the_browser_as_it_is(episode: AsyncEpisode) -> None:
    note = ref(episode.observation["text"], "textbox")
    await step(episode, "fill", ref=note, text="typed")
    busy = ref(episode.observation["text"], 'button "Busy"')
    result = await episode.step({"type": "click", "ref": busy}, timeout_s=0.7)
    assert result.outcome is Outcome.POLICY_TIMEOUT
    seen = (await step(episode, "wait", time_s=0)).observation
    assert "notices" not in seen
    assert "typed" in seen["text"]


async def test_a_page_that_empties_its_document_is_seen_to_be_empty(episode: AsyncEpisode) -> None:
    button = ref(episode.observation["text"], 'button "Void"')
    await step(episode, "click", ref=button)
    seen = (await step(episode, "wait", time_s=0)).observation
    assert (seen["url"], seen["text"]) == (f"{URL}/", "")


async def test_a_page_that_closes_the_last_tab_leaves_an_empty_one_in_the_same_browser(episode: AsyncEpisode) -> None:
    await keep(episode, episode.observation["text"], "one")
    await step(episode, "click", ref=ref(episode.observation["text"], 'button "Window"'))
    text = (await step(episode, "close_tab", tab=1)).observation["text"]
    await episode.step({"type": "click", "ref": ref(text, 'button "Close"')})
    seen = (await step(episode, "wait", time_s=0)).observation
    assert "notices" not in seen, "it did not die"
    assert [tab["url"] for tab in seen["tabs"]] == ["about:blank"]
    await step(episode, "goto", url=f"{URL}/")
    assert "session nothing local one cookie one database one" in await found(episode)


async def test_what_could_not_be_kept_is_told(node: Node, episode: AsyncEpisode) -> None:
    await step(episode, "goto", url=f"{OTHER}/large")
    kill(node)
    seen = await find_dead(episode)
    assert any(OTHER in notice and "sessionStorage" in notice for notice in seen["notices"]), seen["notices"]


def outlive(
    node: Node, server: ServerProcess, task_id: str, *, steps: int, between: int, servers: set[int], browsers: list[int]
) -> None:
    """An errand of so many steps; servers are killed while those steps run, browsers once a form is half filled in
    after those steps, or before the steps themselves where there is none.
    """
    waiting = list(browsers)
    restarts: list[threading.Thread] = []

    def restart() -> None:
        server.kill()
        server.start()

    def disturb(number: int, typed: bool) -> None:
        if waiting and number >= waiting[0] and (typed or number >= waiting[0] + 10):
            waiting.pop(0)
            kill(node)
        if number in servers:
            restarts.append(threading.Thread(target=restart))
            restarts[-1].start()

    with Client(server.url) as client:
        survivor = Survivor(client, task_id, 1, disturb)
        result = survivor.play(steps, between)
        for thread in restarts:
            thread.join()
        assert survivor.episode.step_index == steps
        assert (result.reward, result.terminated) == (1.0, True)
        assert len(restarts) == len(servers)
        assert len(survivor.deaths) == len(browsers)
        assert survivor.starts == 1 + len(browsers), "each was told"
        survivor.episode.close()


@pytest.mark.usefixtures("nothing_left")
def test_an_errand_comes_to_its_reward_though_a_server_and_a_browser_are_killed(
    node: Node, lasting_server: ServerProcess
) -> None:
    outlive(node, lasting_server, "order/1", steps=40, between=0, servers={12}, browsers=[5])


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("nothing_left")
def test_an_errand_of_five_hundred_steps_outlives_two_servers_and_three_browsers(
    node: Node, lasting_server: ServerProcess
) -> None:
    outlive(node, lasting_server, "order/1", steps=500, between=5, servers={120, 330}, browsers=[60, 200, 410])
