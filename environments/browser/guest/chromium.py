"""One Chromium and its one context: started, found to have died, started again with what it had stored."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import subprocess
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Error, Playwright

EXECUTABLE = "/usr/lib/chromium/chromium"
HOME = Path("/tmp/browser")
CERTIFICATE = HOME / "proxy.pem"
START_S = 30.0

FLAGS = (
    "--no-sandbox",  # it needs user namespaces of its own; ours is around it
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--component-updater=disable-pings,url-source=http://127.0.0.1:1/",  # a port that no browser calls: not even asked
    "--gaia-url=http://127.0.0.1:1/",
    "--disable-field-trial-config",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # names are the proxy's to resolve
    "--no-first-run",
    "--no-pings",
)


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
    """Its context has everything that a site may remember: cookies, storage, permissions."""

    def __init__(self, playwright: Playwright, proxy_port: int, key_digest: str) -> None:
        self._playwright = playwright
        self._port = proxy_port
        self._key_digest = key_digest
        self._browser: Browser | None = None
        self.starts = 0

    @property
    def alive(self) -> bool:
        return self._browser is not None and self._browser.is_connected()

    async def start(self) -> None:
        """Raises: playwright.async_api.Error."""
        await self.end()
        self.starts += 1
        self._browser = await self._playwright.chromium.launch(
            executable_path=EXECUTABLE,
            headless=True,
            args=[*FLAGS, f"--ignore-certificate-errors-spki-list={self._key_digest}"],
            # By default what is on this machine goes past a proxy: here nothing does.
            proxy={"server": f"http://127.0.0.1:{self._port}", "bypass": "<-loopback>"},
            timeout=START_S * 1000,
        )

    async def context(self, options: dict[str, Any], stored: Any = None) -> BrowserContext:
        """A new context, without the permission for anything; `stored` is what another one held.

        Raises: playwright.async_api.Error.
        """
        assert self._browser is not None
        context = await self._browser.new_context(
            viewport=options["viewport"],
            locale=options["locale"],
            timezone_id=options["timezone"],
            color_scheme="light",
            reduced_motion="reduce",
            accept_downloads=True,
            storage_state=stored,
        )
        await context.grant_permissions([])  # all are denied, and nobody is asked
        return context

    async def end(self) -> None:
        browser, self._browser = self._browser, None
        if browser is not None:
            with contextlib.suppress(Error):  # it is gone already
                await browser.close()
