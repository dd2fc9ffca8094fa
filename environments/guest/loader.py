"""Makes modules of the sources that are its arguments (name, source, name, source, ...) and runs the last one's `main`.

So files of several packages come into a sandbox that has none of them: a package is an empty module with its parts.
"""

from __future__ import annotations

import sys
from types import ModuleType


def module(name: str) -> ModuleType:
    """The module of that name, new if need be, and known to its package."""
    if name not in sys.modules:
        made = sys.modules[name] = ModuleType(name)
        made.__path__ = []
        package, _, last = name.rpartition(".")
        if package:
            setattr(module(package), last, made)
    return sys.modules[name]


def load(arguments: list[str]) -> ModuleType:
    """All of them, in their order; returns the last."""
    for name, source in zip(arguments[::2], arguments[1::2], strict=True):
        loaded = module(name)
        exec(compile(source, f"<{name}>", "exec"), loaded.__dict__)
    return loaded


if __name__ == "__main__":
    load(sys.argv[1:]).main()
