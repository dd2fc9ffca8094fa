"""Guest programs as one source each, for `python3 -c`: a fresh image holds nothing of ours."""

from __future__ import annotations

from functools import cache
from importlib import resources

MODULES = ("codec", "channel")

LOADER = """\
import sys
def load_module(name, source):
    module = type(sys)(name)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), module.__dict__)
"""


@cache
def bundle(program: str) -> str:
    """The source of `guest/<program>.py` with the modules that it shares, under the names it imports them by."""
    modules = [(f"envserver.grading.guest.{name}", _source(name)) for name in MODULES]
    loads = [f"load_module({name!r}, {source!r})\n" for name, source in modules]
    return "".join([LOADER, *loads, f"exec(compile({_source(program)!r}, {program!r}, 'exec'))\n"])


def _source(name: str) -> str:
    return (resources.files("envserver.grading.guest") / f"{name}.py").read_text(encoding="utf-8")
