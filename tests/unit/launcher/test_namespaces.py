"""The helper that makes user namespaces leaves no process behind, however it ends."""

from __future__ import annotations

import os
import select
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="writes maps of user namespaces")

_KILLED_BETWEEN_ITS_STEPS = """
import os, signal
from pathlib import Path
from envserver.launcher import idmap
Path.write_text = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
idmap._make_namespace("0 2097152 65536")
"""
_LAUNCHER_GONE_BEFORE_ITS_ANSWER = """
import os, socket
from envserver.launcher import idmap, syscalls
socket.send_fds = lambda *_: os.kill(os.getppid(), 9) or (_ for _ in ()).throw(BrokenPipeError())
try:
    idmap.UserNamespaces().image(0)
finally:
    os.write(2, b"the launcher's own code went on")
"""


@pytest.mark.parametrize("program", [_KILLED_BETWEEN_ITS_STEPS, _LAUNCHER_GONE_BEFORE_ITS_ANSWER])
def test_all_processes_end_with_the_helper_and_run_nothing_of_the_launcher(program: str) -> None:
    held, inherited = os.pipe()
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program],
            pass_fds=[inherited],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        os.close(inherited)
        inherited = -1
        assert ended.returncode == -9, ended.stderr
        assert select.select([held], [], [], 5)[0], "somebody still has the other end"
        assert os.read(held, 1) == b""
        assert "own code went on" not in ended.stderr
    finally:
        os.close(held)
        if inherited >= 0:
            os.close(inherited)
