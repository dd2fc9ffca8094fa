"""Whatever way a page tries, all that it asks of a network is answered by the episode's sites, or refused and told."""

from __future__ import annotations

import asyncio
import html
import re
from typing import Any

import pytest

from environments.browser.web.messages import Response
from envserver.network.egress import Egress
from envserver_sdk import AsyncEpisode
from envserver_sdk.models import Outcome, StepResult
from tests.conftest import Node
from tests.load.own_pages import URL, Pages, own_server, ref

pytestmark = [pytest.mark.node, pytest.mark.timeout(120)]

PORT = """
from pathlib import Path
for process in Path("/proc").glob("[0-9]*"):
    try:
        said = (process / "cmdline").read_bytes().decode("latin-1").split("\\0")
    except OSError:
        continue
    if said[0] == "/usr/lib/chromium/chromium" and not any(each.startswith("--type=") for each in said):
        print("\\n".join(said))
"""

ASK = """<!doctype html><title>Asking</title><body><button onclick="ask()">Ask</button><pre id=said></pre><script>
const to = new URLSearchParams(location.search).get("to");
const element = (tag, members) => new Promise((done) => {
  const made = Object.assign(document.createElement(tag), members);
  made.onload = () => done("loaded");
  made.onerror = () => done("no");
  document.body.append(made);
  setTimeout(() => done("late"), 2000);
});
const socket = (url) => new Promise((done) => {
  const made = new WebSocket(url);
  made.onopen = () => done("OPEN");
  made.onerror = () => done("no");
  setTimeout(() => done("late"), 2000);
});
const ways = {
  fetch: () => fetch(to + "fetch", { mode: "no-cors" }).then(() => "answered"),
  cors: () => fetch(to + "cors").then((answer) => answer.text()).then((text) => "READ " + text),
  beacon: async () => navigator.sendBeacon(to + "beacon", "x"),
  image: () => element("img", { src: to + "image" }),
  script: () => element("script", { src: to + "script" }),
  frame: () => element("iframe", { src: to + "frame" }),
  style: () => element("link", { rel: "stylesheet", href: to + "style" }),
  prefetch: async () => { element("link", { rel: "prefetch", href: to + "prefetch" }); return "asked"; },
  preconnect: async () => { element("link", { rel: "preconnect", href: to }); return "asked"; },
  object: () => element("object", { data: to + "object" }),
  media: async () => { element("video", { src: to + "media" }); return "asked"; },
  events: async () => { new EventSource(to + "events"); return "asked"; },
  worker: async () => {
    const source = `fetch("${to}worker", { mode: "no-cors" }).finally(() => postMessage(1))`;
    await new Promise((done) => { new Worker(URL.createObjectURL(new Blob([source]))).onmessage = done; });
    return "asked";
  },
  socket: () => socket(to.replace("http", "ws") + "socket"),
  form: async () => {
    const frame = Object.assign(document.createElement("iframe"), { name: "target" });
    const form = Object.assign(document.createElement("form"), { action: to + "form", target: "target" });
    form.method = "post";
    document.body.append(frame, form);
    form.submit();
    return "asked";
  },
  transport: () => Promise.race([new WebTransport(to.replace("http:", "https:")).ready.then(() => "OPEN"),
    new Promise((done) => setTimeout(() => done("late"), 1000))]),
  rtc: async () => {
    const peer = new RTCPeerConnection({ iceServers: [{ urls: "stun:" + new URL(to).host }] }), found = [];
    peer.onicecandidate = (event) => { if (event.candidate && event.candidate.candidate) found.push("CANDIDATE"); };
    peer.createDataChannel("x");
    await peer.setLocalDescription(await peer.createOffer());
    await new Promise((done) => setTimeout(done, 500));
    return found.join() || "none";
  },
};
async function ask() {
  for (const [name, way] of Object.entries(ways)) {
    let said;
    try { said = await way(); } catch (error) { said = error.name; }
    document.getElementById("said").textContent += name + ": " + said + "\\n";
  }
  document.title = "Asked";
}
</script>"""
CALLS = (
    "fetch", "cors", "beacon", "image", "script", "frame", "style", "prefetch", "object", "media", "events", "worker",
    "form",
)  # fmt: skip
"""The ways that make an ordinary request."""

