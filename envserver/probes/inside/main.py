"""What a hostile program tries from inside a sandbox. Runs there, as the agent's user, on Python's standard library.

    python3 -m inside.main NAME...

Each probe is a function that returns what happened, and runs in a child of its own with a time limit. Prints one JSON
object: {name: outcome}. An outcome is an errno's name, "OK" where the attempt succeeded, or a short text. What outcome
is right is judged outside, by the catalogue. A probe that would be in the way of others gives back what it took.
"""

from __future__ import annotations

import json
import sys

from . import exhaustion, surroundings, system_calls, ways_out
from .probing import run

MODULES = (exhaustion, surroundings, system_calls, ways_out)

if __name__ == "__main__":
    sys.stdout.write(json.dumps({name: run(name) for name in sys.argv[1:]}))
