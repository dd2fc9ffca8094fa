"""The gym environment: any Gymnasium environment that the image has, stepped in a sandbox of its own.

`environment.py` is the environment itself; `options.py` says what an episode may ask for, `actions.py` what a policy
may; `driver.py` talks to the program in the sandbox and `answers.py` reads what it says; `tasks.py` lists the known
environments, of which `known.py` has the names; `guest/` is the program. `furnace/` is a digital twin with tasks and
tools of its own.

What is believed: nothing that a policy says runs in the sandbox. Its actions are values of a space, decoded and checked
as data, so the rewards of a simulator that it cannot reach are taken as they are. Code comes from the image alone: an
id that names a module to import is refused, and arguments are plain JSON.
"""

from environments.gym.environment import GymEnvironment

__all__ = ["GymEnvironment"]
