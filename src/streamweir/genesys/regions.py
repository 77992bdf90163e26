"""Regions and hosts of Genesys Cloud, in every spelling that people use. Pure."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final
from urllib.parse import urlsplit

import msgspec

from streamweir.errors import ConfigError

REGIONS: Final[dict[str, str]] = {
    "us-east-1": "mypurecloud.com",
    "us-east-2": "use2.us-gov-pure.cloud",
    "us-west-2": "usw2.pure.cloud",
    "ca-central-1": "cac1.pure.cloud",
    "eu-west-1": "mypurecloud.ie",
    "eu-west-2": "euw2.pure.cloud",
    "eu-central-1": "mypurecloud.de",
    "eu-central-2": "euc2.pure.cloud",
    "ap-southeast-2": "mypurecloud.com.au",
    "ap-northeast-1": "mypurecloud.jp",
    "ap-northeast-2": "apne2.pure.cloud",
    "ap-northeast-3": "apne3.pure.cloud",
    "ap-south-1": "aps1.pure.cloud",
    "ap-southeast-1": "apse1.pure.cloud",
    "sa-east-1": "sae1.pure.cloud",
    "me-central-1": "mec1.pure.cloud",
    "mx-central-1": "mxc1.pure.cloud",
    "eusc-de-east-1": "edee1.eusc-pure.cloud",
    "dca": "inindca.com",
    "tca": "inintca.com",
}
"""Region name to domain. Source: the official SDKs and the gc CLI."""

DEFAULT_REGION: Final = "us-east-1"
NO_USER: Final = (
    "the {} holds a user name or a password: take them out, since a URL is shown in messages and reports; "
    "give client_id and client_secret, api_key_env, or an Authorization in headers"
)
LABELS: Final = ("api.", "login.", "apps.", "streaming.")


class Hosts(msgspec.Struct, frozen=True):
    """Where a region, or a base URL given whole, is reached. `region` is the domain, null for a base URL."""

    api: str
    login: str
    region: str | None = None


def hosts_of_region(text: str) -> Hosts:
    """The hosts of a region in any spelling: `us-west-2`, `us_west_2`, `usw2.pure.cloud`, `https://api.usw2.pure.cloud`.

    `localhost[:port]` means plain http. Raises ConfigError for a name without a dot that is no region.
    """
    given = text.strip().rstrip("/")
    try:
        domain = (urlsplit(given).netloc if "://" in given else given).lower()
    except ValueError as error:
        raise ConfigError(f"region {text!r} is not a host: {error}") from None
    if "@" in domain:
        raise ConfigError(NO_USER.format("region"))
    host = domain.partition(":")[0]
    if host in ("localhost", "127.0.0.1"):
        return Hosts(f"http://{domain}", f"http://{domain}", domain)
    if "." not in domain:
        name = domain.replace("_", "-")
        if name not in REGIONS:
            close = get_close_matches(name, REGIONS, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(REGIONS))}"
            raise ConfigError(f"region {text!r} is unknown: {hint} A domain such as usw2.pure.cloud is taken as it is.")
        domain = REGIONS[name]
    for label in LABELS:
        domain = domain.removeprefix(label)
    return Hosts(f"https://api.{domain}", f"https://login.{domain}", domain)


def hosts_of_base_url(text: str) -> Hosts:
    """A full base URL is taken as is, for the gateway and for its token endpoint alike."""
    url = checked_url(text, "base URL")
    return Hosts(url, url)


def checked_url(text: str, name: str) -> str:
    """A URL without the slashes at its end. Raises ConfigError, with its `name`, for one that is none."""
    url = text.strip().rstrip("/")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"{name} {text!r} is not a URL: {error}") from None
    if "@" in parts.netloc:
        raise ConfigError(NO_USER.format(name))
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
        raise ConfigError(f"{name} {text!r} is not a URL: give one such as http://127.0.0.1:8788")
    return url
