"""A browser environment with pages of a test's own: made known here, on the test's side, and nowhere in the product.

    async with own_server(node, {"keeper": {"/": "<h1>Keeper</h1>"}}) as client:
        client.create("browser", task_set="own", task="keeper", ...)

A page that posts to /said is heard: an episode is worth 1 once a page has said "fine".
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

from environments.browser import plays
from environments.browser.environment import BrowserEnvironment
from environments.browser.play import Check, Play
from environments.browser.tasks import task_sets
from environments.browser.web.messages import Request, Response
from environments.browser.web.site import Site
from environments.browser.web.web import Web
from environments.tasks import GraderSpec, Task, TaskSet
from envserver.config import ServerConfig
from envserver.runtimes.crun import CrunRuntime
from envserver.server import RunningServer
from envserver_sdk import AsyncClient
from tests.conftest import Node

HOSTS = ("own.test", "other.test")
URL, OTHER = (f"http://{host}" for host in HOSTS)
FINE = "fine"

Pages = Mapping[str, str | Response]
"""By path; a text is HTML."""


def ref(text: str, pattern: str) -> str:
    """Of the one element whose line has this."""
    found = re.search(rf"^.*{pattern}.*\[ref=(\w+)\]", text, re.MULTILINE)
    assert found, f"{pattern} is not in:\n{text}"
    return found[1]


class OwnSite(Site):
    hosts = HOSTS

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self.said: list[str] = []

    def answer(self, request: Request) -> Response:
        if request.method == "POST" and request.path == "/said":
            self.said.append(request.body.decode("utf-8", "replace"))
            self.version += 1
            return Response(HTTPStatus.NO_CONTENT)
        page = self._pages.get(request.path)
        if page is None:
            return Response.plain("There is no such page.\n", 404)
        return page if isinstance(page, Response) else Response.html(page)


class OwnPlay(Play):
    start_url = f"{URL}/"
    prompt = "Do as you like."

    def __init__(self, task: Task, _: int) -> None:
        self._site = OwnSite(task.hidden["pages"])
        self.web = Web([self._site])

    def checks(self, answer: str | None, *, infeasible: bool) -> list[Check]:
        return [Check("a page said that it is fine", FINE in self._site.said)]


class OwnTasks(TaskSet):
    name = "own"
    version = "1"

    def __init__(self, pages: Mapping[str, Pages]) -> None:
        self._pages = pages

    def task_ids(self, split: str = "all") -> Sequence[str]:
        return list(self._pages)

    def splits(self) -> Sequence[str]:
        return ("all",)

    def get(self, task_id: str) -> Task:
        return Task(task_id, "", GraderSpec("checks"), hidden={"play": "own", "pages": self._pages[task_id]})


@asynccontextmanager
async def own_server(
    node: Node, pages: Mapping[str, Pages], journal: Path | None = None, egress_hosts: str = ""
) -> AsyncIterator[AsyncClient]:
    """A server in this process whose browser environment has the pages besides its own task sets."""

    class OwnBrowser(BrowserEnvironment):
        sets: ClassVar[Mapping[str, TaskSet]] = {**task_sets(), OwnTasks.name: OwnTasks(pages)}

        @classmethod
        def task_sets(cls) -> Mapping[str, TaskSet]:
            return cls.sets

    known = vars(plays)["_PLAYS"]
    known["own"] = (__name__, OwnPlay.__name__)
    runtime = CrunRuntime(node.run)
    config = ServerConfig(port=0, pool_size=0, journal=journal, egress_hosts=egress_hosts)
    try:
        server = RunningServer(config, runtime, environments={"browser": OwnBrowser})
        async with server, AsyncClient(server.url) as client:
            yield client
    finally:
        await runtime.close()
        del known["own"]
