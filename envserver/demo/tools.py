"""A question that takes tools, played in a model's own words: it searches, reads, computes, cites and answers.

The second policy answers the same at once: right, and paid half for it, since it has found nothing out.
"""

from __future__ import annotations

import re
import time

from rich.console import Console

from envserver.demo.table import Played, begin, one_line
from envserver_sdk import Client, Episode

TASK = "density/NO"
GUESSED = 0.5


def play(client: Client, console: Console) -> list[Played]:
    """Raises: EnvserverClientError."""
    found, density = _find_out(client, console)
    return [found, _guess(client, console, density)]


def _begin(client: Client, console: Console, what: str, expected: float) -> tuple[Episode, Played]:
    began = time.perf_counter()
    episode = client.create("tools", task=TASK, options={"protocol": "tagged"}, metadata={"policy": "demo"})
    return episode, begin(episode, f"{TASK} ({what})", expected, began, console)


def _find_out(client: Client, console: Console) -> tuple[Played, str]:
    episode, played = _begin(client, console, "found out", 1.0)
    console.print(f"  {one_line(_question(episode))}", markup=False, highlight=False)

    def call(thought: str, tool: str) -> str:
        text = f"<think>{thought}</think><answer><tool>{tool}</tool></answer>"
        played.take(episode, {"type": "say", "text": text}, console, one_line(text))
        said = str(episode.messages[-1]["content"])
        console.print(f"              →  {one_line(said)}", markup=False, highlight=False)
        return said

    call("Which pages are there?", 'search_web{"query": "Norway population area"}')
    people = _number("Population", call("First the people.", 'open_page{"page_id": "country:NO"}'))
    area = _number("Area", call("Then the land.", 'open_page{"page_id": "geography:NO"}'))
    computed = call("People for each square kilometre.", f'calculator{{"expression": "{people} / {area}"}}')
    density = re.findall(r"\d+(?:\.\d+)?", computed.partition(":")[2])[0]
    _answer(episode, played, console, f"By observation[2] and observation[3] it is {density}")
    played.close(episode, console)
    return played, density


def _guess(client: Client, console: Console, density: str) -> Played:
    episode, played = _begin(client, console, "guessed", GUESSED)
    _answer(episode, played, console, density)
    played.close(episode, console)
    return played


def _answer(episode: Episode, played: Played, console: Console, answer: str) -> None:
    text = f"<think>That is it.</think><answer>{answer}</answer>"
    played.take(episode, {"type": "say", "text": text}, console, one_line(text))


def _question(episode: Episode) -> str:
    return str(episode.messages[-1]["content"])


def _number(label: str, text: str) -> str:
    """The number behind a label on a page."""
    found = re.search(rf"{label}: ([\d,.]*\d)", text)
    return found[1].replace(",", "") if found else "0"