MOVES = {
    "file": "location = 'file:///etc/passwd'",
    "data": "location = 'data:text/html,<h1>Moved</h1>'",
    "chrome": "location = 'chrome://version'",
    "devtools": "location = 'devtools://devtools/bundled/inspector.html'",
    "source": "location = 'view-source:http://own.test/'",
    "blob": "location = window.URL.createObjectURL(new Blob(['<h1>Made here</h1>'], {type: 'text/html'}))",
    "popup-blob": "window.open(window.URL.createObjectURL(new Blob(['<h1>Made here</h1>'], {type: 'text/html'})))",
    "popup-file": "window.open('file:///etc/passwd')",
    "popup-data": "window.open('data:text/html,<h1>Moved</h1>')",
    "popup-chrome": "window.open('chrome://version')",
    "popup-inside": "window.open('http://127.0.0.1:9999/')",
    "popup-unsafe": "window.open('http://127.0.0.1:1/')",
    "popup-gone": "window.open('http://own.test/gone')",
    "popup-script": "window.open('javascript:document.write(1)')",
    "inside": "location = 'http://169.254.169.254/latest/meta-data/'",
    "local": "location = 'http://localhost:8000/v1/health'",
    "refresh": "document.head.innerHTML += '<meta http-equiv=refresh content=\"0; url=data:text/html,Moved\">'",
    "redirect-file": "location = '/to-file'",
    "redirect-data": "location = '/to-data'",
    "redirect-inside": "location = '/to-inside'",
    "frame-file": "document.body.append(Object.assign(document.createElement('iframe'), {src: 'file:///etc/passwd'}))",
    "frame-chrome": "document.body.append(Object.assign(document.createElement('iframe'), {src: 'chrome://version'}))",
}
INSIDE = {
    "popup-inside": "http://127.0.0.1:9999/", "inside": "http://169.254.169.254/latest/meta-data/",
    "local": "http://localhost:8000/v1/health", "redirect-inside": "http://127.0.0.1:9999/",
}  # fmt: skip
"""Those that are asked for, and what."""
BUTTONS = "".join(f'<button onclick="{html.escape(move)}">{name} it</button>' for name, move in MOVES.items())
PAGES: Pages = {
    "/": f"<title>Start</title>{BUTTONS}",
    "/ask": ASK,
    "/gone": Response(abort=True),
    "/to-file": Response.redirect("file:///etc/passwd"),
    "/to-data": Response.redirect("data:text/html,<h1>Moved</h1>"),
    "/to-inside": Response.redirect("http://127.0.0.1:9999/"),
}


def requests_of(result: StepResult) -> dict[str, int]:
    """Status by URL."""
    extra: dict[str, Any] = result.info.model_extra or {}
    return {each["url"]: each["status"] for each in extra.get("requests", ())}


def detected(result: StepResult) -> set[tuple[str, str]]:
    extra: dict[str, Any] = result.info.model_extra or {}
    return {(each["detector"], each["evidence"]) for each in extra.get("detectors", ())}


async def asked(episode: AsyncEpisode, to: str) -> tuple[dict[str, str], dict[str, int], set[tuple[str, str]]]:
    """What the page was told of each way, what was asked for, and what was noted."""
    seen = (await episode.step({"type": "goto", "url": f"{URL}/ask?to={to}"})).observation
    results = [await episode.step({"type": "click", "ref": ref(seen["text"], "button")})]
    while results[-1].observation["title"] != "Asked":
        assert len(results) < 40, results[-1]
        results.append(await episode.step({"type": "wait", "time_s": 0.5}))
    text = (await episode.step({"type": "read_page", "what": "text"})).observation["read"]
    said = dict(re.findall(r"^(\w+): (.*)$", text, re.MULTILINE))
    requests: dict[str, int] = {}
    notes: set[tuple[str, str]] = set()
    for result in results:
        assert result.outcome is Outcome.OK, "a page is not the policy"
        requests |= requests_of(result)
        notes |= detected(result)
    return said, requests, notes


