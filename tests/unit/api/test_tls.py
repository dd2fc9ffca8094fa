"""TLS: both transports over it, nothing without it, and only with whom is trusted."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import httpx
import pytest
import trustme
from pydantic import ValidationError

from envserver.config import ServerConfig
from envserver.server import RunningServer
from envserver_sdk import AsyncClient, Tls
from envserver_sdk.errors import ConnectionFailed
from tests.unit.fixtures import MakeServer


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, its certificates for server and client, and another authority."""
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    trustme.CA().cert_pem.write_to_path(directory / "other.pem")
    for name, issued in (
        ("server", authority.issue_cert("127.0.0.1")),
        ("client", authority.issue_cert("trainer@example.org")),
    ):
        issued.cert_chain_pems[0].write_to_path(directory / f"{name}.pem")
        issued.private_key_pem.write_to_path(directory / f"{name}.key")
    return directory


@pytest.fixture
async def server(make_server: MakeServer, files: Path) -> RunningServer:
    running: RunningServer = await make_server(
        tls_cert_file=files / "server.pem", tls_key_file=files / "server.key", api_key="k"
    )
    return running


async def play(client: AsyncClient) -> None:
    """A create and a step go over the WebSocket, a look over HTTP."""
    async with client.create("scripted") as episode:
        assert (await episode.step({"type": "echo", "value": 1})).observation["value"] == 1
        assert (await episode.status()).step_index == 1


async def test_http_and_websocket_go_over_tls(server: RunningServer, files: Path) -> None:
    assert server.url.startswith("https://")
    async with AsyncClient(server.url, "k", tls=Tls(ca_file=files / "ca.pem")) as client:
        await play(client)


@pytest.mark.parametrize("ca", [None, "other.pem"])
async def test_an_untrusted_server_is_refused_at_once(server: RunningServer, files: Path, ca: str | None) -> None:
    tls = Tls(ca_file=files / ca) if ca else None
    async with AsyncClient(server.url, "k", tls=tls) as client, asyncio.timeout(10):
        with pytest.raises(ConnectionFailed, match=r"(?i)certificate"):
            await client.create("scripted")
        with pytest.raises(ConnectionFailed, match=r"(?i)certificate"):
            await client.health()


async def test_plain_http_gets_nothing(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url.replace("https", "http")) as http:
        with pytest.raises(httpx.TransportError):
            await http.get("/health")


async def test_old_protocols_are_refused(server: RunningServer, files: Path) -> None:
    context = ssl.create_default_context(cafile=files / "ca.pem")
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    host, port = server.url.removeprefix("https://").split(":")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(host, int(port), ssl=context)


async def test_clients_show_a_certificate_where_one_is_asked_for(make_server: MakeServer, files: Path) -> None:
    server = await make_server(
        tls_cert_file=files / "server.pem", tls_key_file=files / "server.key", tls_client_ca_file=files / "ca.pem",
        api_key="k",
    )  # fmt: skip
    with_one = Tls(files / "ca.pem", files / "client.pem", files / "client.key")
    async with AsyncClient(server.url, "k", tls=with_one) as client:
        await play(client)
    context = Tls(ca_file=files / "ca.pem").context()
    async with httpx.AsyncClient(base_url=server.url, verify=context) as http:
        with pytest.raises(httpx.TransportError):
            await http.get("/health")
    async with httpx.AsyncClient(base_url=server.url, verify=with_one.context()) as http:
        assert (await http.get("/v1/episodes")).status_code == 401, "a certificate is no key"


async def test_a_handshake_that_never_ends_keeps_nobody_else_waiting(server: RunningServer, files: Path) -> None:
    host, port = server.url.removeprefix("https://").split(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(50)]
    async with AsyncClient(server.url, "k", tls=Tls(ca_file=files / "ca.pem")) as client:
        await asyncio.wait_for(play(client), 10)
    for _, writer in silent:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    "settings",
    [{"tls_cert_file": "c"}, {"tls_key_file": "k"}, {"tls_client_ca_file": "a"}],
)
def test_half_a_configuration_is_none(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="ENVSERVER_TLS"):
        ServerConfig.model_validate(settings)
