"""Prints the command by which this host runs Compose: `docker compose` (v2) or `docker-compose` (v1.29).

Where neither is there it installs Debian's, if it may; else it says how to get one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def command() -> list[str] | None:
    """The words that start Compose; None where there is none."""
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    ):
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    return None


def _install() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "docker-compose"]):
        subprocess.run(["apt-get", *arguments], env=environment, stdout=sys.stderr, check=False)


def main() -> int:
    found = command()
    if found is None:
        _install()
        found = command()
    if found is None:
        sys.stderr.write(
            "Compose is missing: install Docker's compose plugin, or on Debian: apt-get install docker-compose\n"
        )
        return 1
    sys.stdout.write(" ".join(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
