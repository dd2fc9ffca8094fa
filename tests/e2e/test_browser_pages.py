"""Every action is felt by a real page as a user's would be, and whatever a page does by itself is seen and answered."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from envserver_sdk import AsyncClient, AsyncEpisode
from envserver_sdk.models import Outcome, StepResult
from tests.conftest import Node
from tests.e2e.pages import PAGES
from tests.load.own_pages import HOSTS, URL, own_server, ref

pytestmark = [pytest.mark.node, pytest.mark.timeout(120)]


class Visit:
    """One episode, and what its current page last looked like."""

    def __init__(self, episode: AsyncEpisode) -> None:
        self.episode = episode
        self.seen: dict[str, Any] = episode.observation
        self._read = 0

    async def try_to(self, kind: str, **members: Any) -> StepResult:
        """`on`, and `to`: the line of an element, in place of its ref."""
        for name, place in (("on", "ref"), ("to", "to_ref")):
            if name in members:
                members[place] = ref(self.seen["text"], members.pop(name))
        result = await self.episode.step({"type": kind, **members})
        assert result.outcome is Outcome.OK, result
        asked = [each["url"] for each in (result.info.model_extra or {}).get("requests", ())]
        assert all(urlsplit(url).hostname in HOSTS for url in asked), "the browser asks for nothing by itself"
        if "text" in result.observation:
            self.seen = result.observation
        return result

    async def do(self, kind: str, **members: Any) -> dict[str, Any]:
        result = await self.try_to(kind, **members)
        assert "error" not in result.observation, result.observation["error"]
        seen: dict[str, Any] = result.observation
        return seen

    async def goto(self, path: str) -> dict[str, Any]:
        self._read = 0
        return await self.do("goto", url=f"{URL}{path}")

    async def log(self) -> list[str]:
        """What the page has written down since."""
        html: str = (await self.do("read_page", what="html"))["read"]
        lines = html.partition('<pre id="log">')[2].partition("</pre>")[0]
        new = lines.splitlines()[self._read :]
        self._read += len(new)
        return new

    async def error(self, kind: str, **members: Any) -> str:
        return str((await self.try_to(kind, **members)).observation["error"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(node: Node) -> AsyncIterator[AsyncClient]:
    async with own_server(node, {"pages": PAGES}) as client:
        yield client


async def visiting(server: AsyncClient, path: str, **options: Any) -> Visit:
    episode = await server.create("browser", task_set="own", task="pages", seed=1, options=options)
    visit = Visit(episode)
    if path != "/":
        await visit.goto(path)
    return visit


pytestmark.append(pytest.mark.asyncio(loop_scope="module"))


async def test_a_pointer_is_felt_where_it_is(server: AsyncClient) -> None:
    visit = await visiting(server, "/")
    async with visit.episode:
        await visit.do("click", on='button "Press"')
        assert await visit.log() == ["mouseover press 0 70 40", "click press 0 70 40"]
        await visit.do("click", x=30, y=30, count=2)
        assert await visit.log() == ["click press 0 30 30", "click press 0 30 30", "dblclick press 0 30 30"]
        await visit.do("click", on='button "Press"', button="right", modifiers=["Shift", "Alt"])
        assert await visit.log() == ["contextmenu press 2 shift alt 70 40", "auxclick press 2 shift alt 70 40"]
        await visit.do("click", on='button "Press"', button="middle")
        assert await visit.log() == ["auxclick press 1 70 40"]

        seen = await visit.do("hover", on='img "Pad"')
        assert "cursor" not in seen, "it is where the element is, and that was not asked"
        await visit.do("move", x=50, y=150)
        await visit.do("mouse_down")
        await visit.do("move", x=60, y=150)
        seen = await visit.do("mouse_up")
        assert seen["cursor"] == {"x": 60, "y": 150}
        assert await visit.log() == [
            "mousemove pad 0 120 200", "mousemove pad 0 50 150", "mousedown pad 0 50 150", "mousemove pad 0 60 150",
            "mouseup pad 0 60 150",
        ]  # fmt: skip
        await visit.do("drag", on='img "Dot"', to='img "Pad"')
        assert (await visit.log())[-1] == "drop the dot 120 200"
        assert visit.seen["cursor"] == {"x": 120, "y": 200}
        await visit.do("drag", x=40, y=340, to_x=50, to_y=290, via=[[100, 320]])
        assert (await visit.log())[-1] == "drop the dot 50 290"


async def test_forms_are_filled_in_as_by_hand(server: AsyncClient) -> None:
    visit = await visiting(server, "/form")
    async with visit.episode:
        seen = await visit.do("type", on='textbox "Name"', text="er")
        assert seen["focus"] == {"tag": "input", "name": "Name"}
        await visit.do("press", key="Control+a")
        await visit.do("type", text="anew", submit=True)
        await visit.do("fill", on='textbox "Notes"', text="one\ntwo")
        await visit.do("press", key="Backspace", count=4, on='textbox "Notes"')
        await visit.do("type", text=" end")
        assert await visit.log() == ["submit anew"]
        assert "one end" in visit.seen["text"].replace("\\n", " ")

        await visit.do("select", on='combobox "Colour"', values=["Green"])
        await visit.do("select", on='listbox "Fruits"', values=["Plum", "Apple"])
        assert await visit.log() == ["chose colour g", "chose fruits Apple,Plum"]
        said = await visit.error("select", on='combobox "Colour"', values=["Blue"])
        assert said == "there is no option 'Blue'; there are 'Red', 'Green'"
        assert "no list of options" in await visit.error("select", on='textbox "Name"', values=["x"])
        assert await visit.error("check", on='textbox "Name"') == "Not a checkbox or radio button"

        await visit.do("check", on='checkbox "Agree"')
        await visit.do("check", on='checkbox "Agree"', checked=False)
        await visit.do("check", on='radio "Large"')
        assert await visit.log() == ["checked agree true", "checked agree false", "checked large true"]
        assert "[checked]" in next(line for line in visit.seen["text"].splitlines() if 'radio "Large"' in line)
        await visit.do("press", on="slider", key="ArrowRight", count=2)
        assert await visit.log() == ["volume 6", "volume 7"]
        await visit.do("key_hold", key="F8", time_s=0.5)
        assert await visit.log() == ["held long"]
        said = await visit.error("click", on='textbox "Locked"')
        assert "not enabled" in said


async def test_what_is_out_of_view_is_scrolled_to(server: AsyncClient) -> None:
    visit = await visiting(server, "/far")
    async with visit.episode:
        assert visit.seen["scroll"]["y"] == 0
        assert visit.seen["scroll"]["height"] > 3000
        seen = await visit.do("scroll", dy=500, x=600, y=600)
        assert seen["scroll"]["y"] == 500
        seen = await visit.do("scroll", dy=-200)
        assert seen["scroll"]["y"] == 300
        await visit.do("scroll", dy=-300)
        seen = await visit.do("scroll", dy=120, on='region "Box"')
        assert (seen["scroll"]["y"], "inner 120" in seen["text"]) == (0, True)
        seen = await visit.do("scroll_to", on='button "Bottom"')
        assert seen["scroll"]["y"] > 2000


async def test_files_are_given_and_taken(server: AsyncClient) -> None:
    visit = await visiting(server, "/files")
    one = {"name": "one.txt", "mime_type": "text/plain", "content_base64": "b25l"}
    two = {"name": "two.csv", "mime_type": "text/csv", "content_base64": "dHdv"}
    async with visit.episode as episode:
        await visit.do("upload", on='button "Upload"', files=[one, two])
        assert await visit.log() == ["file field one.txt text/plain one", "file field two.csv text/csv two"]
        await visit.do("upload", on='button "Upload"', files=[])
        assert await visit.log() == ["file field none"]
        assert "no page has asked for files" in await visit.error("upload", files=[one])
        seen = await visit.do("click", on='button "Choose"')
        assert seen["file_chooser"] == {"multiple": False}
        seen = await visit.do("upload", files=[two])
        assert "file_chooser" not in seen
        assert await visit.log() == ["file hidden two.csv text/csv two"]
        await visit.do("click", on='button "Choose"')
        seen = await visit.do("click", on='link "Next"')
        assert "file_chooser" not in seen, "it went with its page"

        await visit.goto("/files")
        where = "/workspace/downloads/"
        for path in (f"{where}table.csv", f"{where}table (1).csv"):
            seen = await visit.do("click", on='link "Table"')
            assert seen["downloads"] == [{"name": "table.csv", "url": f"{URL}/table.csv", "path": path, "bytes": 8}]
            assert await episode.read_file(path) == b"a,b\n1,2\n"
        [told] = (await visit.do("click", on='link "Above"'))["downloads"]
        assert "/" not in told["path"].removeprefix(where)
        seen = await visit.do("click", on='link "Made"')
        assert [(each["name"], each["bytes"]) for each in seen["downloads"]] == [("made.txt", 9)]
        assert await episode.read_file(f"{where}made.txt") == b"made here"


async def test_windows_are_tabs_and_history_is_walked(server: AsyncClient) -> None:
    visit = await visiting(server, "/tabs")
    async with visit.episode:
        seen = await visit.do("click", on='link "Beside"')
        assert (seen["tab"], seen["url"], len(seen["tabs"])) == (2, f"{URL}/next", 2)
        seen = await visit.do("switch_tab", tab=1)
        assert (seen["tab"], seen["title"]) == (1, "Tabs")
        seen = await visit.do("click", on='button "Open"')
        assert [(each["tab"], each["url"]) for each in seen["tabs"]] == [
            (1, f"{URL}/tabs"), (2, f"{URL}/next"), (3, f"{URL}/next"),
        ]  # fmt: skip
        seen = await visit.do("close_tab")
        assert (seen["tab"], len(seen["tabs"])) == (2, 2)
        seen = await visit.do("close_tab", tab=1)
        assert (seen["tab"], seen["url"]) == (1, f"{URL}/next")
        assert await visit.error("close_tab") == "the last tab cannot be closed"
        assert await visit.error("switch_tab", tab=4) == "there is no tab 4: there are 1"
        seen = await visit.do("new_tab", url=f"{URL}/tabs")
        assert (seen["tab"], seen["title"]) == (2, "Tabs")

        assert (await visit.do("click", on='link "Next"'))["url"] == f"{URL}/next"
        assert (await visit.do("back"))["url"] == f"{URL}/tabs"
        assert (await visit.do("forward"))["url"] == f"{URL}/next"
        assert "forward" in await visit.error("forward")
        assert (await visit.do("back"))["title"] == "Tabs"
        await visit.do("click", on='button "Stay"')
        seen = await visit.do("click", on='link "Next"')
        assert seen["url"] == f"{URL}/next"
        assert [(each["type"], each["answer"]) for each in seen["dialogs"]] == [("beforeunload", "accepted")]
        assert (await visit.do("reload"))["url"] == f"{URL}/next"


async def test_there_is_nothing_before_the_first_page_of_a_tab(server: AsyncClient) -> None:
    visit = await visiting(server, "/")
    async with visit.episode:
        for url in (f"{URL}/", f"{URL}/tabs", f"{URL}/next"):
            if url == f"{URL}/tabs":
                await visit.do("new_tab", url=url)
            elif url == f"{URL}/next":
                await visit.do("new_tab")
                await visit.do("goto", url=url)
            assert await visit.error("back") == "there is no page to go back to"
            assert await visit.error("forward") == "there is no page to go forward to"
            assert visit.seen["url"] == url
        await visit.do("goto", url=f"{URL}/tabs")
        await visit.do("click", on='link "Part"')
        assert (await visit.do("back"))["url"] == f"{URL}/tabs"
        assert (await visit.do("forward"))["url"] == f"{URL}/tabs#part"


async def test_a_page_that_is_slow_to_come_leaves_the_one_before_it(server: AsyncClient) -> None:
    visit = await visiting(server, "/tabs", action_timeout_s=1.0, observe=["text", "screenshot"])
    async with visit.episode:
        for kind, members in (("goto", {"url": f"{URL}/later"}), ("click", {"on": 'link "Later"'})):
            result = await visit.try_to(kind, **members)
            seen = result.observation
            assert seen["error"] == "it did not come to an end within 1 s"
            assert (seen["loading"], seen["url"], seen["title"]) == (True, f"{URL}/tabs", "Tabs")
            assert 'link "Beside"' in seen["text"]
            assert result.pictures
            assert len(seen["tabs"]) == 1
            seen = await visit.do("wait", time_s=0)
            assert ("loading" in seen, seen["title"], "Come at last" in seen["text"]) == (False, "Later", True)
            await visit.goto("/tabs")


async def test_what_has_the_focus_is_called_as_it_is_on_the_page(server: AsyncClient) -> None:
    visit = await visiting(server, "/login")
    async with visit.episode:
        found = [(await visit.do("press", key="Tab"))["focus"]["name"] for _ in range(7)]
        assert found == ["User name", "Password", "Sign in here", "Forgotten?", "Code", "bare", "Said so"]


async def test_a_password_is_given_to_nobody_but_the_page(server: AsyncClient) -> None:
    visit = await visiting(server, "/login")
    async with visit.episode:
        for url in (f"{URL}/login", "https://own.test/login"):
            await visit.do("goto", url=url)
            await visit.do("type", on='textbox "User name"', text="somebody")
            await visit.do("type", on='textbox "Password"', text="hunter2", submit=True)
            assert visit.seen["title"].startswith("Next")
            await visit.do("wait", time_s=2)


async def test_questions_of_a_page_wait_for_the_policy(server: AsyncClient) -> None:
    visit = await visiting(server, "/asking")
    async with visit.episode:
        text = visit.seen["text"]
        seen = await visit.do("click", ref=ref(text, 'button "Prompt"'))
        assert seen["dialog"] == {"type": "prompt", "message": "Name?", "default": "nobody"}
        assert "a dialog is open" in await visit.error("click", ref=ref(text, 'button "Alert"'))
        seen = await visit.do("dialog", accept=True, text="somebody")
        assert seen["dialogs"] == [{"type": "prompt", "message": "Name?", "answer": "accepted"}]
        await visit.do("click", ref=ref(text, 'button "Confirm"'))
        await visit.do("dialog", accept=False)
        seen = await visit.do("click", ref=ref(text, 'button "Both"'))
        assert seen["dialog"]["message"] == "One?"
        seen = await visit.do("dialog", accept=True)
        assert seen["dialog"]["message"] == "Two?"
        await visit.do("dialog", accept=False)
        assert await visit.log() == ["prompt somebody", "confirm false", "both true false"]
        assert await visit.error("dialog", accept=True) == "no dialog is open"


@pytest.mark.parametrize(
    ("rule", "log"),
    [
        ("accept", ["alert is over", "confirm true", "prompt nobody"]),
        ("dismiss", ["alert is over", "confirm false", "prompt null"]),
    ],
)
async def test_questions_of_a_page_are_answered_by_rule(server: AsyncClient, rule: str, log: list[str]) -> None:
    visit = await visiting(server, "/asking", dialogs=rule)
    async with visit.episode:
        told = []
        for name in ("Alert", "Confirm", "Prompt"):
            told += (await visit.do("click", on=f'button "{name}"'))["dialogs"]
        assert await visit.log() == log
        assert [(each["message"], each["answer"]) for each in told] == [
            (message, f"{rule}ed") for message in ("Well", "Sure?", "Name?")
        ]


@pytest.mark.parametrize(("rule", "said"), [("accept", "window true"), ("dismiss", "window false")])
async def test_a_window_is_answered_as_soon_as_it_asks(server: AsyncClient, rule: str, said: str) -> None:
    visit = await visiting(server, "/asking", dialogs=rule)
    async with visit.episode:
        told = (await visit.do("click", on='button "Window"'))["dialogs"]
        assert [(each["message"], each["answer"]) for each in told] == [("From there?", f"{rule}ed")]
        assert await visit.log() == [said]


async def test_a_window_that_closes_itself_leaves_what_opened_it(server: AsyncClient) -> None:
    visit = await visiting(server, "/asking")
    async with visit.episode:
        for number in range(1, 6):
            seen = await visit.do("click", on='button "Log in"')
            assert seen["title"] == "Asking"
            assert 'button "Log in"' in seen["text"]
            assert "loading" not in seen
            assert len(await visit.log()) >= number


async def test_who_asks_without_end_is_closed(server: AsyncClient) -> None:
    visit = await visiting(server, "/asking")
    async with visit.episode:
        seen = await visit.do("click", on='button "Endless"')
        answered = 0
        while "dialog" in seen:
            seen = (await visit.try_to("dialog", accept=True)).observation
            answered += 1
            assert answered < 50
        assert any("in a row: its tab was closed" in notice for notice in seen["notices"])
        seen = await visit.do("goto", url=f"{URL}/next")
        assert seen["url"] == f"{URL}/next"


async def test_frames_and_shadows_are_part_of_the_page(server: AsyncClient) -> None:
    visit = await visiting(server, "/frames")
    async with visit.episode:
        text = visit.seen["text"]
        inner = [line for line in text.splitlines() if 'button "Inner"' in line]
        assert len(inner) == 2
        for line in inner:
            await visit.do("click", ref=ref(line, "Inner"))
        for line in [line for line in visit.seen["text"].splitlines() if 'button "Nested"' in line]:
            await visit.do("click", ref=ref(line, "Nested"))
        await visit.do("click", on='button "Written"')
        await visit.do("click", on='button "Shadow"')
        assert await visit.log() == [
            f"inner {URL}", "inner http://other.test", f"nested {URL}", "nested http://other.test", "written", "shadow",
        ]  # fmt: skip


async def test_a_page_is_permitted_nothing_and_waits_for_nobody(server: AsyncClient) -> None:
    visit = await visiting(server, "/")
    async with visit.episode:
        await visit.do("goto", url="https://own.test/permissions")  # else there would be nothing to ask for
        seen = [await visit.do("click", on='button "Ask"'), await visit.do("wait", text="asked for all")]
        told = [each for one in seen for each in one.get("permissions", ())]
        assert {each["origin"] for each in told} == {"https://own.test"}
        assert {each["answer"] for each in told} == {"declined"}
        assert [each["permission"] for each in told] == [
            "geolocation", "notifications", "camera", "microphone", "clipboard", "midi",
        ]  # fmt: skip
        assert await visit.log() == [
            "place 1", "notify denied", "camera NotFoundError", "microphone NotFoundError",
            "clipboard NotAllowedError", "midi NotAllowedError", "asked for all",
        ]  # fmt: skip


async def test_a_page_that_changes_is_waited_for_and_looked_at_in_part(server: AsyncClient) -> None:
    visit = await visiting(server, "/changing", max_chars=2000)
    async with visit.episode:
        assert visit.seen["cut"].startswith("text: lines 1 to ")
        shown, following = visit.seen["text"], int(visit.seen["cut"].partition("offset=")[2].partition(",")[0])
        read = (await visit.do("read_page", offset=following))["read"]
        last, first = (int(re.findall(r"Item (\d+)", part)[at]) for part, at in ((shown, -1), (read, 0)))
        assert first == last + 1
        assert f"]: Item {first}" in read.splitlines()[0]
        await visit.do("click", on='button "Later"')
        await visit.do("wait", text="Come at last")
        await visit.do("wait", text_gone="Nothing yet")
        assert "within" in await visit.error("wait", text="Never")
        await visit.do("click", on='button "Hash"')
        assert (await visit.do("wait", url="#there"))["url"].endswith("#there")

        found = (await visit.do("find", text="Item 399"))["found"]
        (last,) = re.findall(r"listitem \[ref=(\w+)\]: Item 399", found)
        assert (await visit.do("read_page", ref=last))["read"].strip() == f"- listitem [ref={last}]: Item 399"
        assert "nothing from character" in await visit.error("read_page", offset=10_000_000)
        once = ref(visit.seen["text"], 'button "Once"')
        await visit.do("click", ref=once)
        gone = await visit.error("click", ref=once)
        assert once in gone
        assert "near to it are" in await visit.error("click", ref="e99999")

        seen = await visit.do("click", on='button "Break"')
        assert seen["console_errors"][0] == "it broke"
        assert "missing is not defined" in seen["console_errors"][1]
        zoomed = await visit.try_to("zoom", x=0, y=0, width=200, height=100)
        assert zoomed.pictures[0].array().shape == (200, 400, 3)


async def test_what_has_changed_is_told_where_that_is_shorter(server: AsyncClient) -> None:
    visit = await visiting(server, "/changing", changes=True, observe=["text", "screenshot"], picture="webp")
    async with visit.episode:
        later = ref(visit.seen["text"], 'button "Later"')
        await visit.do("click", ref=later)
        result = await visit.try_to("wait", text="Come at last")
        assert "text" not in result.observation
        assert "Come at last" in result.observation["changes"]
        assert "Item 7" not in result.observation["changes"]
        assert result.pictures[0].format == "webp"
        assert result.pictures[0].array().shape == (720, 1280, 3)


async def test_a_page_that_does_not_come_to_an_end_is_looked_at_all_the_same(server: AsyncClient) -> None:
    visit = await visiting(server, "/waiting")
    async with visit.episode:
        assert visit.seen["loading"] is True
        assert "Here already" in visit.seen["text"]


async def test_the_rest_of_each_view_is_read_as_its_note_says(server: AsyncClient) -> None:
    views = ["text", "html", "text_content"]
    visit = await visiting(server, "/changing", observe=views)
    async with visit.episode:
        whole = visit.seen
    visit = await visiting(server, "/changing", observe=views, max_chars=2000)
    async with visit.episode:
        notes = dict(note.split(": ", 1) for note in visit.seen["cut"].splitlines())
        assert list(notes) == views
        for name, note in notes.items():
            said = note.partition("read_page with ")[2].partition(", or")[0]
            members = dict(each.split("=") for each in said.split(", "))
            following = int(members.pop("offset"))
            told = await visit.do("read_page", offset=following, **members)
            assert whole[name][following:].startswith(told["read"])
            assert len(told["cut"].splitlines()) == 4, "the page's own notes, and that of what was read"


@pytest.mark.parametrize("path", ["/clobbered", "/replaced", "/lying"])
async def test_a_page_that_replaces_what_it_is_asked_with_is_seen_all_the_same(server: AsyncClient, path: str) -> None:
    visit = await visiting(server, path, observe=["text", "text_content"])
    async with visit.episode:
        assert "Still there" in visit.seen["text"]
        assert "Still there" in visit.seen["text_content"]
        assert visit.seen["title"] == ("" if path == "/lying" else path[1:].capitalize())
        seen = await visit.do("scroll", dy=300)
        assert seen["scroll"]["y"] == (300 if path == "/replaced" else 0)
        assert "Still there" in (await visit.do("read_page", what="text"))["read"]


async def test_a_page_that_cannot_be_looked_at_is_told_of(server: AsyncClient) -> None:
    visit = await visiting(server, "/")
    async with visit.episode:
        said = await visit.error("goto", url=f"{URL}/unreadable")
        assert said.startswith("the page could not be looked at: ")
        assert (await visit.goto("/next"))["title"].startswith("Next")


async def test_half_a_character_does_no_harm(server: AsyncClient) -> None:
    visit = await visiting(server, "/halves", observe=["text", "html", "text_content"])
    async with visit.episode:
        assert "title" in visit.seen["title"]
        assert " and \U0001f600" in visit.seen["text"]
        assert " and \U0001f600" in visit.seen["html"]
        seen = await visit.do("click", on='button "Ask"')
        assert seen["dialog"]["message"].startswith("confirm ")
        assert seen["console_errors"][0].startswith("error ")
        await visit.do("dialog", accept=True)


async def test_a_page_that_never_stops_asking_is_seen_all_the_same(server: AsyncClient) -> None:
    visit = await visiting(server, "/polling")
    async with visit.episode:
        seen = await visit.do("wait", time_s=15)
        assert seen["loading"] is True
        assert "Still there" in seen["text"]
        assert "Still there" in (await visit.do("wait", time_s=0))["text"]


async def test_a_page_that_asks_something_when_it_was_given_up_keeps_its_tab(server: AsyncClient) -> None:
    visit = await visiting(server, "/late", action_timeout_s=1.0)
    async with visit.episode:
        seen = (await visit.try_to("click", on='button "Busy"')).observation
        assert seen["dialog"]["message"] == "At last"
        seen = await visit.do("dialog", accept=True)
        assert seen["title"] == "Late"


async def test_a_picture_that_is_too_large_is_left_out_and_that_is_told(server: AsyncClient) -> None:
    viewport = {"width": 2560, "height": 1600}
    visit = await visiting(server, "/noise", viewport=viewport, observe=["text", "screenshot"])
    async with visit.episode:
        result = await visit.try_to("wait", time_s=0)
        assert result.pictures == []
        assert result.observation["cut"] == "images: 0 of 1, since the rest is too large: zoom shows a part"
        zoomed = await visit.try_to("zoom", x=0, y=0, width=100, height=100)
        assert [each.array().shape for each in zoomed.pictures] == [(200, 200, 3)]


async def test_a_page_reads_the_language_and_the_zone_that_were_asked_for(server: AsyncClient) -> None:
    visit = await visiting(server, "/place", locale="de-AT", timezone="Asia/Tokyo", interactive=True)
    async with visit.episode:
        assert 'button "Press"' in visit.seen["text"]
        assert "Plain words" not in visit.seen["text"], "it cannot be acted on"
        assert await visit.log() == ["de-AT de-AT Asia/Tokyo"]
