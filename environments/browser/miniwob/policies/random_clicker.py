"""A policy that clicks whatever there is, by chance: what it is paid shows which tasks need no understanding."""

from __future__ import annotations

from random import Random

from environments.browser.miniwob.policies.acting import Play, Policy, click
from environments.browser.miniwob.policies.page import Page


def random_clicker(seed: int) -> Policy:
    def policy(goal: str, page: Page) -> Play:
        chance = Random(f"clicks {seed}")
        while True:
            page = yield click(chance.choice(page.all(where=lambda node: "ref" in node.states)))

    return policy
