"""The containment suite: what hostile code tries, what must come of it, and what came of it on this node.

`catalogue.py` names every probe with its pass condition and the control that it tries; `base.py` says what those are,
`kept.py` which controls cannot be taken away and why. `inside/` is what runs in a sandbox: standard library alone.
`leakage.py`, `channel.py` and `requests.py` hold the probes that need a second sandbox, the server's end of the guest's
socket, or the launcher's. `runner.py` makes the sandboxes and runs all of it against any `Runtime` of a node;
`report.py` shows what held.
"""

from envserver.probes.base import Category, Control, Place, Probe, Result
from envserver.probes.catalogue import CATALOGUE
from envserver.probes.report import Report
from envserver.probes.runner import Settings, run

__all__ = ["CATALOGUE", "Category", "Control", "Place", "Probe", "Report", "Result", "Settings", "run"]
