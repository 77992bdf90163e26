"""The official SDK (PureCloudPlatformClientV2) beside this library: one token for both.

    sdk = await purecloud.api_client(gateway)         # the SDK's client with our token and host
    gateway = purecloud.gateway(sdk, model=…)         # our client with the SDK's token and host

Tried with PureCloudPlatformClientV2 269.0.0. The SDK does not renew a token that was handed to it: ask for another
client when its time is over.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from streamweir.client.aio.gateway import AsyncGateway
from streamweir.client.sync.gateway import Gateway
from streamweir.errors import ConfigError

MODULE = "PureCloudPlatformClientV2"


async def api_client(gateway: AsyncGateway) -> Any:
    """An `ApiClient` of the SDK that carries the gateway's token. Raises ConfigError without the SDK."""
    sdk = _sdk()
    return _with(sdk, await gateway.token(), gateway.api_host)


def sync_api_client(gateway: Gateway) -> Any:
    """The same from the sync client."""
    sdk = _sdk()
    return _with(sdk, gateway.token(), gateway.api_host)


def gateway(api_client: Any, **options: Any) -> AsyncGateway:
    """An AsyncGateway that uses what the SDK's client has at each request: its host, and its token as it then is.

    `options` are those of AsyncGateway. Raises ConfigError where the client has no token.
    """
    return AsyncGateway(**_place(api_client), access_token=lambda: _token(api_client), **options)


def sync_gateway(api_client: Any, **options: Any) -> Gateway:
    """The same as a sync client."""
    return Gateway(**_place(api_client), access_token=lambda: _token(api_client), **options)


def _sdk() -> Any:
    try:
        return import_module(MODULE)
    except ImportError:
        raise ConfigError(f"the official SDK is not installed: pip install {MODULE}") from None


def _with(sdk: Any, token: str | None, host: str) -> Any:
    if not token:
        raise ConfigError("this upstream needs no token, so that there is none to give to the SDK")
    sdk.configuration.host = host
    client = sdk.api_client.ApiClient(host=host)
    client.access_token = token
    return client


def _place(api_client: Any) -> dict[str, Any]:
    _token(api_client)
    host = str(api_client.host)
    # the platform's own hosts are regions, so that errors and reports name them; any other is taken as it is
    name = urlsplit(host).hostname or ""
    return {"region": name} if host.startswith("https://api.") else {"base_url": host}


def _token(api_client: Any) -> str:
    token: Any = api_client.access_token
    if not isinstance(token, str) or not token:
        raise ConfigError(
            "the SDK's client has no token yet: call get_client_credentials_token(…) on it before it is handed over"
        )
    return token
