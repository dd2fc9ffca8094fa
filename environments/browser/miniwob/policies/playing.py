"""Lets a policy play: through any environment, as long as an action can be handed to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from environments.browser.miniwob.policies.acting import Action, Policy
from environments.browser.miniwob.policies.page import Page

MAX_STEPS = 60

Step = Callable[[Action], Awaitable[str | None]]
"""Carries out one action; returns the page's text then, or None where the episode is over."""


async def play_out(policy: Policy, goal: str, text: str, step: Step, max_steps: int = MAX_STEPS) -> int:
    """How many actions it took, until the episode was over or the policy had nothing more to do.

    Raises: LookupError where the policy does not find on the page what it looks for.
    """
    play = policy(goal, Page(text))
    action: Action | None = next(play, None)
    for taken in range(max_steps):
        if action is None:
            return taken
        shown = await step(action)
        if shown is None:
            return taken + 1
        try:
            action = play.send(Page(shown))
        except StopIteration:
            action = None
    return max_steps
