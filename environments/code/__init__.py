"""The code environment: a live interpreter, a live shell and files, in a container without a network.

`environment.py` is the environment itself; `actions.py` says what a policy may ask, `observations.py` what it gets to
see, `sessions.py` keeps the interpreter and the shell alive, `programs.py` and `files.py` carry out the rest;
`guest/` holds what runs inside the sandbox; `humaneval.py` is its first task set.
"""

from environments.code.environment import CodeEnvironment

__all__ = ["CodeEnvironment"]
