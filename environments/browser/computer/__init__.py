"""A browser for models that were taught to use a computer: their calls as our actions, observations as their results.

Such a model sees pictures and gives coordinates: make the episode with `observe: ["screenshot"]`.
"""

from environments.browser.computer.screen import Screen

__all__ = ["Screen"]
