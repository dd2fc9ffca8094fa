"""Whether the crun runtime can work here, tried out once: which of a node's two runtimes serves is chosen from that."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

_TIMEOUT_S = 20


def crun_problem(try_id_map: Callable[[], None]) -> str | None:
    """Why the crun runtime cannot serve, fit for an operator; None when it can.

    `try_id_map` raises OSError where the kernel or this container lacks mounts with an id map.
    """
    for program in ("crun", "criu"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    try:
        checked = subprocess.run(["criu", "check"], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        if checked.returncode != 0:
            return f"criu check: {checked.stderr.strip()[-300:]}"
        try_id_map()
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}"
    return None
