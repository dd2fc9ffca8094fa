"""A browser for models that were taught to use a computer: their calls as our actions, observations as their results.

An episode with the option `computer` takes such calls itself (`computer.py`). Whoever would rather translate them
outside, or answer a provider's API in its own blocks, has `actions_of` and `result` of `anthropic.py` and `openai.py`.
"""

from environments.browser.computer.computer import BESIDE, KIND, Computer
from environments.browser.computer.providers import PROVIDERS, action_schemas
from environments.browser.computer.screen import Screen

__all__ = ["BESIDE", "KIND", "PROVIDERS", "Computer", "Screen", "action_schemas"]
