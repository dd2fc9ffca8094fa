"""One Chromium and its one context: started, found to have died, started again with the profile that it had."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Error

from environments.browser.guest.permissions import ASKING_JS
from environments.browser.guest.playing import Playing

EXECUTABLE = "/usr/lib/chromium/chromium"
HOME = Path("/tmp/browser")
CERTIFICATE = HOME / "proxy.pem"
START_S = 30.0
LEFTOVERS_S = 2.0
"""How long killed processes may take to end."""

FLAGS = (
    "--no-sandbox",  # it needs user namespaces of its own; ours is around it
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-partial-raster",  # else a picture may differ a little by how often a part was drawn again
    "--disable-quic",
    "--disable-sync",
    "--disk-cache-size=33554432",  # the disk is the sandbox's, and small
    "--hide-crash-restore-bubble",
    "--component-updater=disable-pings,url-source=http://127.0.0.1:1/",  # a port that no browser calls: not even asked
    "--gaia-url=http://127.0.0.1:1/",
    "--disable-field-trial-config",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # names are the proxy's to resolve
    "--no-first-run",
    "--no-pings",
)

PREFERENCES = {
    "spellcheck": {"blocked_dictionaries": ["en-US"]},
    "credentials_enable_service": False,
    "profile": {"password_manager_enabled": False, "password_manager_leak_detection": False},
}
"""Else a profile asks for a dictionary once somebody writes a text, policy or not, as if a page had asked for it, and
whether a password is known that was given to a page."""


def make_certificate() -> str:
    """A key and a certificate for the proxy, made once a sandbox; returns the digest of the key.

    Raises: subprocess.CalledProcessError.
    """
    HOME.mkdir(mode=0o700, exist_ok=True)
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "3650", "-subj", "/CN=proxy", "-keyout", str(CERTIFICATE), "-out", str(CERTIFICATE) + ".crt",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    certificate = Path(str(CERTIFICATE) + ".crt").read_bytes()
    with CERTIFICATE.open("ab") as file:
        file.write(certificate)
    public = subprocess.run(
        ["openssl", "x509", "-pubkey", "-noout", "-in", str(CERTIFICATE) + ".crt"], check=True, capture_output=True
    ).stdout
    der = base64.b64decode(b"".join(public.splitlines()[1:-1]))
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


class Chromium:
    """Its one context has everything that a site may remember, in a profile on the disk of the sandbox."""

    def __init__(self, playing: Playing, proxy_port: int, key_digest: str) -> None:
        self._playing = playing
        self._port = proxy_port
        self._key_digest = key_digest
        self._profile = HOME / "profile"
        self._browser: Browser | None = None
        self.starts = 0
        """With the profile that there is."""

    @property
    def alive(self) -> bool:
        return self._playing.alive and self._browser is not None and self._browser.is_connected()

    async def start(self, options: dict[str, Any]) -> BrowserContext:
        """One that knows nothing yet. Raises: playwright.async_api.Error."""
        await self.end()
        self._make_profile()
        self.starts = 1
        return await self._launch(options)

    async def start_again(self, options: dict[str, Any]) -> tuple[BrowserContext, bool]:
        """With what the one before had stored; False where its profile cannot be used, as on a disk that is full.

        Raises: playwright.async_api.Error.
        """
        await self.end()
        await asyncio.to_thread(end_processes, self._profile)
        for lock in self._profile.glob("Singleton*"):
            lock.unlink(missing_ok=True)
        self.starts += 1
        try:
            return await self._launch(options), True
        except Error:
            await asyncio.to_thread(end_processes, self._profile)
            self._make_profile()
            return await self._launch(options), False

    def _make_profile(self) -> None:
        """In place of what there is."""
        shutil.rmtree(self._profile, ignore_errors=True)
        with contextlib.suppress(OSError):  # a disk that is full
            (self._profile / "Default").mkdir(parents=True)
            (self._profile / "Default" / "Preferences").write_text(json.dumps(PREFERENCES))

    async def _launch(self, options: dict[str, Any]) -> BrowserContext:
        """Without the permission for anything."""
        playwright = await self._playing.playwright()
        context = await playwright.chromium.launch_persistent_context(
            self._profile,
            executable_path=EXECUTABLE,
            headless=True,
            args=[*FLAGS, f"--ignore-certificate-errors-spki-list={self._key_digest}"],
            # By default what is on this machine goes past a proxy: here nothing does.
            proxy={"server": f"http://127.0.0.1:{self._port}", "bypass": "<-loopback>"},
            timeout=START_S * 1000,
            # A step that is given up is interrupted, and Playwright would take that for the end of its browsers.
            handle_sigint=False,
            viewport=options["viewport"],
            locale=options["locale"],
            timezone_id=options["timezone"],
            color_scheme="light",
            reduced_motion="reduce",
            accept_downloads=True,
        )
        self._browser = context.browser
        await context.grant_permissions([])  # all are denied, and nobody is asked
        await context.add_init_script(ASKING_JS)
        return context

    async def end(self) -> None:
        browser, self._browser = self._browser, None
        if browser is not None:
            with contextlib.suppress(Error):  # it is gone already
                await browser.close()


def end_processes(profile: Path) -> None:
    """Those that a browser leaves whose main process was killed: they hold files that the next one opens."""
    poll, ended_by = select.poll(), time.monotonic() + LEFTOVERS_S
    left = set()
    for pid in _processes(profile):
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(pid)
            left.add(process)
            poll.register(process, select.POLLIN)
            signal.pidfd_send_signal(process, signal.SIGKILL)
    ended: set[int] = set()
    while ended != left and (wait_s := ended_by - time.monotonic()) > 0:
        for process, _ in poll.poll(wait_s * 1000):
            ended.add(process)
            poll.unregister(process)
    for process in left:
        os.close(process)


def _processes(profile: Path) -> list[int]:
    """Chromium tells each of its processes where its profile is."""
    found, said = [], f"--user-data-dir={profile}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it is gone already
            if said in (process / "cmdline").read_bytes().replace(b"\0", b" ").split():
                found.append(int(process.name))
    return found
