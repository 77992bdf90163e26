"""The official SDK beside this library. Where it is not installed, a stand-in with its few attributes serves."""

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from streamweir import AsyncGateway, Gateway, errors
from streamweir.interop import purecloud
from streamweir.simulator.app import RunningSimulator
from tests.contract.both import HELLO
from tests.simulators import threaded_simulator


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with threaded_simulator() as running:
        yield running


class ApiClient:
    def __init__(self, host: str | None = None) -> None:
        self.host = host or "https://api.mypurecloud.com"
        self.access_token = ""


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = ModuleType(purecloud.MODULE)
    module.configuration = SimpleNamespace(host=None)
    module.api_client = SimpleNamespace(ApiClient=ApiClient)
    monkeypatch.setitem(sys.modules, purecloud.MODULE, module)
    return module


def options(simulator: RunningSimulator) -> dict[str, str]:
    return {"base_url": simulator.url, "client_id": "sim-client", "client_secret": "sim-secret"}


async def test_our_token_for_the_sdk(simulator: RunningSimulator, sdk: Any) -> None:
    async with AsyncGateway(**options(simulator)) as gateway:
        client = await purecloud.api_client(gateway)
        assert client.access_token == await gateway.token()
    assert client.host == sdk.configuration.host == simulator.url
    with Gateway(**options(simulator)) as sync:
        assert purecloud.sync_api_client(sync).access_token == sync.token()


async def test_the_sdks_token_for_us(simulator: RunningSimulator) -> None:
    client = ApiClient(simulator.url)
    with pytest.raises(errors.ConfigError, match="has no token yet"):
        purecloud.gateway(client)
    simulator.simulator._tokens.update(("sdk-1", "sdk-2"))
    client.access_token = "sdk-1"
    asked = simulator.simulator.token_requests
    async with purecloud.gateway(client) as gateway:
        for token in ("sdk-1", "sdk-2"):
            # the SDK got another one meanwhile
            client.access_token = token
            assert (await gateway.complete(model="sim:none?rate=0", messages=HELLO)).status == "completed"
            simulator.simulator._tokens.discard(token)
    simulator.simulator._tokens.add("sdk-2")
    with purecloud.sync_gateway(client) as sync:
        assert sync.complete(model="sim:none?rate=0", messages=HELLO).status == "completed"
    assert simulator.simulator.token_requests == asked


def test_a_platform_host_is_a_region() -> None:
    client = ApiClient("https://api.usw2.pure.cloud")
    client.access_token = "t"
    assert purecloud.sync_gateway(client)._resolved.settings.hosts.region == "usw2.pure.cloud"


async def test_without_the_sdk_it_says_what_to_install(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, purecloud.MODULE, None)
    async with AsyncGateway(**options(simulator)) as gateway:
        with pytest.raises(errors.ConfigError, match="pip install PureCloudPlatformClientV2"):
            await purecloud.api_client(gateway)


def test_it_is_imported_only_when_it_is_used() -> None:
    import streamweir.interop

    assert "purecloud" in dir(streamweir.interop)
    assert purecloud.MODULE not in sys.modules
