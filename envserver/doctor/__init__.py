"""Says what a node needs of its host, what is missing, and what to do about it.

A check is one function from a `Host` and the `Settings` to a `Finding`. It never raises and changes nothing; all that
it knows of the machine comes through `Host`, so that a test can take each thing away without breaking a machine.
`machine.py` looks at the kernel and its devices, `engine.py` at Docker and its images, `node.py` at the node itself.
"""

from envserver.doctor.checks import CHECKS, diagnose
from envserver.doctor.findings import Finding, Level, Purpose, Settings
from envserver.doctor.host import Host, Ran

__all__ = ["CHECKS", "diagnose", "Finding", "Level", "Purpose", "Settings", "Host", "Ran"]
