"""`envserver view`: a page of an episode that a server has, or an export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from envserver.cli.problems import Exit
from envserver.server import RunningServer
from envserver_sdk import AsyncClient
from tests.unit.cli.conftest import Ask, Run
from tests.unit.view.records import JsonObject, data_of, encoded, png, record, sections_in, step


async def play(server: RunningServer, *actions: Any) -> str:
    async with AsyncClient(server.url) as client, client.create("scripted", task="a", seed=2**53 + 1) as episode:
        for action in actions:
            await episode.step(action)
        return str(episode.episode_id)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_an_episode_of_a_server(server: RunningServer, ask: Ask, tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>"
    picture = {"format": "png", "data": png()}
    episode = await play(
        server,
        {"type": "echo", "value": {"text": hostile, "images": [picture]}},
        {"type": "fly"},
        {"type": "score", "reward": 0.25},
        {"type": "submit", "answer": "a"},
    )
    path = tmp_path / "page.html"
    said = await ask("view", episode, "--output", str(path), "--url", server.url, "--json")
    assert said.status == 0
    assert said.document == {
        "file": str(path), "episode_id": episode, "steps": 4, "bytes": path.stat().st_size,
        "cuts": {"steps": 0, "pictures": 0, "bad_pictures": 0, "texts": 0, "characters": 0},
    }  # fmt: skip
    page = path.read_text()
    assert hostile not in page
    data = data_of(page)
    assert ["seed", str(2**53 + 1)] in data["overview"]
    assert ["task", "a"] in data["overview"]
    assert [frame["failed"] for frame in data["steps"]] == [False, True, False, False]
    assert [frame["total"] for frame in data["steps"]] == [0, 0, 0.25, 1.25]
    seen = sections_in(data["steps"][0], "observation")
    assert (seen[0]["kind"], seen[0]["data"]) == ("picture", png())
    assert hostile in seen[1]["text"]
    assert data["grade"]["facts"][:2] == [["reward", "1"], ["tests", "1"]]


async def test_an_earlier_generation(server: RunningServer, ask: Ask, tmp_path: Path) -> None:
    async with AsyncClient(server.url) as client, client.create("scripted", task="a") as episode:
        await episode.step({"type": "get"})
        await episode.reset()
        for generation, steps in ((1, 1), (2, 0)):
            arguments = (
                "--generation",
                str(generation),
                "--output",
                str(tmp_path / "a"),
                "--url",
                server.url,
                "--json",
            )
            assert (await ask("view", episode.episode_id, *arguments)).document["steps"] == steps
        assert (
            await ask("view", episode.episode_id, "--generation", "3", "--url", server.url)
        ).status == Exit.NOT_FOUND


async def test_what_a_server_refuses_leaves_no_file(
    server: RunningServer, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = await play(server)
    for episode in ("ep_none", "../../health", f"{there}/trajectory#"):
        said = await ask("view", episode, "--url", server.url)
        assert said.status == Exit.NOT_FOUND, said
    assert (await ask("view", "ep_1", "--url", "http://127.0.0.1:1")).status == Exit.UNREACHABLE
    assert (await ask("view", "ep_1", "--url", "nothing://")).status == Exit.USAGE
    assert files_in(tmp_path) == []


async def test_a_record_that_breaks_off_on_its_way_is_no_page(
    server: RunningServer, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = await play(server, {"type": "large", "size": 300_000})

    def cut(self: httpx.Response, chunk_size: int | None = None) -> Any:
        yield from original(self, 1000)
        raise httpx.ReadError("reset by peer")

    original = httpx.Response.iter_bytes
    monkeypatch.setattr(httpx.Response, "iter_bytes", cut)
    said = await ask("view", episode, "--output", str(tmp_path / "a.html"), "--url", server.url)
    assert (said.status, files_in(tmp_path)) == (Exit.UNREACHABLE, [])


def export(path: Path, *documents: JsonObject) -> str:
    path.write_bytes(b"".join(map(encoded, documents)))
    return str(path)


def test_an_episode_of_an_export(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = export(tmp_path / "a.jsonl", record(step()), record(step(), step(2), episode_id="ep_2"))
    said = run("view", "ep_2", "--file", file)
    assert (said.status, said.out.split(":")[0]) == (0, "ep_2.html")
    assert "2 steps" in said.out
    assert len(data_of((tmp_path / "ep_2.html").read_text())["steps"]) == 2
    several = run("view", "--file", file)
    assert several.status == Exit.FAILED
    assert "ep_1, ep_2" in several.err
    assert run("view", "--file", export(tmp_path / "b.jsonl", record())).status == 0
    assert (tmp_path / "ep_1.html").exists()


def test_what_was_left_out_is_told(run: Run, tmp_path: Path) -> None:
    images = [{"format": "png", "data": png(padding=bytes(900_000))}, {"format": "png", "data": "no"}]
    file = export(tmp_path / "a.jsonl", record(step(observation={"images": images})))
    said = run("view", "--file", file, "--output", str(tmp_path / "a.html"), "--max-bytes", str(1 << 20))
    assert "left out: pictures that do not fit: 1\n" in said.out
    assert "left out: pictures that cannot be shown: 1\n" in said.out


@pytest.mark.parametrize(
    "name", ["../escaped", "/etc/passwd", ".hidden", "a\x1b[31m", "", "-rf", "a" * 300, "..", "x/y"]
)
def test_an_episode_s_name_in_a_file_chooses_no_place(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    file = export(tmp_path / "a.jsonl", record(episode_id=name))
    said = run("view", "--file", file)
    assert said.status == 0
    assert "\x1b" not in said.out
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a.jsonl", here, here / "episode.html"]


def test_what_cannot_be_is_said_in_a_line(run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b'{"episode_id":"ep_1","generation":1,"steps":[{"\x1b]0;owned\x07":1}]}\n')
    assert run("view").status == Exit.USAGE
    assert run("view", "ep_1", "--max-bytes", "1000").status == Exit.USAGE
    assert run("view", "ep_1", "--max-bytes", str(1 << 40)).status == Exit.USAGE
    assert run("view", "--file", str(tmp_path / "none")).status == Exit.FAILED
    for arguments in (("--file", str(bad)), ("ep_2", "--file", str(bad)), ("--file", str(bad), "--generation", "2")):
        said = run("view", *arguments, "--output", str(tmp_path / "a.html"))
        assert said.status == Exit.FAILED
        assert said.err.startswith(f"envserver: {bad}")
        assert said.err.count("\n") == 1
        assert "\x1b" not in said.err
    assert not (tmp_path / "a.html").exists()
    good = export(tmp_path / "good.jsonl", record())
    assert run("view", "--file", good, "--output", str(tmp_path / "none" / "a.html")).status == Exit.FAILED