async def test_no_way_of_asking_reaches_what_is_on_the_machine(node: Node) -> None:
    async with (
        own_server(node, {"pages": PAGES}) as client,
        client.create("browser", task_set="own", task="pages", seed=1) as episode,
    ):
        command = node.docker("exec", node.container, "python3", "-c", PORT)
        assert "--remote-debugging-pipe" in command
        assert "--remote-debugging-port" not in command
        ports = re.findall(r"^--proxy-server=http://127\.0\.0\.1:(\d+)$", command, re.MULTILINE)
        assert ports, "there is a port that answers"
        for host in (f"127.0.0.1:{ports[-1]}", f"localhost:{ports[-1]}", f"[::1]:{ports[-1]}"):
            to = f"http://{host}/"
            said, requests, notes = await asked(episode, to)
            assert {way: requests.get(to + way) for way in CALLS} == dict.fromkeys(CALLS, 403), said
            assert {("address_refused", to + way) for way in CALLS} <= notes
            assert not re.search("READ|OPEN|CANDIDATE", str(said)), said


async def test_the_sites_are_reached_in_all_of_these_ways(node: Node) -> None:
    """So that the test above means something."""
    async with (
        own_server(node, {"pages": PAGES}) as client,
        client.create("browser", task_set="own", task="pages", seed=1) as episode,
    ):
        to = f"{URL}/"
        said, requests, notes = await asked(episode, to)
        assert {way: requests.get(to + way) for way in CALLS} == dict.fromkeys(CALLS, 404), said
        assert said["cors"].startswith("READ"), said
        assert notes == set()


async def test_a_real_host_is_seen_where_the_operator_lists_it_and_the_episode_asks(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        if b"GET /away " in heard[-1]:
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
        else:
            page = b"<title>Real</title><p>A real page</p><script src=//other.example/x.js></script>"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
        writer.close()

    async def address(*_: object) -> str:
        return "127.0.0.1"

    stub = await asyncio.start_server(serve, "127.0.0.1", 0)
    real = f"real.example:{stub.sockets[0].getsockname()[1]}"
    monkeypatch.setattr(Egress, "_address", address)  # else this name would be looked up
    options = {"hosts": [real]}
    async with stub, own_server(node, {"pages": PAGES}, egress_hosts=f"{real},other.example") as client:
        async with client.create("browser", task_set="own", task="pages", seed=1, options=options) as episode:
            result = await episode.step({"type": "goto", "url": f"http://{real}/"})
            assert result.observation["title"] == "Real"
            assert "A real page" in result.observation["text"]
            assert requests_of(result)["http://other.example/x.js"] == 403, "the episode did not ask for it"
            assert f"host: {real}".encode() in heard[0].lower()
            result = await episode.step({"type": "goto", "url": f"http://{real}/away"})
            assert ("address_refused", "http://169.254.169.254/") in detected(result)
            assert result.outcome is Outcome.OK, "it is not the policy that went there"
        async with client.create("browser", task_set="own", task="pages", seed=1) as episode:
            result = await episode.step({"type": "goto", "url": f"http://{real}/"})
            assert {name for name, _ in detected(result)} == {"host_refused"}
        assert {head.split(b" ")[1] for head in heard} <= {b"/", b"/favicon.ico", b"/away"}
        assert sum(head.startswith(b"GET / ") for head in heard) == 1, "the second episode reaches nothing"


async def test_no_way_of_moving_a_tab_leaves_the_sites(node: Node) -> None:
    async with (
        own_server(node, {"pages": PAGES}) as client,
        client.create("browser", task_set="own", task="pages", seed=1) as episode,
    ):
        for name in MOVES:
            start = (await episode.step({"type": "goto", "url": f"{URL}/"})).observation
            button = ref(start["text"], f'button "{name} it"')
            results = [
                await episode.step({"type": "click", "ref": button}),
                await episode.step({"type": "wait", "time_s": 0.2}),
            ]
            seen = results[-1].observation
            assert all(
                each["url"].startswith(("http://", "about:blank", "chrome-error:", "blob:http://own.test/"))
                for each in seen["tabs"]
            )
            assert not re.search("root:|Moved|Chromium", seen["text"]), (name, seen)
            if seen["url"] == f"{URL}/":
                assert "blob it" in seen["text"], "it is seen all the same"
            if name.endswith("blob"):
                assert "Made here" in seen["text"], "a page shows what it has made"
            noted = set().union(*(detected(result) for result in results))
            refused = {detector for detector, _ in noted}
            assert refused == ({"address_refused"} if name in INSIDE else set())
            assert name not in INSIDE or ("address_refused", INSIDE[name]) in noted
            assert {result.outcome for result in results} == {Outcome.OK}, (name, results)
            if len(seen["tabs"]) > 1:
                await episode.step({"type": "close_tab"})
