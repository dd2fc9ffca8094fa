"""Best-first search over programs: checkpoint, fork, try an edit in each fork, and go on from the best.

    python examples/tree_search.py [--url URL] [--budget 12] [--width 8]

The node is at ENVSERVER_URL, or http://127.0.0.1:8000. Needs the SDK alone. Each node of the tree is a checkpoint of an
episode in which a program stands in solution.py. To expand one, as many episodes are forked from it as there are edits
to try; each makes its edit, runs a public check, and is saved in its turn. `propose` stands where a model would be: it
sees a program and suggests edits. What passes the whole check, or the best that was found, is submitted.

The check is the search's own, six cases that anybody may see. The hidden tests decide the reward, once, at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import heapq
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from envserver_sdk import AsyncCheckpoint, AsyncClient, AsyncEpisode
from envserver_sdk.errors import EnvserverClientError

SOLUTION = "solution.py"
CHECK_TIMEOUT_S = 5.0
LEASE_S = 600.0
"""Ends what a search that was killed has left."""

START = """\
def has_close_elements(numbers, threshold):
    for a in numbers:
        for b in numbers:
            if False:
                return True
    return False
"""
CHECK = """\
import sys
sys.path.insert(0, "/workspace")
from solution import has_close_elements

CASES = [
    ([1.0, 2.0, 3.0], 0.5, False),
    ([1.0, 2.8, 3.0, 4.0, 5.0, 2.0], 0.3, True),
    ([1.0, 5.0, 1.1], 0.5, True),
    ([], 1.0, False),
    ([2.0], 1.0, False),
    ([1.0, 1.0], 0.1, True),
]
passed = 0
for numbers, threshold, expected in CASES:
    try:
        passed += has_close_elements(numbers, threshold) is expected
    except Exception:
        pass
print(passed / len(CASES))
"""


@dataclass(frozen=True)
class Edit:
    """A text that occurs once in the program, and what stands there instead."""

    name: str
    old: str
    new: str


EDITS = (
    Edit("close pairs", "if False:", "if abs(a - b) < threshold:"),
    Edit("distant pairs", "if False:", "if abs(a - b) > threshold:"),
    Edit("count the first", "for a in numbers:", "for i, a in enumerate(numbers):"),
    Edit("only later ones", "for b in numbers:", "for b in numbers[i + 1:]:"),
    Edit("all but the first", "for b in numbers:", "for b in numbers[1:]:"),
)

Propose = Callable[[str], Sequence[Edit]]


def propose(program: str) -> list[Edit]:
    """What could be tried next; a model would write something better."""
    return [edit for edit in EDITS if program.count(edit.old) == 1]


@dataclass
class Node:
    """A program in its world. `score` is the share of public cases that it passes."""

    name: str
    program: str
    score: float
    checkpoint: AsyncCheckpoint
    children: list[Node] = field(default_factory=list)
    reward: float | None = None
    """Of the one that was submitted."""

    def lines(self, depth: int = 0) -> Iterator[str]:
        """The tree below it, a line each."""
        submitted = "" if self.reward is None else f"   <- submitted: reward {self.reward}"
        yield f"{self.score:.2f} {'  ' * depth}{self.name}{submitted}"
        for child in self.children:
            yield from child.lines(depth + 1)


async def score(episode: AsyncEpisode) -> float:
    """Run the public check. A program that hangs or breaks it scores 0."""
    step = await episode.step({"type": "run", "language": "python", "code": CHECK}, timeout_s=CHECK_TIMEOUT_S)
    try:
        return float(step.observation["stdout"])
    except (KeyError, ValueError):
        return 0.0


class TreeSearch:
    """One search. `forks` and `expansions` say what it cost."""

    def __init__(self, propose: Propose = propose, width: int = 8) -> None:
        self.forks = self.expansions = 0
        self._propose = propose
        self._width = width
        self._seen: set[str] = set()
        self._checkpoints: list[AsyncCheckpoint] = []

    async def run(self, client: AsyncClient, task: str, budget: int) -> Node:
        """The root of the tree, after at most `budget` expansions and one submission."""
        try:
            root = best = await self._begin(client, task)
            serial = count()
            frontier = [(-root.score, next(serial), root)]  # of equals the older one: a program of fewer edits
            while frontier and best.score < 1.0 and self.expansions < budget:
                _, _, node = heapq.heappop(frontier)
                for child in await self._expand(node):
                    heapq.heappush(frontier, (-child.score, next(serial), child))
                    best = max(best, child, key=lambda each: each.score)
            await self._submit(best)
            return root
        finally:
            for checkpoint in self._checkpoints:
                with contextlib.suppress(EnvserverClientError):
                    await checkpoint.delete()

    async def _begin(self, client: AsyncClient, task: str) -> Node:
        async with client.create("code", task=task, ttl_s=LEASE_S) as episode:
            await episode.step({"type": "write_file", "path": SOLUTION, "content": START})
            return await self._save(episode, "start", START)

    async def _expand(self, node: Node) -> list[Node]:
        """Try edits that lead to new programs, each in a fork of its own, all at once."""
        edits = [edit for edit in self._propose(node.program) if _applied(edit, node) not in self._seen][: self._width]
        self.expansions += 1
        if not edits:
            return []
        self._seen.update(_applied(edit, node) for edit in edits)
        async with self._forked(node, len(edits)) as forks:
            tried = await asyncio.gather(*(self._try(*pair, node) for pair in zip(forks, edits, strict=True)))
        node.children = [child for child in tried if child is not None]
        return node.children

    async def _try(self, episode: AsyncEpisode, edit: Edit, parent: Node) -> Node | None:
        """None when the infrastructure failed: nothing is known of that program then."""
        try:
            step = await episode.step({"type": "edit", "path": SOLUTION, "old": edit.old, "new": edit.new})
            return await self._save(episode, edit.name, _applied(edit, parent)) if step.trainable else None
        except EnvserverClientError:
            return None

    async def _save(self, episode: AsyncEpisode, name: str, program: str) -> Node:
        reached = await score(episode)
        checkpoint = await episode.checkpoint(label=name)
        self._checkpoints.append(checkpoint)
        return Node(name, program, reached, checkpoint)

    async def _submit(self, node: Node) -> None:
        async with self._forked(node, 1) as (episode,):
            node.reward = (await episode.step({"type": "submit"})).reward

    @contextlib.asynccontextmanager
    async def _forked(self, node: Node, n: int) -> AsyncIterator[list[AsyncEpisode]]:
        forks = await node.checkpoint.fork(n, ttl_s=LEASE_S)
        self.forks += n
        try:
            yield forks
        finally:
            await asyncio.gather(*(fork.close() for fork in forks), return_exceptions=True)


def _applied(edit: Edit, node: Node) -> str:
    return node.program.replace(edit.old, edit.new)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("ENVSERVER_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--task", default="HumanEval/0")
    parser.add_argument("--budget", type=int, default=12, help="expansions at most")
    parser.add_argument("--width", type=int, default=8, help="forks of one expansion at most")
    arguments = parser.parse_args()
    search = TreeSearch(width=arguments.width)
    async with AsyncClient(arguments.url, os.environ.get("ENVSERVER_API_KEY")) as client:
        root = await search.run(client, arguments.task, arguments.budget)
    print("\n".join(root.lines()))
    print(f"{search.expansions} expansions, {search.forks} forks")


if __name__ == "__main__":
    asyncio.run(main())
