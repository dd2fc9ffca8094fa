"""A service is called where the operator allows it and nowhere else, and its conversation outlives this server."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from environments.tools.mcp import operator
from environments.tools.mcp.operator import NotAllowedError, Operator
from environments.tools.mcp.servers import Service as Asked
from environments.tools.mcp.wire import CheckedTransport
from envserver_sdk.models import Outcome
from tests.unit.tools.mcp.service import Service, running
from tests.unit.tools.mcp.worlds import World


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def host(service: Service) -> AsyncIterator[str]:
    async with running(service) as address:
        yield address


@pytest.fixture(autouse=True)
def nothing_stays_allowed() -> Iterator[None]:
    yield
    operator.configure(Operator())


def allow(*hosts: str, **headers: dict[str, str]) -> None:
    operator.configure(Operator(frozenset(hosts), headers))


async def begun(directory: Path, url: str) -> World:
    world = World(directory / "world", [{"name": "crm", "url": url}])
    await world.begin()
    return world


async def test_a_session_goes_on_from_call_to_call_and_under_the_next_server(
    service: Service, host: str, tmp_path: Path
) -> None:
    allow(host, **{host: {"Authorization": "Bearer secret"}})
    world = await begun(tmp_path, f"http://{host}/mcp")
    assert "count" in world.toolbox.tools
    assert [await world.said("count", "") for _ in range(2)] == ["1", "2"]
    world.next_server()
    assert await world.said("count") == "3"
    assert len(service.counts) == 1
    assert service.keys == {"Bearer secret"}
    assert len(set(service.names)) == 3, "each call has a name of its own"
    assert "secret" not in json.dumps(world.toolbox.snapshot())


async def test_a_service_without_sessions_is_called_all_the_same(service: Service, host: str, tmp_path: Path) -> None:
    service.modern = True
    allow(host)
    world = await begun(tmp_path, f"http://{host}/mcp")
    assert [await world.said("count"), await world.said("count")] == ["1", "2"]
    world.next_server()
    assert await world.said("count") == "3"
    assert list(service.counts) == ["none"]


async def test_a_call_that_is_made_again_has_the_same_name(service: Service, host: str, tmp_path: Path) -> None:
    allow(host)
    world = await begun(tmp_path, f"http://{host}/mcp")
    before = json.dumps(world.toolbox.snapshot())
    await world.call("count")
    world.next_server(before)
    await world.call("count")
    first, second = service.names
    assert first == second


async def test_a_session_that_the_service_has_forgotten_is_begun_anew_aloud(
    service: Service, host: str, tmp_path: Path
) -> None:
    allow(host)
    world = await begun(tmp_path, f"http://{host}/mcp")
    await world.call("count")
    state = world.toolbox.snapshot()
    state["kits"]["mcp"]["crm"]["session"]["id"] = "forgotten"
    world.next_server(json.dumps(state))
    again, outcome = await world.call("count")
    assert again["content"] == "note: the service crm began a new session: earlier state of it is gone\n1"
    assert (again["session"], outcome) == ("restarted", Outcome.OK)
    assert await world.said("count") == "2"


async def test_what_goes_wrong_is_an_error_of_the_call(service: Service, tmp_path: Path) -> None:
    async with running(service) as host:
        allow(host)
        world = await begun(tmp_path, f"http://{host}/mcp")
        failed, _ = await world.call("fail")
        assert failed["error"] is True
        assert failed["content"] == "Error executing tool fail"
        late, outcome = await world.call("wait", timeout_s=0.3)
        assert outcome is Outcome.POLICY_TIMEOUT
        assert "did not answer within 0.3 s" in late["content"]
        assert "more than 16777216 bytes" in await world.said("large")
    gone, outcome = await world.call("count")
    assert (gone["error"], outcome) == (True, Outcome.OK)
    assert gone["content"].startswith("Error: the service crm: ")


async def test_a_host_that_is_not_listed_is_not_called(service: Service, host: str, tmp_path: Path) -> None:
    for listed in ((), ("example.com",), (host.partition(":")[0],)):
        allow(*listed)
        with pytest.raises(ValueError, match="ENVSERVER_MCP_HOSTS must list it"):
            await begun(tmp_path, f"http://{host}/mcp")
    assert not service.keys
    allow(host)
    world = await begun(tmp_path, f"http://{host}/mcp")
    allow()
    assert "ENVSERVER_MCP_HOSTS must list it" in await world.said("count")


async def test_without_the_official_client_a_service_is_refused_with_what_is_missing(
    service: Service, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(host)
    monkeypatch.setitem(sys.modules, "environments.tools.mcp.wire", None)
    with pytest.raises(ValueError, match=r"pip install 'envserver\[mcp\]'"):
        await begun(tmp_path, f"http://{host}/mcp")


async def test_a_name_that_leads_to_a_private_address_is_not_called(
    service: Service, host: str, tmp_path: Path
) -> None:
    named = host.replace("127.0.0.1", "localhost")
    allow(named)
    with pytest.raises(ValueError, match="a private address"):
        await begun(tmp_path, f"http://{named}/mcp")
    assert not service.keys


async def test_a_redirect_to_another_host_is_not_followed(service: Service, host: str, tmp_path: Path) -> None:
    other = Service()
    async with running(other) as elsewhere:
        allow(host, elsewhere, **{host: {"Authorization": "Bearer secret"}})
        service.away = f"http://{elsewhere}/mcp"
        with pytest.raises(ValueError, match="not followed"):
            await begun(tmp_path, f"http://{host}/mcp")
    assert not other.keys


async def test_no_request_goes_to_another_origin_whatever_the_client_means(host: str) -> None:
    """The official client stays within the origin too, so this is asked of the way out itself."""
    allow(host)
    for other in (f"https://{host}/mcp", "http://127.0.0.1:1/mcp", f"http://localhost:{host.partition(':')[2]}/mcp"):
        transport = CheckedTransport(Asked("crm", f"http://{host}/mcp", host), operator.current())
        with pytest.raises(NotAllowedError, match="another host"):
            await transport.handle_async_request(httpx2.Request("POST", other))
        await transport.aclose()


async def test_a_call_that_is_cancelled_leaves_nothing_open(service: Service, host: str, tmp_path: Path) -> None:
    allow(host)
    world = await begun(tmp_path, f"http://{host}/mcp")
    call = asyncio.ensure_future(world.call("wait"))
    await service.waiting.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await world.said("count") == "1"


def test_the_operator_s_keys_are_read_from_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "headers.json"
    path.write_text('{"CRM.example.com": {"Authorization": "Bearer x"}}')
    path.chmod(0o600)
    read = Operator.of("crm.example.com, 10.0.0.5:9000", path)
    assert read.hosts == {"crm.example.com", "10.0.0.5:9000"}
    assert read.headers == {"crm.example.com": {"Authorization": "Bearer x"}}
    with pytest.raises(ValueError, match="is not in ENVSERVER_MCP_HOSTS"):
        Operator.of("example.com", path)
    path.chmod(0o600 | stat.S_IROTH)
    with pytest.raises(ValueError, match="chmod 640"):
        Operator.of("crm.example.com", path)


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "127.0.0.1", "169.254.169.254", "fd00::1", "::ffff:10.0.0.1", "0.0.0.0"]
)
def test_private_addresses_are_known(address: str) -> None:
    allowed = Operator(frozenset({"crm.example.com"}))
    with pytest.raises(NotAllowedError):
        allowed.check_address("crm.example.com", address)
    allowed.check_address("crm.example.com", "93.184.216.34")
    allowed.check_address(address, address)
